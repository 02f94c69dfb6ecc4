//! Replicas that others run: this runtime only looks up where they are.

use std::collections::HashSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Launch, Owner, ReplicaId, Runtime, RuntimeEvent, RuntimeEvents};
use crate::names::HostPort;

/// Time to resolve a host name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Host names resolved at a time: each needs a thread until the resolver of the system answers,
/// and there may be thousands of names.
const LOOKUPS_AT_ONCE: usize = 16;

/// The fixed runtime.
///
/// A host name is resolved once, when the replica is added; an address needs no resolving. Of
/// several addresses the first IPv4
/// one is taken, else the first: `localhost` often resolves to `::1` first, while few servers
/// listen there, and a fixed replica has one address, so there is nothing to fall back on.
#[derive(Debug)]
pub struct Fixed {
    known: Known,
    lookups: Arc<Semaphore>,
}

/// The replicas there are. An event is sent under the lock and only about one of them, so that
/// a lookup that ends after `stop` says nothing.
#[derive(Clone, Debug)]
struct Known {
    ids: Arc<Mutex<HashSet<ReplicaId>>>,
    events: RuntimeEvents,
}

impl Fixed {
    /// A runtime without replicas, which reports to `events`.
    pub fn new(events: RuntimeEvents) -> Self {
        Self {
            known: Known { ids: Arc::default(), events },
            lookups: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
        }
    }
}

impl Runtime for Fixed {
    fn kind(&self) -> &'static str {
        "fixed"
    }

    fn owner(&self) -> Owner {
        Owner::Others
    }

    /// # Panics
    /// Outside of a tokio runtime.
    fn start(&self, launch: Launch) {
        let id = launch.id;
        self.known.change(|ids| ids.insert(id), None);
        let Some(endpoint) = launch.existing else {
            return self.known.located(id, Err("it has no endpoint; give its host:port".to_owned()));
        };
        let Ok(endpoint) = endpoint.parse::<HostPort>().map(|endpoint| endpoint.to_string()) else {
            return self.known.located(id, Err(format!("'{endpoint}' is not host:port")));
        };
        if let Ok(address) = endpoint.parse() {
            return self.known.located(id, Ok((address, endpoint)));
        }
        let (known, lookups) = (self.known.clone(), Arc::clone(&self.lookups));
        tokio::spawn(async move {
            let found = resolve(&endpoint, lookups).await;
            known.located(id, found.map(|address| (address, endpoint)));
        });
    }

    fn stop(&self, id: ReplicaId) {
        let reason = "no longer used; whoever runs it keeps it running".to_owned();
        self.known.change(|ids| ids.remove(&id), Some(RuntimeEvent::Exited { id, reason }));
    }
}

impl Known {
    /// Tells where a replica is and what it was given as, or why that is not known.
    fn located(&self, id: ReplicaId, found: Result<(SocketAddr, String), String>) {
        match found {
            Ok((address, instance)) => {
                let event = RuntimeEvent::Started { id, address, instance };
                self.change(|ids| ids.contains(&id), Some(event));
            }
            Err(reason) => {
                let event = RuntimeEvent::StartFailed { id, reason };
                self.change(|ids| ids.remove(&id), Some(event));
            }
        }
    }

    /// Changes the list; sends the event if `change` says so.
    fn change(&self, change: impl FnOnce(&mut HashSet<ReplicaId>) -> bool, event: Option<RuntimeEvent>) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if let (true, Some(event)) = (change(&mut ids), event) {
            // Without a receiver the balancer is ending, and nobody needs to know.
            let _ = self.events.send(event);
        }
    }
}

