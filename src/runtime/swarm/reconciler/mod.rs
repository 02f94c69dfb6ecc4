//! Compares the replicas that the pool wants with the observed state of the Swarm, and decides what
//! is reported to the pool and which operations are performed. Pure: calls nothing, and is given the
//! time.
//!
//! Nothing depends on when a replica was wanted or whether a response was received. Each pass
//! yields everything that is left to do. So an engine that was away, a lost response, or a change
//! by another balancer need no code of their own.

mod desired;
mod inventory;
mod removal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use self::desired::{DesiredReplica, Stage};
use self::inventory::Inventory;
use self::removal::{AbandonedRemovals, Removal, Step};
use super::numbers;
use super::observed::ObservedState;
use crate::runtime::engine::naming;
use crate::runtime::{Launch, ReplicaId, RuntimeEvent};

/// Time that a Swarm needs besides the grace period to end a task: 2 s to take it out of its DNS
/// before SIGTERM, and the messages between its nodes.
const SWARM_DELAY: Duration = Duration::from_secs(4);

/// An operation to perform in the Swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Find out why a task ended, and report that as the end of a replica.
    ReportExit { id: ReplicaId, task: String },
    /// Create a service.
    Create { launch: Launch, token: String },
    /// Give a service another number, if its version is still this one.
    SetNumber { service: String, version: u64, number: u32 },
    /// Mark a service as being removed.
    Mark { service: String },
    /// Delete a service.
    Delete { service: String },
}

/// The result of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Events to report first, in this order.
    pub(super) events: Vec<RuntimeEvent>,
    /// Operations to perform then, in this order.
    pub(super) operations: Vec<Operation>,
}

/// The desired state, and what is known of the operations so far.
#[derive(Debug)]
pub(super) struct Reconciler {
    replicas: BTreeMap<ReplicaId, DesiredReplica>,
    /// Services that this balancer removes, by id.
    removals: BTreeMap<String, Removal>,
    inventory: Inventory,
    abandoned: AbandonedRemovals,
    /// Port that replicas listen on.
    port: u16,
    /// Longest wait for the task of a deleted service to end.
    patience: Duration,
}

impl Reconciler {
    /// A reconciler without replicas. They listen on `port`, and have `stop_timeout` between SIGTERM
    /// and SIGKILL.
    pub(super) fn new(port: u16, stop_timeout: Duration) -> Self {
        Self {
            replicas: BTreeMap::new(),
            removals: BTreeMap::new(),
            inventory: Inventory::default(),
            abandoned: AbandonedRemovals::default(),
            port,
            patience: stop_timeout * 2 + SWARM_DELAY,
        }
    }

    /// The pool wants a replica. `token` is unique to this launch.
    pub(super) fn start(&mut self, launch: Launch, token: String) {
        let stage = if launch.existing.is_some() {
            Stage::Adopting
        } else {
            Stage::Creating { token, requested: false }
        };
        self.replicas.insert(launch.id, DesiredReplica { launch, stage });
    }

