//! What this balancer wants of the Swarm, held against what is there: decides what is told to the
//! pool and what is done. Pure: calls nothing, and is given the time.
//!
//! Nothing here depends on when a wish came or whether a call was answered. Each look at the
//! world gives all that is left to do; so an engine that was away, a lost answer or another
//! balancer's change needs no code of its own.

mod farewell;
mod inventory;
mod replica;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use self::farewell::{Farewell, Step};
use self::inventory::Inventory;
use self::replica::{Replica, Stage};
use self::sweep::Sweep;
use super::numbers;
use super::world::World;
use crate::runtime::engine::naming;
use crate::runtime::{Launch, ReplicaId, RuntimeEvent};

/// What a Swarm takes for itself to end a task: 2 s to take it out of its DNS before SIGTERM, and
/// the way there and back.
const SWARM_DELAY: Duration = Duration::from_secs(4);

/// A change to make in the Swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Tell why a task ended, as the end of a replica.
    Explain { id: ReplicaId, task: String },
    /// Create a service.
    Make { launch: Launch, token: String },
    /// Give a service another number, if it is still as it was.
    Renumber { service: String, version: u64, number: u32 },
    /// Mark a service as being removed.
    Mark { service: String },
    /// Delete a service.
    Delete { service: String },
}

/// What follows from one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Todo {
    /// To be told first, in this order.
    pub(super) events: Vec<RuntimeEvent>,
    /// To be done then.
    pub(super) deeds: Vec<Deed>,
}

/// All that is wanted and known.
#[derive(Debug)]
pub(super) struct Book {
    replicas: BTreeMap<ReplicaId, Replica>,
    /// Services that are removed here, by their ids.
    farewells: BTreeMap<String, Farewell>,
    inventory: Inventory,
    sweep: Sweep,
    /// Where replicas listen.
    port: u16,
    /// Longest wait for a task to end whose service was deleted.
    patience: Duration,
}

impl Book {
    /// An empty one; replicas listen on `port` and have `stop_timeout` between SIGTERM and SIGKILL.
    pub(super) fn new(port: u16, stop_timeout: Duration) -> Self {
        Self {
            replicas: BTreeMap::new(),
            farewells: BTreeMap::new(),
            inventory: Inventory::default(),
            sweep: Sweep::default(),
            port,
            patience: stop_timeout * 2 + SWARM_DELAY,
        }
    }

    /// A replica is wanted. `token` is a word that no other launch has.
    pub(super) fn start(&mut self, launch: Launch, token: String) {
        let stage =
            if launch.existing.is_some() { Stage::Seeking } else { Stage::Making { token, tried: false } };
        self.replicas.insert(launch.id, Replica { launch, stage });
    }