/// The address of an endpoint that is given by name. Waits until one of the `lookups` is free.
async fn resolve(endpoint: &str, lookups: Arc<Semaphore>) -> Result<SocketAddr, String> {
    let failed = |error: &dyn std::fmt::Display| {
        format!("cannot resolve '{endpoint}': {error}; check that the name exists")
    };
    let lookup = lookups.acquire_owned().await.map_err(|error| failed(&error))?;
    let name = endpoint.to_owned();
    let found = tokio::task::spawn_blocking(move || {
        let addresses = name.to_socket_addrs().map(Vec::from_iter);
        // Not before: a lookup that nobody waits for any more has its thread all the same.
        drop(lookup);
        addresses
    });
    let found = timeout(LOOKUP_TIMEOUT, found).await.map_err(|_| failed(&"no answer in time"))?;
    let addresses = found.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    preferred(&addresses).ok_or_else(|| failed(&"the name has no address"))
}

/// The first IPv4 address, else the first.
fn preferred(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    addresses.iter().find(|address| address.is_ipv4()).or_else(|| addresses.first()).copied()
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn launch(id: u64, endpoint: Option<&str>) -> Launch {
        let endpoint = endpoint.map(str::to_owned);
        Launch { id: ReplicaId(id), name: format!("S{id}"), number: 1, existing: endpoint }
    }

    #[tokio::test]
    async fn an_address_is_started_and_stopped_once() {
        let (events, mut seen) = unbounded_channel();
        let fixed = Fixed::new(events);
        fixed.start(launch(1, Some("127.0.0.1:8080")));
        let address = "127.0.0.1:8080".parse().unwrap();
        let started =
            RuntimeEvent::Started { id: ReplicaId(1), address, instance: "127.0.0.1:8080".to_owned() };
        assert_eq!(seen.recv().await, Some(started));
        fixed.stop(ReplicaId(1));
        assert!(matches!(seen.recv().await, Some(RuntimeEvent::Exited { id: ReplicaId(1), .. })));
        fixed.stop(ReplicaId(1));
        fixed.stop(ReplicaId(2));
        assert!(seen.try_recv().is_err());
    }

    #[tokio::test]
    async fn nothing_is_said_of_a_replica_after_its_stop() {
        let (events, mut seen) = unbounded_channel();
        let fixed = Fixed::new(events);
        fixed.start(launch(1, Some("localhost:1")));
        fixed.stop(ReplicaId(1));
        drop(fixed);
        // The lookup still runs and holds a sender; the channel closes when it is done.
        assert!(matches!(seen.recv().await, Some(RuntimeEvent::Exited { .. })));
        assert_eq!(seen.recv().await, None);
    }

    #[tokio::test]
    async fn what_is_no_endpoint_cannot_be_started() {
        let (events, mut seen) = unbounded_channel();
        let fixed = Fixed::new(events);
        for (id, endpoint) in [(1, None), (2, Some("nowhere")), (3, Some("127.0.0.1:http")), (4, Some(""))] {
            fixed.start(launch(id, endpoint));
            let Some(RuntimeEvent::StartFailed { id: failed, reason }) = seen.recv().await else {
                panic!("{endpoint:?} was started");
            };
            assert_eq!(failed, ReplicaId(id));
            assert!(reason.contains("host:port"), "{reason}");
        }
    }

    #[tokio::test]
    async fn more_names_than_are_resolved_at_a_time() {
        let (events, mut seen) = unbounded_channel();
        let fixed = Fixed::new(events);
        let ids = 1..=3 * LOOKUPS_AT_ONCE as u64;
        ids.clone().for_each(|id| fixed.start(launch(id, Some("localhost:9"))));
        for _ in ids {
            assert!(matches!(seen.recv().await, Some(RuntimeEvent::Started { .. })));
        }
    }

    #[test]
    fn ipv4_is_preferred() {
        let [v6, a, b] = ["[::1]:1", "10.0.0.1:1", "10.0.0.2:1"].map(|text| text.parse().unwrap());
        assert_eq!(preferred(&[v6, a, b]), Some(a));
        assert_eq!(preferred(&[v6]), Some(v6));
        assert_eq!(preferred(&[]), None);
    }
}
