//! Replicas that others run: this runtime only looks up where they are.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Launch, Owner, ReplicaId, Runtime, RuntimeEvent, RuntimeEvents};
use crate::names::HostPort;

/// Time to resolve a host name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Host names resolved at a time: each needs a thread until the resolver of the system answers,
/// and there may be thousands of names.
const LOOKUPS_AT_ONCE: usize = 16;

/// Least time between two lookups of one name: the resolver keeps what it found for its time to live.
const LOOKUP_PAUSE: Duration = Duration::from_secs(1);

/// The fixed runtime.
///
/// A host name is resolved when the replica is added, and again on [`Runtime::locate`]; an address
/// needs no resolving. Of several addresses the IPv4 ones are tried first: `localhost` often resolves to
/// `::1` first, while few servers listen there.
#[derive(Debug)]
pub struct Fixed {
    known: Known,
    lookups: Arc<Semaphore>,
}

/// The replicas there are. An event is sent under the lock and only about one of them, so that
/// a lookup that ends after `stop` says nothing.
#[derive(Clone, Debug)]
struct Known {
    places: Arc<Mutex<HashMap<ReplicaId, Place>>>,
    events: RuntimeEvents,
}

/// Where a replica is.
#[derive(Debug)]
enum Place {
    /// At an address, for good.
    Address,
    /// Where this name (`host:port`) leads.
    Name { endpoint: String, lookup: Lookup },
}

/// Whether a name may be looked up now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lookup {
    UnderWay,
    Ended(Instant),
}

impl Fixed {
    /// A runtime without replicas, which reports to `events`.
    pub fn new(events: RuntimeEvents) -> Self {
        Self {
            known: Known { places: Arc::default(), events },
            lookups: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
        }
    }

    /// Resolves a name on a task and hands the outcome to `located`.
    fn look_up(
        &self,
        endpoint: String,
        located: impl FnOnce(&Known, Result<Vec<SocketAddr>, String>) + Send + 'static,
    ) {
        let (known, lookups) = (self.known.clone(), Arc::clone(&self.lookups));
        tokio::spawn(async move {
            let found = resolve(&endpoint, lookups).await;
            located(&known, found);
        });
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
        let refused = |reason| self.known.send(RuntimeEvent::StartFailed { id, reason });
        let Some(endpoint) = launch.existing else {
            return refused("it has no endpoint; give its host:port".to_owned());
        };
        let Ok(endpoint) = endpoint.parse::<HostPort>().map(|endpoint| endpoint.to_string()) else {
            return refused(format!("'{endpoint}' is not host:port"));
        };
        if let Ok(address) = endpoint.parse() {
            self.known.lock().insert(id, Place::Address);
            return self.known.send(RuntimeEvent::Started { id, address, instance: endpoint });
        }
        let place = Place::Name { endpoint: endpoint.clone(), lookup: Lookup::UnderWay };
        self.known.lock().insert(id, place);
        let instance = endpoint.clone();
        self.look_up(endpoint, move |known, found| known.first_located(id, instance, found));
    }

    /// # Panics
    /// Outside of a tokio runtime.
    fn locate(&self, id: ReplicaId) {
        let mut places = self.known.lock();
        let Some(Place::Name { endpoint, lookup }) = places.get_mut(&id) else { return };
        if !matches!(*lookup, Lookup::Ended(at) if at.elapsed() >= LOOKUP_PAUSE) {
            return;
        }
        *lookup = Lookup::UnderWay;
        let endpoint = endpoint.clone();
        drop(places);
        self.look_up(endpoint, move |known, found| known.located_again(id, found));
    }

    fn stop(&self, id: ReplicaId) {
        let mut places = self.known.lock();
        if places.remove(&id).is_some() {
            let reason = "no longer used; whoever runs it keeps it running".to_owned();
            self.known.send(RuntimeEvent::Exited { id, reason });
        }
    }
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, HashMap<ReplicaId, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, event: RuntimeEvent) {
        // Without a receiver the balancer is ending, and nobody needs to know.
        let _ = self.events.send(event);
    }

    /// Tells where a replica is, or why that is not known.
    fn first_located(&self, id: ReplicaId, instance: String, found: Result<Vec<SocketAddr>, String>) {
        let mut places = self.lock();
        match found {
            Ok(addresses) if ended(&mut places, id) => {
                self.send(RuntimeEvent::Started { id, address: addresses[0], instance });
                if addresses.len() > 1 {
                    self.send(RuntimeEvent::Located { id, addresses });
                }
            }
            Err(reason) if places.remove(&id).is_some() => {
                self.send(RuntimeEvent::StartFailed { id, reason });
            }
            _ => {}
        }
    }

    /// Tells where a replica is now. While that cannot be found out, it is where it was.
    fn located_again(&self, id: ReplicaId, found: Result<Vec<SocketAddr>, String>) {
        let mut places = self.lock();
        let known = ended(&mut places, id);
        match found {
            Ok(addresses) if known => self.send(RuntimeEvent::Located { id, addresses }),
            Ok(_) => {}
            Err(reason) => tracing::debug!(id = id.0, reason, "an upstream stays where it was"),
        }
    }
}

