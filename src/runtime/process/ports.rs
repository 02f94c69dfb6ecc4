//! Free ports for programs that cannot choose one themselves.
//!
//! The kernel names a free port, which is closed again for the program to open. In between,
//! anyone may take it; then the program fails to listen and ends, and its replacement is given
//! another. What this module does rule out is that two replicas of ours get the same one.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Attempts to find a port that no replica of ours was given already. The kernel picks at
/// random among tens of thousands, so a second attempt is rare.
const ATTEMPTS: usize = 100;

/// The ports given out. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ports {
    given: Arc<Mutex<HashSet<u16>>>,
}

/// A port that is not given to another replica until this drops.
#[derive(Debug)]
pub(super) struct Lease {
    port: u16,
    from: Ports,
}

impl Ports {
    /// A port of the loopback address on which nobody listened a moment ago.
    pub(super) fn lease(&self) -> io::Result<Lease> {
        for _ in 0..ATTEMPTS {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if self.lock().insert(port) {
                return Ok(Lease { port, from: self.clone() });
            }
        }
        Err(io::Error::other("every free port the kernel offers belongs to a replica already"))
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u16>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The port.
    pub(super) fn number(&self) -> u16 {
        self.port
    }
}

impl Drop for Lease {
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
        let distinct: HashSet<_> = leases.iter().map(Lease::number).collect();
        assert_eq!(distinct.len(), leases.len());
        assert_eq!(*ports.lock(), distinct);
        drop(leases);
        assert!(ports.lock().is_empty());
    }
}