    /// A replica has left the ring here, and is to leave it at the other balancers.
    pub(super) fn retire(&mut self, id: ReplicaId, now: Instant) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        match &replica.stage {
            Stage::Pending { service } | Stage::Running { service, .. } => {
                let removal = Removal::new(id, self.inventory.has_listed(service), now);
                self.removals.insert(service.clone(), removal);
                self.replicas.remove(&id);
            }
            Stage::Adopting => replica.stage = Stage::CancellingAdoption { stop: false },
            Stage::Creating { .. } | Stage::CancellingCreate { .. } | Stage::CancellingAdoption { .. } => {}
        }
    }

    /// A replica is to end. Returns an event to report at once, if it has never existed.
    pub(super) fn stop(&mut self, id: ReplicaId, now: Instant) -> Option<RuntimeEvent> {
        self.retire(id, now);
        if let Some(removal) = self.removals.values_mut().find(|removal| removal.id() == id) {
            removal.stop();
            return None;
        }
        let replica = self.replicas.get_mut(&id)?;
        match &mut replica.stage {
            Stage::Creating { token, requested: true } | Stage::CancellingCreate { token } => {
                replica.stage = Stage::CancellingCreate { token: std::mem::take(token) };
                return None;
            }
            Stage::CancellingAdoption { stop } => {
                *stop = true;
                return None;
            }
            _ => {}
        }
        self.replicas.remove(&id);
        Some(RuntimeEvent::Exited { id, reason: "stopped before it was started".to_owned() })
    }

    /// Reports the inventory in the next pass even if it has not changed.
    pub(super) fn report_again(&mut self) {
        self.inventory.report_again();
    }

    /// The creation of a service was requested; no response has come yet.
    pub(super) fn create_requested(&mut self, id: ReplicaId) {
        let replica = self.replicas.get_mut(&id);
        if let Some(DesiredReplica { stage: Stage::Creating { requested, .. }, .. }) = replica {
            *requested = true;
        }
    }

    /// The end of a replica was reported. Until then each pass yields that operation again.
    pub(super) fn exit_reported(&mut self, id: ReplicaId) {
        self.replicas.remove(&id);
    }

    /// The creation of a service was refused.
    pub(super) fn create_refused(&mut self, id: ReplicaId) {
        self.replicas.remove(&id);
    }

    /// A service was marked as being removed.
    pub(super) fn marked(&mut self, service: &str, now: Instant) {
        if let Some(removal) = self.removals.get_mut(service) {
            removal.marked(now);
        }
    }

    /// A service was deleted.
    pub(super) fn deleted(&mut self, service: &str, now: Instant) {
        if let Some(removal) = self.removals.get_mut(service) {
            removal.deleted(now);
        }
    }

    /// Whether a service with the name that this replica's service gets is being removed, here or by
    /// another balancer, so that the name will be free.
    pub(super) fn is_being_removed(&self, observed: &ObservedState, replica: &str) -> bool {
        let slug = naming::slug(replica);
        observed.services.iter().any(|service| {
            let leaves = service.leaving.is_some() || self.removals.contains_key(&service.id);
            leaves && naming::slug(&service.replica) == slug
        })
    }

    /// Whether a change is under way, so that frequent passes are worth their cost.
    pub(super) fn is_converging(&self) -> bool {
        let runs = |replica: &DesiredReplica| matches!(replica.stage, Stage::Running { .. });
        !self.removals.is_empty() || !self.replicas.values().all(runs) || self.inventory.is_pending()
    }

    /// One pass: what follows from the observed state.
    pub(super) fn reconcile(&mut self, observed: &ObservedState, now: Instant) -> Plan {
        let mut plan = Plan::default();
        let staying = observed.staying();
        let numbers = numbers::assign(&staying);
        // Before the inventory, which would list these services again.
        self.remove_cancelled(observed, now, &mut plan);
        // Before all other events, so that a service that is gone is not taken for a failure.
        let removing = self.removals.keys().cloned().collect();
        plan.events.extend(self.inventory.update(observed, &staying, &numbers, &removing));
        for service in &staying {
            if let Some(&number) = numbers.get(&service.id).filter(|number| service.number != Some(**number))
            {
                let (service, version) = (service.id.clone(), service.version);
                plan.operations.push(Operation::SetNumber { service, version, number });
            }
        }
        self.advance(observed, &numbers, &mut plan);
        self.create(observed, &numbers, &mut plan);
        self.continue_removals(observed, now, &mut plan);
        plan.operations.extend(self.abandoned.finish(observed, &self.removals, now));
        // Ends are reported even if another operation fails.
        plan.operations.sort_by_key(|operation| !matches!(operation, Operation::ReportExit { .. }));
        plan
    }

    /// Begins to remove the services of replicas that were cancelled before their service was known.
    fn remove_cancelled(&mut self, observed: &ObservedState, now: Instant, plan: &mut Plan) {
        self.replicas.retain(|&id, replica| {
            let (found, stop, otherwise) = match &replica.stage {
                Stage::CancellingCreate { token } => {
                    (observed.with_token(token), true, "stopped before it was started")
                }
                Stage::CancellingAdoption { stop } => (
                    replica.named(observed),
                    *stop,
                    "its service is gone, or left to the balancer that removes it",
                ),
                _ => return true,
            };
            let Some(service) = found.filter(|service| !self.removals.contains_key(&service.id)) else {
                plan.events.push(exited(id, otherwise));
                return false;
            };
            let mut removal = Removal::new(id, self.inventory.has_listed(&service.id), now);
            if stop {
                removal.stop();
            }
            self.removals.insert(service.id.clone(), removal);
            false
        });
    }

    /// Advances replicas whose service has appeared, or whose task has started or ended.
    fn advance(&mut self, observed: &ObservedState, numbers: &HashMap<String, u32>, plan: &mut Plan) {
        for id in self.replicas.keys().copied().collect::<Vec<_>>() {
            let Some(replica) = self.replicas.get_mut(&id) else { continue };
            if !replica.find(observed) {
                self.replicas.remove(&id);
                let reason = "the Swarm has no service of it any more; it was removed elsewhere".to_owned();
                plan.events.push(RuntimeEvent::StartFailed { id, reason });
                continue;
            }
            let operation = replica.advance(observed, numbers, self.port, &mut plan.events);
            plan.operations.extend(operation);
        }
    }

    /// Creates the services that are missing. Each gets the number it was launched with, unless
    /// another balancer has taken that meanwhile; then the smallest free one. A service waits while
    /// its name is still that of one being removed.
    fn create(&self, observed: &ObservedState, numbers: &HashMap<String, u32>, plan: &mut Plan) {
        let mut taken: HashSet<u32> = numbers.values().copied().collect();
        let missing = self.replicas.values().filter_map(|replica| match &replica.stage {
            Stage::Creating { token, .. } if !self.is_being_removed(observed, &replica.launch.name) => {
                Some((replica.launch.clone(), token.clone()))
            }
            _ => None,
        });
        let (free, late): (Vec<_>, Vec<_>) = missing.partition(|(launch, _)| taken.insert(launch.number));
        plan.operations.extend(free.into_iter().map(|(launch, token)| Operation::Create { launch, token }));
        for (mut launch, token) in late {
            launch.number = numbers::smallest_free(&taken);
            taken.insert(launch.number);
            plan.operations.push(Operation::Create { launch, token });
        }
    }

    fn continue_removals(&mut self, observed: &ObservedState, now: Instant, plan: &mut Plan) {
        let patience = self.patience;
        self.removals.retain(|service, removal| match removal.next(service, observed, patience, now) {
            Step::Wait => true,
            Step::Perform(operation) => {
                plan.operations.push(operation);
                true
            }
            Step::Done(reason) => {
                plan.events.push(exited(removal.id(), reason));
                false
            }
        });
    }
}

fn exited(id: ReplicaId, reason: &str) -> RuntimeEvent {
    RuntimeEvent::Exited { id, reason: reason.to_owned() }
}