    /// A replica has left the ring here, and is to leave it elsewhere.
    pub(super) fn retire(&mut self, id: ReplicaId, now: Instant) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        match &replica.stage {
            Stage::Waiting { service } | Stage::Running { service, .. } => {
                let farewell = Farewell::new(id, self.inventory.has_seen(service), now);
                self.farewells.insert(service.clone(), farewell);
                self.replicas.remove(&id);
            }
            Stage::Seeking => replica.stage = Stage::Forsaken { stop: false },
            Stage::Making { .. } | Stage::Unmaking { .. } | Stage::Forsaken { .. } => {}
        }
    }

    /// A replica is to end. Returns what is to be told at once.
    pub(super) fn stop(&mut self, id: ReplicaId, now: Instant) -> Option<RuntimeEvent> {
        self.retire(id, now);
        if let Some(farewell) = self.farewells.values_mut().find(|farewell| farewell.is_of(id)) {
            farewell.stop();
            return None;
        }
        let replica = self.replicas.get_mut(&id)?;
        match &mut replica.stage {
            Stage::Making { token, tried: true } | Stage::Unmaking { token } => {
                replica.stage = Stage::Unmaking { token: std::mem::take(token) };
                return None;
            }
            Stage::Forsaken { stop } => {
                *stop = true;
                return None;
            }
            _ => {}
        }
        self.replicas.remove(&id);
        Some(RuntimeEvent::Exited { id, reason: "stopped before it was started".to_owned() })
    }

    /// The next look tells of everything, even if nothing is new.
    pub(super) fn retell(&mut self) {
        self.inventory.retell();
    }

    /// A service was asked for, and no answer has come yet.
    pub(super) fn making(&mut self, id: ReplicaId) {
        if let Some(Replica { stage: Stage::Making { tried, .. }, .. }) = self.replicas.get_mut(&id) {
            *tried = true;
        }
    }

    /// The end of a replica was told. Until then each look asks for it again.
    pub(super) fn explained(&mut self, id: ReplicaId) {
        self.replicas.remove(&id);
    }

    /// A service was refused: its replica is none of ours any more.
    pub(super) fn refused(&mut self, id: ReplicaId) {
        self.replicas.remove(&id);
    }

    /// A service was marked as being removed.
    pub(super) fn marked(&mut self, service: &str, now: Instant) {
        if let Some(farewell) = self.farewells.get_mut(service) {
            farewell.marked(now);
        }
    }

    /// A service was deleted.
    pub(super) fn deleted(&mut self, service: &str, now: Instant) {
        if let Some(farewell) = self.farewells.get_mut(service) {
            farewell.deleted(now);
        }
    }

    /// Whether the name of a replica's service is that of one that is being removed, here or
    /// elsewhere. Then it will be free.
    pub(super) fn is_leaving(&self, world: &World, replica: &str) -> bool {
        let leaves = |id: &String, mark: &Option<String>| mark.is_some() || self.farewells.contains_key(id);
        let mut leaving = world.services.iter().filter(|service| leaves(&service.id, &service.leaving));
        leaving.any(|service| naming::slug(&service.replica) == naming::slug(replica))
    }

    /// Whether something is on its way, so that looking often is worth its price.
    pub(super) fn is_waiting(&self) -> bool {
        let settled = |replica: &Replica| matches!(replica.stage, Stage::Running { .. });
        !self.farewells.is_empty() || !self.replicas.values().all(settled) || self.inventory.is_waiting()
    }

    /// What follows from `world`.
    pub(super) fn look(&mut self, world: &World, now: Instant) -> Todo {
        let mut todo = Todo::default();
        let staying = world.staying();
        let numbers = numbers::settle(&staying);
        // Before the inventory, which would tell the pool of them anew.
        self.let_go(world, now, &mut todo);
        // First of all else, so that what is gone from the pool is not taken for a failure.
        let leaving = self.farewells.keys().cloned().collect();
        todo.events.extend(self.inventory.look(world, &staying, &numbers, &leaving));
        for service in &staying {
            if let Some(&number) = numbers.get(&service.id).filter(|number| service.number != Some(**number))
            {
                let (service, version) = (service.id.clone(), service.version);
                todo.deeds.push(Deed::Renumber { service, version, number });
            }
        }
        self.follow(world, &numbers, &mut todo);
        self.make(world, &numbers, &mut todo);
        self.say_farewell(world, now, &mut todo);
        todo.deeds.extend(self.sweep.look(world, &self.farewells, now));
        // What ended is told even if something else fails.
        todo.deeds.sort_by_key(|deed| !matches!(deed, Deed::Explain { .. }));
        todo
    }

    /// Begins the farewells of services that were not known when they were no longer wanted.
    fn let_go(&mut self, world: &World, now: Instant, todo: &mut Todo) {
        self.replicas.retain(|&id, replica| {
            let (found, stop, otherwise) = match &replica.stage {
                Stage::Unmaking { token } => (world.with_token(token), true, "stopped before it was started"),
                Stage::Forsaken { stop } => (
                    replica.named(world),
                    *stop,
                    "its service is gone, or left to the balancer that removes it",
                ),
                _ => return true,
            };
            let Some(service) = found.filter(|service| !self.farewells.contains_key(&service.id)) else {
                todo.events.push(ended(id, otherwise));
                return false;
            };
            let mut farewell = Farewell::new(id, self.inventory.has_seen(&service.id), now);
            if stop {
                farewell.stop();
            }
            self.farewells.insert(service.id.clone(), farewell);
            false
        });
    }

    /// Takes the replicas from stage to stage.
    fn follow(&mut self, world: &World, numbers: &HashMap<String, u32>, todo: &mut Todo) {
        for id in self.replicas.keys().copied().collect::<Vec<_>>() {
            let Some(replica) = self.replicas.get_mut(&id) else { continue };
            if !replica.find(world) {
                self.replicas.remove(&id);
                let reason = "the Swarm has no service of it any more; it was removed elsewhere".to_owned();
                todo.events.push(RuntimeEvent::StartFailed { id, reason });
                continue;
            }
            if let Some(deed) = replica.advance(world, numbers, self.port, &mut todo.events) {
                todo.deeds.push(deed);
            }
        }
    }

    /// Asks for the services that are missing. Each gets the number it was launched with, unless
    /// another balancer has taken it meanwhile; then the smallest that nobody has or is to get.
    /// One whose name is still that of a service on its way out waits.
    fn make(&self, world: &World, numbers: &HashMap<String, u32>, todo: &mut Todo) {
        let mut taken: HashSet<u32> = numbers.values().copied().collect();
        let making = self.replicas.values().filter_map(|replica| match &replica.stage {
            Stage::Making { token, .. } if !self.is_leaving(world, &replica.launch.name) => {
                Some((replica.launch.clone(), token.clone()))
            }
            _ => None,
        });
        let (free, late): (Vec<_>, Vec<_>) = making.partition(|(launch, _)| taken.insert(launch.number));
        todo.deeds.extend(free.into_iter().map(|(launch, token)| Deed::Make { launch, token }));
        for (mut launch, token) in late {
            launch.number = numbers::smallest_free(&taken);
            taken.insert(launch.number);
            todo.deeds.push(Deed::Make { launch, token });
        }
    }

    fn say_farewell(&mut self, world: &World, now: Instant, todo: &mut Todo) {
        let patience = self.patience;
        self.farewells.retain(|service, farewell| match farewell.look(service, world, patience, now) {
            Step::Wait => true,
            Step::Do(deed) => {
                todo.deeds.push(deed);
                true
            }
            Step::Done(reason) => {
                todo.events.push(ended(farewell.id(), reason));
                false
            }
        });
    }
}

fn ended(id: ReplicaId, reason: &str) -> RuntimeEvent {
    RuntimeEvent::Exited { id, reason: reason.to_owned() }
}