/// The lookup of a name has ended; whether its replica is still known.
fn ended(places: &mut HashMap<ReplicaId, Place>, id: ReplicaId) -> bool {
    let Some(Place::Name { lookup, .. }) = places.get_mut(&id) else { return false };
    *lookup = Lookup::Ended(Instant::now());
    true
}

/// The addresses of an endpoint that is given by name, at least one. Waits until one of the `lookups` is
/// free.
async fn resolve(endpoint: &str, lookups: Arc<Semaphore>) -> Result<Vec<SocketAddr>, String> {
    let failed = |error: &dyn std::fmt::Display| {
        format!("cannot resolve '{endpoint}': {error}; check that the name in --upstream exists")
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
    let found = found.map_err(|error| failed(&error))?;
    let addresses = match loopback(endpoint) {
        Some(both) => found.into_iter().flatten().chain(both).collect(),
        None => found.map_err(|error| failed(&error))?,
    };
    if addresses.is_empty() {
        return Err(failed(&"the name has no address"));
    }
    Ok(in_order(addresses))
}

/// Both loopback addresses, if that is what the name stands for (RFC 6761, section 6.3). Many systems
/// list only one of them under `localhost`, and servers listen on the other.
fn loopback(endpoint: &str) -> Option<[SocketAddr; 2]> {
    let (host, port) = endpoint.rsplit_once(':')?;
    let port = port.parse().ok().filter(|_| host.eq_ignore_ascii_case("localhost"))?;
    Some([(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()])
}

/// Each address once, IPv4 first, else in the order of the resolver.
fn in_order(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn launch(id: u64, endpoint: Option<&str>) -> Launch {
        let endpoint = endpoint.map(str::to_owned);
        Launch {
            id: ReplicaId(id),
            name: format!("S{id}"),
            number: 1,
            existing: endpoint,
            revision: std::sync::Arc::default(),
            replaces: None,
        }
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
        let mut started = 0;
        while started < ids.clone().count() {
            let event = seen.recv().await.expect("the runtime holds a sender");
            assert!(!matches!(event, RuntimeEvent::StartFailed { .. }), "{event:?}");
            started += usize::from(matches!(event, RuntimeEvent::Started { .. }));
        }
    }

    #[tokio::test]
    async fn a_name_is_located_again_but_not_all_the_time() {
        let (events, mut seen) = unbounded_channel();
        let fixed = Fixed::new(events);
        fixed.start(launch(1, Some("localhost:9")));
        let Some(RuntimeEvent::Started { address, .. }) = seen.recv().await else { panic!("not started") };
        let first: Vec<_> = std::iter::from_fn(|| seen.try_recv().ok()).collect();
        fixed.locate(ReplicaId(1));
        assert!(matches!(fixed.known.lock()[&ReplicaId(1)], Place::Name { lookup: Lookup::Ended(_), .. }));
        if let Some(Place::Name { lookup: Lookup::Ended(at), .. }) = fixed.known.lock().get_mut(&ReplicaId(1))
        {
            *at -= LOOKUP_PAUSE;
        }
        fixed.locate(ReplicaId(1));
        fixed.locate(ReplicaId(1));
        let Some(RuntimeEvent::Located { addresses, .. }) = seen.recv().await else { panic!("not located") };
        assert!(addresses.contains(&address), "{first:?} {addresses:?}");
        fixed.locate(ReplicaId(2));
        fixed.stop(ReplicaId(1));
        assert!(matches!(seen.recv().await, Some(RuntimeEvent::Exited { .. })));
    }

    #[test]
    fn localhost_is_both() {
        let both = ["127.0.0.1:80", "[::1]:80"].map(|text| text.parse().unwrap());
        assert_eq!(loopback("LocalHost:80"), Some(both));
        assert_eq!((loopback("localhost.example:80"), loopback("127.0.0.1:80")), (None, None));
    }

    #[test]
    fn each_address_is_there_once_and_ipv4_comes_first() {
        let [v6, a, b] = ["[::1]:1", "10.0.0.1:1", "10.0.0.2:1"].map(|text| text.parse().unwrap());
        assert_eq!(in_order(vec![v6, a, b, a, v6]), [a, b, v6]);
        assert_eq!(in_order(vec![v6]), [v6]);
    }
}
