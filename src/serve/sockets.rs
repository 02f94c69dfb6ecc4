//! All sockets of the balancer, bound before anything is started: a taken port must not cost a
//! replica.

use std::net::{SocketAddr, TcpListener};

use super::Error;
use crate::config::Config;
use crate::listen;

pub(super) struct Sockets {
    /// One for each worker, all on one address.
    pub(super) public: Vec<TcpListener>,
    pub(super) public_address: SocketAddr,
    /// The same for TLS, if it is spoken.
    pub(super) tls: Vec<TcpListener>,
    pub(super) tls_address: Option<SocketAddr>,
    pub(super) admin: TcpListener,
    pub(super) admin_address: SocketAddr,
}

impl Sockets {
    pub(super) fn bind(config: &Config) -> Result<Self, Error> {
        let failed = |address, setting| move |source| Error::Listen { address, setting, source };
        let public =
            listen::bind_group(config.listen, config.workers).map_err(failed(config.listen, "listen"))?;
        let tls = match config.tls_listen {
            Some(address) => {
                listen::bind_group(address, config.workers).map_err(failed(address, "tls-listen"))?
            }
            None => Vec::new(),
        };
        let admin =
            listen::bind_one(config.admin_listen).map_err(failed(config.admin_listen, "admin-listen"))?;
        Ok(Self {
            public_address: public[0].local_addr()?,
            tls_address: tls.first().map(TcpListener::local_addr).transpose()?,
            tls,
            admin_address: admin.local_addr()?,
            public,
            admin,
        })
    }
}
