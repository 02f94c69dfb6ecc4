//! Containers of others that join the ring while they run. Pure; knows no engine.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::hint;
use super::report::Running;
use super::seen::{Seen, State};
use crate::runtime::engine::naming;
use crate::runtime::{Found, Owner, ReplicaId};

/// Time after which a container that was told to end and runs all the same is welcome again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest name of a replica.
const MAX_NAME: usize = 63;

/// The guests, and which of them are replicas.
#[derive(Debug, Default)]
pub(super) struct Guests {
    /// Those that run and have an address, by id.
    seen: BTreeMap<String, Guest>,
    /// Those that the pool has taken up.
    members: HashMap<ReplicaId, Member>,
    /// Those that were told to end, and when.
    leaving: HashMap<String, Instant>,
    /// Those whose lack of an address has been logged.
    without_address: HashSet<String>,
    /// Counts the ends: a list that was asked for before one is out of date.
    revision: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Guest {
    name: String,
    address: SocketAddr,
}

#[derive(Clone, Debug)]
struct Member {
    key: String,
    stop_signal: i32,
    /// Where the pool was told it is; `None` before that, and once that is no longer true.
    address: Option<SocketAddr>,
}

impl Guests {
    /// What a list that is asked for now is to carry.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether a container may be taken up.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.seen.contains_key(key)
    }

    /// The pool takes one up.
    pub(super) fn join(&mut self, id: ReplicaId, key: String) {
        self.members.insert(id, Member { key, stop_signal: hint::SIGTERM, address: None });
    }

    /// It runs. `false` if the pool no longer wants it.
    pub(super) fn is_up(&mut self, id: ReplicaId, running: &Running) -> bool {
        let Some(member) = self.members.get_mut(&id) else { return false };
        member.stop_signal = running.stop_signal;
        member.address = Some(running.address);
        true
    }

    /// The pool has let it go, or it could not be taken up.
    pub(super) fn forget(&mut self, id: ReplicaId) -> bool {
        self.members.remove(&id).is_some()
    }

    /// Those that were to be taken up when the engine was lost.
    pub(super) fn waiting(&self) -> Vec<(ReplicaId, String)> {
        let waiting = self.members.iter().filter(|(_, member)| member.address.is_none());
        waiting.map(|(id, member)| (*id, member.key.clone())).collect()
    }

    /// The replicas that a container is.
    pub(super) fn members(&self, key: &str) -> Vec<ReplicaId> {
        self.members.iter().filter(|(_, member)| member.key == key).map(|(id, _)| *id).collect()
    }

    /// A container was sent a signal: the replicas that are ending by it, and whether the list
    /// of guests has become another one.
    pub(super) fn signalled(&mut self, key: &str, signal: i32, now: Instant) -> (Vec<ReplicaId>, bool) {
        let members: Vec<_> = self.members.iter().filter(|(_, member)| member.key == key).collect();
        let stop_signal = members.first().map_or(hint::SIGTERM, |(_, member)| member.stop_signal);
        let concerned = self.seen.contains_key(key) || !members.is_empty();
        if !concerned || !hint::ends(signal, stop_signal) {
            return (Vec::new(), false);
        }
        let ids = members.into_iter().map(|(id, _)| *id).collect();
        self.leaving.insert(key.to_owned(), now);
        (ids, self.seen.remove(key).is_some())
    }

    /// The program of one that may be a guest ended. Whether the list of guests has become another one.
    pub(super) fn died(&mut self, key: &str) -> bool {
        self.revision += 1;
        self.leaving.remove(key);
        self.seen.remove(key).is_some()
    }

    /// Takes in a list: the guests to tell of, in this order, if anything has changed. Where one
    /// has come back at another address, it is left out once, so that it is taken up anew.
    pub(super) fn update(
        &mut self,
        listed: Vec<Seen>,
        networks: &[String],
        port: u16,
        now: Instant,
    ) -> Vec<Vec<Found>> {
        let running: HashSet<_> = listed.iter().map(|seen| seen.id.clone()).collect();
        self.leaving.retain(|key, since| running.contains(key) && now - *since < PATIENCE);
        self.without_address.retain(|key| running.contains(key));
        let mut seen = BTreeMap::new();
        for container in listed {
            if container.state != State::Running || self.leaving.contains_key(&container.id) {
                continue;
            }
            if let Some(address) = container.address(networks, port) {
                seen.insert(container.id, Guest { name: container.name, address });
            } else if self.without_address.insert(container.id.clone()) {
                let name = container.name;
                tracing::warn!(
                    container = name,
                    "discovered, but left out: it has no address; attach it to a network"
                );
            }
        }
        let moved = self.moved(&seen);
        if moved.is_empty() && seen == self.seen {
            return Vec::new();
        }
        let mut steps = Vec::new();
        self.seen = seen;
        if !moved.is_empty() {
            let all = self.found();
            steps.push(all.into_iter().filter(|found| !moved.contains(&found.key)).collect());
        }
        steps.push(self.found());
        steps
    }

