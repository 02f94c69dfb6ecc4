//! Containers that others run and that join the ring while they run, found by their label. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::container::{Container, ContainerStatus, RunningContainer};
use super::signals;
use crate::runtime::engine::naming;
use crate::runtime::{Found, Owner, Place, ReplicaId};

/// Time after which a container that was asked to end and still runs is listed again.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Longest name of a replica, in characters.
const MAX_NAME: usize = 63;

/// The discovered containers, and the replicas that the pool has made of them.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    /// Containers that run and have an address, by id.
    containers: BTreeMap<String, Reachable>,
    /// Replicas that the pool has attached.
    attached: HashMap<ReplicaId, Attached>,
    /// Containers that were asked to end, and when.
    stopping: HashMap<String, Instant>,
    /// Containers without an address for which that has been logged.
    without_address: HashSet<String>,
    /// Grows with each end of a container: a list that was asked for before is out of date.
    revision: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reachable {
    name: String,
    address: SocketAddr,
}

#[derive(Clone, Debug)]
struct Attached {
    container: String,
    stop_signal: i32,
    /// The address that the pool knows; `None` before that, and once it has changed.
    address: Option<SocketAddr>,
}

impl Discovered {
    /// The revision that a list asked for now has to carry.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether the container with this id can be attached.
    pub(super) fn contains(&self, container: &str) -> bool {
        self.containers.contains_key(container)
    }

    /// The pool makes a replica of a container.
    pub(super) fn attach(&mut self, id: ReplicaId, container: String) {
        self.attached.insert(id, Attached { container, stop_signal: signals::SIGTERM, address: None });
    }

    /// The container of a replica runs. `false` if the pool no longer wants the replica.
    pub(super) fn started(&mut self, id: ReplicaId, running: &RunningContainer) -> bool {
        let Some(attached) = self.attached.get_mut(&id) else { return false };
        attached.stop_signal = running.stop_signal;
        attached.address = Some(running.address);
        true
    }

    /// Forgets a replica. `false` if it is not one of these.
    pub(super) fn detach(&mut self, id: ReplicaId) -> bool {
        self.attached.remove(&id).is_some()
    }

    /// The replicas that have not been reported as started, with their containers.
    pub(super) fn pending(&self) -> Vec<(ReplicaId, String)> {
        let pending = self.attached.iter().filter(|(_, attached)| attached.address.is_none());
        pending.map(|(id, attached)| (*id, attached.container.clone())).collect()
    }

    /// The replicas made of a container.
    pub(super) fn replicas_of(&self, container: &str) -> Vec<ReplicaId> {
        let of_it = self.attached.iter().filter(|(_, attached)| attached.container == container);
        of_it.map(|(id, _)| *id).collect()
    }

    /// A container was sent a signal. Returns the replicas that end by it, and whether the
    /// inventory has changed.
    pub(super) fn signalled(&mut self, container: &str, signal: i32, now: Instant) -> (Vec<ReplicaId>, bool) {
        let ids = self.replicas_of(container);
        let stop_signal = ids.first().map_or(signals::SIGTERM, |id| self.attached[id].stop_signal);
        let known = self.contains(container) || !ids.is_empty();
        if !known || !signals::is_stop(signal, stop_signal) {
            return (Vec::new(), false);
        }
        self.stopping.insert(container.to_owned(), now);
        (ids, self.containers.remove(container).is_some())
    }

    /// The program of a container ended. Returns whether the inventory has changed.
    pub(super) fn exited(&mut self, container: &str) -> bool {
        self.revision += 1;
        self.stopping.remove(container);
        self.containers.remove(container).is_some()
    }

    /// Takes in a list. Returns the inventories to report, in this order; none if nothing has
    /// changed. A container whose address has changed is missing from the first of two, so that
    /// the pool attaches it again.
    pub(super) fn update(
        &mut self,
        listed: Vec<Container>,
        networks: &[String],
        port: u16,
        now: Instant,
    ) -> Vec<Vec<Found>> {
        let running: HashSet<_> = listed.iter().map(|container| container.id.clone()).collect();
        self.stopping.retain(|id, since| running.contains(id) && now - *since < STOP_PATIENCE);
        self.without_address.retain(|id| running.contains(id));
        let mut containers = BTreeMap::new();
        for container in listed {
            if container.status != ContainerStatus::Running || self.stopping.contains_key(&container.id) {
                continue;
            }
            if let Some(address) = container.address(networks, port) {
                containers.insert(container.id, Reachable { name: container.name, address });
            } else if self.without_address.insert(container.id.clone()) {
                let name = container.name;
                tracing::warn!(
                    container = name,
                    "discovered, but left out: it has no address; attach it to a network"
                );
            }
        }
        let moved = self.moved(&containers);
        if moved.is_empty() && containers == self.containers {
            return Vec::new();
        }
        let mut inventories = Vec::new();
        self.containers = containers;
        if !moved.is_empty() {
            let all = self.found();
            inventories.push(all.into_iter().filter(|found| !moved.contains(&found.key)).collect());
        }
        inventories.push(self.found());
        inventories
    }

