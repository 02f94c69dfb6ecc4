//! An address at which nobody listens.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// Refuses connections. The port is bound as long as this lives, so that no other test gets it.
pub struct Nobody {
    /// Where nobody listens.
    pub address: SocketAddr,
    _bound: Socket,
}

impl Nobody {
    /// Has the kernel choose the port.
    pub fn new() -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
        let address = bound.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        Self { address, _bound: bound }
    }
}
