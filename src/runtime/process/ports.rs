//! Free ports for programs that cannot choose one themselves.
//!
//! The kernel chooses a free port, which is closed again so that the program can open it. If another
//! process takes it in between, the program fails to listen and ends, and its replacement gets
//! another port. This module makes sure that no two replicas of ours get the same one.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Attempts to find a port that no replica of ours has. The kernel chooses at random among tens of
/// thousands, so a second attempt is rare.
const ATTEMPTS: usize = 100;

/// The ports of all replicas. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ports {
    given: Arc<Mutex<HashSet<u16>>>,
}

/// A port that no other replica gets until this is dropped.
#[derive(Debug)]
pub(super) struct PortLease {
    port: u16,
    from: Ports,
}

impl Ports {
    /// Leases a port of the loopback addresses on which nobody listened a moment ago.
    ///
    /// # Errors
    /// No port is free.
    pub(super) fn lease(&self) -> io::Result<PortLease> {
        for _ in 0..ATTEMPTS {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if is_free_on_v6(port) && self.lock().insert(port) {
                return Ok(PortLease { port, from: self.clone() });
            }
        }
        Err(io::Error::other("every free port the kernel offers belongs to a replica already"))
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u16>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody listens there, where a program may. A machine without IPv6 refuses otherwise.
fn is_free_on_v6(port: u16) -> bool {
    let bound = TcpListener::bind((Ipv6Addr::LOCALHOST, port));
    bound.err().is_none_or(|error| error.kind() != io::ErrorKind::AddrInUse)
}

impl PortLease {
    /// The number of the port.
    pub(super) fn number(&self) -> u16 {
        self.port
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        self.from.lock().remove(&self.port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_distinct_while_held() {
        let ports = Ports::default();
        let leases: Vec<_> = (0..50).map(|_| ports.lease().unwrap()).collect();
        let distinct: HashSet<_> = leases.iter().map(PortLease::number).collect();
        assert_eq!(distinct.len(), leases.len());
        assert_eq!(*ports.lock(), distinct);
        drop(leases);
        assert!(ports.lock().is_empty());
    }
}