    /// The containers of replicas whose address has changed; each is returned once.
    fn moved(&mut self, containers: &BTreeMap<String, Reachable>) -> HashSet<String> {
        let mut moved = HashSet::new();
        for attached in self.attached.values_mut() {
            let now = containers.get(&attached.container).map(|container| container.address);
            if now.is_some() && attached.address.is_some() && attached.address != now {
                attached.address = None;
                moved.insert(attached.container.clone());
            }
        }
        moved
    }

    /// The inventory of discovered containers, by name.
    pub(super) fn found(&self) -> Vec<Found> {
        let mut containers: Vec<_> = self.containers.iter().collect();
        containers.sort_by_key(|(id, container)| (container.name.clone(), (*id).clone()));
        let mut slugs = HashSet::new();
        let unique = |(id, container): (&String, &Reachable)| {
            let mut name = replica_name(&container.name);
            if !slugs.insert(naming::slug(&name)) {
                name = replica_name(&format!("{:.50}-{}", name, naming::short(id)));
            }
            let (key, owner, revision, place) = (id.clone(), Owner::Discovered, String::new(), Place::Holder);
            Found { key, name, number: None, owner, revision, place }
        };
        containers.into_iter().map(unique).collect()
    }
}

/// Makes a replica's name of a container's: a letter first, then letters, digits, `_` and `-`.
fn replica_name(container: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = container.chars().map(allowed).collect();
    let name = if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("c-{name}") };
    name.chars().take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, name: &str, ip: &str) -> Container {
        let addresses = ip.parse().into_iter().map(|ip| ("n".to_owned(), ip)).collect();
        let labels = HashMap::new();
        Container {
            id: id.into(),
            name: name.into(),
            labels,
            status: ContainerStatus::Running,
            addresses,
            created: 0,
            stop_signal: 15,
        }
    }

    fn keys(inventories: &[Vec<Found>]) -> Vec<Vec<&str>> {
        inventories.iter().map(|found| found.iter().map(|found| found.key.as_str()).collect()).collect()
    }

    fn started(discovered: &mut Discovered, id: u64, key: &str, address: &str) {
        discovered.attach(ReplicaId(id), key.to_owned());
        let running =
            RunningContainer { container: key.into(), address: address.parse().unwrap(), stop_signal: 3 };
        assert!(discovered.started(ReplicaId(id), &running));
    }

    #[tokio::test]
    async fn only_changes_are_reported() {
        let (mut discovered, now) = (Discovered::default(), Instant::now());
        let list = || vec![container("1", "a", "10.0.0.1"), container("2", "b", "")];
        assert_eq!(keys(&discovered.update(list(), &[], 80, now)), [["1"]]);
        assert!(discovered.update(list(), &[], 80, now).is_empty());
        assert!(discovered.contains("1") && !discovered.contains("2"));
        assert!(discovered.exited("1") && !discovered.exited("1"));
        assert_eq!(discovered.revision(), 2);
    }

    #[tokio::test]
    async fn a_container_asked_to_end_stays_out_until_it_has() {
        let (mut discovered, now) = (Discovered::default(), Instant::now());
        let list = || vec![container("1", "a", "10.0.0.1")];
        discovered.update(list(), &[], 80, now);
        started(&mut discovered, 7, "1", "10.0.0.1:80");
        assert_eq!(discovered.signalled("1", 1, now), (vec![], false));
        assert_eq!(discovered.signalled("1", 3, now), (vec![ReplicaId(7)], true));
        assert_eq!(discovered.signalled("9", 9, now), (vec![], false));
        assert!(discovered.update(list(), &[], 80, now).is_empty());
        assert_eq!(keys(&discovered.update(list(), &[], 80, now + STOP_PATIENCE)), [["1"]]);
        discovered.signalled("1", 15, now);
        discovered.exited("1");
        assert_eq!(keys(&discovered.update(list(), &[], 80, now)), [["1"]]);
    }

    #[tokio::test]
    async fn a_container_that_moved_leaves_and_joins() {
        let (mut discovered, now) = (Discovered::default(), Instant::now());
        let list = |ip: &str| vec![container("1", "a", ip), container("2", "b", "10.0.0.2")];
        discovered.update(list("10.0.0.1"), &[], 80, now);
        started(&mut discovered, 7, "1", "10.0.0.1:80");
        assert_eq!(keys(&discovered.update(list("10.0.0.9"), &[], 80, now)), [vec!["2"], vec!["1", "2"]]);
        assert!(discovered.update(list("10.0.0.9"), &[], 80, now).is_empty());
    }

    #[test]
    fn names_become_those_of_replicas() {
        let golden = [("shop_app.1", "shop_app-1"), ("9lives", "c-9lives"), ("a", "a")];
        for (container, name) in golden {
            assert_eq!(replica_name(container), name);
        }
        assert_eq!(replica_name(&"x".repeat(99)).len(), MAX_NAME);
    }

    #[tokio::test]
    async fn names_within_a_list_differ() {
        let mut discovered = Discovered::default();
        let list = vec![container("1", "a.1", "10.0.0.1"), container("222", "a-1", "10.0.0.2")];
        discovered.update(list, &[], 80, Instant::now());
        let names: Vec<_> = discovered.found().into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["a-1", "a-1-1"]);
    }
}
