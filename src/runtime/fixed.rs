//! Replicas that others run: this runtime only looks up where they are.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::{Launch, Owner, ReplicaId, Runtime, RuntimeEvent, RuntimeEvents};
use crate::names::HostPort;

/// Time to resolve a host name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The fixed runtime.
///
/// A host name is resolved once, when the replica is added. Of several addresses the first IPv4
/// one is taken, else the first: `localhost` often resolves to `::1` first, while few servers
/// listen there, and a fixed replica has one address, so there is nothing to fall back on.
#[derive(Debug)]
pub struct Fixed {
    known: Known,
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
        Self { known: Known { ids: Arc::default(), events } }
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
        let known = self.known.clone();
        tokio::spawn(async move {
            match locate(launch.existing.as_deref()).await {
                Ok((address, instance)) => {
                    let event = RuntimeEvent::Started { id, address, instance };
                    known.change(|ids| ids.contains(&id), Some(event));
                }
                Err(reason) => {
                    let event = RuntimeEvent::StartFailed { id, reason };
                    known.change(|ids| ids.remove(&id), Some(event));
                }
            }
        });
    }

    fn stop(&self, id: ReplicaId) {
        let reason = "no longer used; whoever runs it keeps it running".to_owned();
        self.known.change(|ids| ids.remove(&id), Some(RuntimeEvent::Exited { id, reason }));
    }
}

impl Known {
    /// Changes the list; sends the event if `change` says so.
    fn change(&self, change: impl FnOnce(&mut HashSet<ReplicaId>) -> bool, event: Option<RuntimeEvent>) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if let (true, Some(event)) = (change(&mut ids), event) {
            // Without a receiver the balancer is ending, and nobody needs to know.
            let _ = self.events.send(event);
        }
    }
}

/// The address of an endpoint, and the endpoint as it was given.
async fn locate(endpoint: Option<&str>) -> Result<(SocketAddr, String), String> {
    let endpoint = endpoint.ok_or("it has no endpoint; give its host:port")?;
    let endpoint: HostPort = endpoint.parse().map_err(|_| format!("'{endpoint}' is not host:port"))?;
    let failed = |error: &dyn std::fmt::Display| {
        format!("cannot resolve '{endpoint}': {error}; check that the name exists")
    };
    let found = timeout(LOOKUP_TIMEOUT, lookup_host(endpoint.to_string())).await;
    let found: io::Result<_> = found.map_err(|_| failed(&"no answer in time"))?;
    let addresses: Vec<_> = found.map_err(|error| failed(&error))?.collect();
    let address = preferred(&addresses).ok_or_else(|| failed(&"the name has no address"))?;
    Ok((address, endpoint.to_string()))
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
        fixed.start(launch(1, Some("127.0.0.1:1")));
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

    #[test]
    fn ipv4_is_preferred() {
        let [v6, a, b] = ["[::1]:1", "10.0.0.1:1", "10.0.0.2:1"].map(|text| text.parse().unwrap());
        assert_eq!(preferred(&[v6, a, b]), Some(a));
        assert_eq!(preferred(&[v6]), Some(v6));
        assert_eq!(preferred(&[]), None);
    }
}