    /// Members that are at another address by now; each is told once.
    fn moved(&mut self, seen: &BTreeMap<String, Guest>) -> HashSet<String> {
        let mut moved = HashSet::new();
        for member in self.members.values_mut() {
            let now = seen.get(&member.key).map(|guest| guest.address);
            if now.is_some() && member.address.is_some() && member.address != now {
                member.address = None;
                moved.insert(member.key.clone());
            }
        }
        moved
    }

    /// The guests, by name.
    pub(super) fn found(&self) -> Vec<Found> {
        let mut guests: Vec<_> = self.seen.iter().collect();
        guests.sort_by_key(|(key, guest)| (guest.name.clone(), (*key).clone()));
        let mut slugs = HashSet::new();
        let unique = |(key, guest): (&String, &Guest)| {
            let mut name = replica_name(&guest.name);
            if !slugs.insert(naming::slug(&name)) {
                name = replica_name(&format!("{:.50}-{}", name, naming::short(key)));
            }
            Found { key: key.clone(), name, number: None, owner: Owner::Discovered }
        };
        guests.into_iter().map(unique).collect()
    }
}

/// A container's name as that of a replica: a letter first, then letters, digits, `_` and `-`.
fn replica_name(container: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = container.chars().map(allowed).collect();
    let name = if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("c-{name}") };
    name.chars().take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(id: &str, name: &str, ip: &str) -> Seen {
        let addresses = ip.parse().into_iter().map(|ip| ("n".to_owned(), ip)).collect();
        let labels = HashMap::new();
        Seen {
            id: id.into(),
            name: name.into(),
            labels,
            state: State::Running,
            addresses,
            created: 0,
            stop_signal: 15,
        }
    }

    fn keys(steps: &[Vec<Found>]) -> Vec<Vec<&str>> {
        steps.iter().map(|step| step.iter().map(|found| found.key.as_str()).collect()).collect()
    }

    fn up(guests: &mut Guests, id: u64, key: &str, address: &str) {
        guests.join(ReplicaId(id), key.to_owned());
        let running = Running { container: key.into(), address: address.parse().unwrap(), stop_signal: 3 };
        assert!(guests.is_up(ReplicaId(id), &running));
    }

    #[tokio::test]
    async fn only_changes_are_told() {
        let (mut guests, now) = (Guests::default(), Instant::now());
        let list = || vec![seen("1", "a", "10.0.0.1"), seen("2", "b", "")];
        assert_eq!(keys(&guests.update(list(), &[], 80, now)), [["1"]]);
        assert!(guests.update(list(), &[], 80, now).is_empty());
        assert!(guests.knows("1") && !guests.knows("2"));
        assert!(guests.died("1") && !guests.died("1"));
        assert_eq!(guests.revision(), 2);
    }

    #[tokio::test]
    async fn one_that_was_told_to_end_stays_out_until_it_has() {
        let (mut guests, now) = (Guests::default(), Instant::now());
        let list = || vec![seen("1", "a", "10.0.0.1")];
        guests.update(list(), &[], 80, now);
        up(&mut guests, 7, "1", "10.0.0.1:80");
        assert_eq!(guests.signalled("1", 1, now), (vec![], false));
        assert_eq!(guests.signalled("1", 3, now), (vec![ReplicaId(7)], true));
        assert_eq!(guests.signalled("9", 9, now), (vec![], false));
        assert!(guests.update(list(), &[], 80, now).is_empty());
        assert_eq!(keys(&guests.update(list(), &[], 80, now + PATIENCE)), [["1"]]);
        guests.signalled("1", 15, now);
        guests.died("1");
        assert_eq!(keys(&guests.update(list(), &[], 80, now)), [["1"]]);
    }

    #[tokio::test]
    async fn one_that_moved_leaves_and_joins() {
        let (mut guests, now) = (Guests::default(), Instant::now());
        let list = |ip: &str| vec![seen("1", "a", ip), seen("2", "b", "10.0.0.2")];
        guests.update(list("10.0.0.1"), &[], 80, now);
        up(&mut guests, 7, "1", "10.0.0.1:80");
        assert_eq!(keys(&guests.update(list("10.0.0.9"), &[], 80, now)), [vec!["2"], vec!["1", "2"]]);
        assert!(guests.update(list("10.0.0.9"), &[], 80, now).is_empty());
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
        let mut guests = Guests::default();
        let list = vec![seen("1", "a.1", "10.0.0.1"), seen("222", "a-1", "10.0.0.2")];
        guests.update(list, &[], 80, Instant::now());
        let names: Vec<_> = guests.found().into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["a-1", "a-1-1"]);
    }
}
