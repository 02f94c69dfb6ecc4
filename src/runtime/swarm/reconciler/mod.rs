//! Compares the replicas that the pool wants with the observed state of the Swarm, and decides what
//! is reported to the pool and which operations are performed. Pure: calls nothing, and is given the
//! time.
//!
//! Nothing depends on when a replica was wanted or whether a response was received. Each pass
//! yields everything that is left to do. So an engine that was away, a lost response, or a change
//! by another balancer need no code of their own.

mod abandoned;
mod desired;
mod inventory;
mod removal;
mod successors;
#[cfg(test)]
mod tests;
mod vacancies;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use self::abandoned::Abandoned;
use self::desired::{DesiredReplica, Stage};
use self::inventory::Inventory;
use self::removal::{Removal, Step};
use self::successors::Successors;
use self::vacancies::Vacancies;
use super::numbers;
use super::observed::{Claim, ObservedState, Service};
use super::places::Places;
use crate::runtime::engine::naming;
use crate::runtime::{Launch, ReplicaId, RuntimeEvent};

/// Time that a Swarm needs besides the grace period to end a task: 2 s to take it out of its DNS
/// before SIGTERM, and the messages between its nodes.
const SWARM_DELAY: Duration = Duration::from_secs(4);

/// Time that other balancers have to see the mark of a service before its task ends.
const NOTICE: Duration = Duration::from_secs(2);

/// How often a mark is renewed, so that it does not look abandoned.
const RENEWAL: Duration = Duration::from_secs(20);

/// An operation to perform in the Swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Create a service, beside the one with this id if its replica is to take the number of another.
    Create { launch: Launch, token: String, beside: Option<String> },
    /// Give a service another number, if its version is still this one.
    SetNumber { service: String, version: u64, number: u32 },
    /// Write what a service is to its number, or take that away, if its version is still this one.
    SetPlace { service: String, version: u64, claim: Option<Claim> },
    /// Have a service run another revision, and serve its number, if its version is still this one. `waits`: not while
    /// a task from before the last update has not ended, for which the Swarm would not wait.
    Update { service: String, version: u64, launch: Launch, token: String, waits: bool },
    /// Mark a service as being removed.
    Mark { service: String },
    /// The same for a service whose deploy was abandoned, if its version is still this one.
    MarkAbandoned { service: String, version: u64 },
    /// Delete a service.
    Delete { service: String },
}

impl Operation {
    /// The service that it deletes, if it deletes one.
    pub(super) fn deletes(&self) -> Option<&str> {
        if let Self::Delete { service } = self { Some(service) } else { None }
    }
}

/// A task of a replica that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    /// The replica.
    pub(super) id: ReplicaId,
    /// Its name.
    pub(super) name: String,
    /// The id of its service.
    pub(super) service: String,
    /// The id of the task.
    pub(super) task: String,
}

/// The result of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Events to report first, in this order.
    pub(super) events: Vec<RuntimeEvent>,
    /// Tasks that have ended, and with them their replicas: reported next, with the reason.
    pub(super) exits: Vec<Exit>,
    /// Operations to perform last, in this order.
    pub(super) operations: Vec<Operation>,
}

/// The desired state, and what is known of the operations so far.
#[derive(Debug)]
pub(super) struct Reconciler {
    replicas: BTreeMap<ReplicaId, DesiredReplica>,
    /// The services of replicas whose end was reported, and that nothing was heard of since from the pool.
    exited: BTreeMap<ReplicaId, String>,
    /// Services that this balancer removes, by id.
    removals: BTreeMap<String, Removal>,
    successors: Successors,
    vacancies: Vacancies,
    /// How often the pool has given a number to one of two replicas.
    decisions: u64,
    inventory: Inventory,
    abandoned: Abandoned,
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
            exited: BTreeMap::new(),
            removals: BTreeMap::new(),
            successors: Successors::default(),
            vacancies: Vacancies::default(),
            decisions: 0,
            inventory: Inventory::default(),
            abandoned: Abandoned::default(),
            port,
            patience: stop_timeout * 2 + SWARM_DELAY,
        }
    }

    /// The pool wants a replica. `token` is unique to this launch.
    pub(super) fn start(&mut self, launch: Launch, token: String) {
        self.replicas.insert(launch.id, DesiredReplica::new(launch, token));
    }

    /// Of two replicas of one number this one has it from now on.
    pub(super) fn take_number(&mut self, id: ReplicaId) {
        self.decisions += 1;
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.decision = self.decisions;
        } else if let Some(service) = self.exited.get(&id) {
            self.successors.decided(service, self.decisions);
        }
    }

    /// A replica has left the ring here, and is to leave it at the other balancers until it runs another revision.
    pub(super) fn vacate(&mut self, id: ReplicaId) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        match replica.service() {
            Some(service) => self.vacancies.begin(service),
            None => replica.vacates = true,
        }
    }

    /// A replica is no longer this balancer's business. A mark that its service is vacant stays, for the launch that
    /// changes it, and a removal that has begun goes on.
    pub(super) fn forget(&mut self, id: ReplicaId) {
        self.exited.remove(&id);
        if let Some(replica) = self.replicas.remove(&id)
            && let Some(service) = replica.service()
        {
            self.successors.forget(service);
        }
    }

    /// A replica has left the ring here, and is to leave it at the other balancers.
    pub(super) fn retire(&mut self, id: ReplicaId, now: Instant) {
        let Some(replica) = self.replicas.get_mut(&id) else { return self.remove_exited(id, now) };
        if let Some(service) = replica.service() {
            let is_known = self.inventory.has_listed(service) || self.successors.is_known(service);
            let removal = Removal::new(id, replica.decision > 0 || is_known, now);
            self.removals.insert(service.to_owned(), removal);
            self.replicas.remove(&id);
        } else if matches!(replica.stage, Stage::Adopting) {
            replica.stage = Stage::CancellingAdoption { stop: false };
        }
    }

    /// Removes the service of a replica whose end was reported, of which the pool did not know yet. It hears no more of
    /// it, so nothing of it waits for the pool.
    fn remove_exited(&mut self, id: ReplicaId, now: Instant) {
        let Some(service) = self.exited.remove(&id) else { return };
        let is_known = self.inventory.has_listed(&service) || self.successors.is_known(&service);
        self.removals.entry(service).or_insert_with(|| {
            let mut removal = Removal::new(id, is_known, now);
            removal.stop();
            removal
        });
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
            Stage::Creating { requested: true } | Stage::CancellingCreate => {
                replica.stage = Stage::CancellingCreate;
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

    /// No passes are possible for some time. The next one reports the inventory even if it has not changed.
    pub(super) fn interrupted(&mut self) {
        self.inventory.report_again();
        self.abandoned.interrupted();
    }

    /// The creation of a service was requested; no response has come yet.
    pub(super) fn create_requested(&mut self, id: ReplicaId) {
        let replica = self.replicas.get_mut(&id);
        if let Some(DesiredReplica { stage: Stage::Creating { requested }, .. }) = replica {
            *requested = true;
        }
    }

    /// The end of a replica was reported. Until then each pass yields that operation again.
    pub(super) fn exit_reported(&mut self, id: ReplicaId) {
        let replica = self.replicas.remove(&id);
        if let Some(service) = replica.as_ref().and_then(DesiredReplica::service) {
            self.exited.insert(id, service.to_owned());
        }
    }

    /// The creation of a service, or its change to another revision, was refused.
    pub(super) fn start_refused(&mut self, id: ReplicaId) {
        self.replicas.remove(&id);
    }

    /// It was written what a service is to its number.
    pub(super) fn place_written(&mut self, service: &str, now: Instant) {
        self.successors.written(service, now);
        self.vacancies.written(service, now);
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
        !self.removals.is_empty()
            || !self.replicas.values().all(runs)
            || self.inventory.is_pending()
            || self.vacancies.are_pending()
    }

    /// The services whose tasks do not run yet, by id, those of the youngest replicas last. A task that has ended before anybody saw it run is to be observed.
    pub(super) fn pending(&self) -> Vec<String> {
        let pending = self.replicas.values().filter_map(|replica| match &replica.stage {
            Stage::Pending { service, .. } => Some(service.clone()),
            _ => None,
        });
        pending.collect()
    }

    /// One pass: what follows from the observed state.
    pub(super) fn reconcile(&mut self, observed: &ObservedState, now: Instant) -> Plan {
        let mut plan = Plan::default();
        let places = Places::of(observed);
        let numbers = numbers::assign(places.holders());
        // Before the inventory, which would list these services again.
        self.remove_cancelled(observed, &places, now, &mut plan);
        // Before all other events, so that a service that is gone is not taken for a failure.
        let removing = self.removals.keys().cloned().collect();
        plan.events.extend(self.inventory.update(observed, &places, &numbers, &removing));
        for service in places.holders() {
            if let Some(&number) = numbers.get(&service.id).filter(|number| service.number != Some(**number))
            {
                let (service, version) = (service.id.clone(), service.version);
                plan.operations.push(Operation::SetNumber { service, version, number });
            }
        }
        self.advance(observed, &places, &numbers, now, &mut plan);
        self.create(observed, &numbers, &mut plan);
        self.create_successors(observed, &places, &numbers, &mut plan);
        self.keep_places(&places, now, &mut plan);
        self.continue_removals(observed, &places, now, &mut plan);
        self.finish_abandoned(observed, &places, now, &mut plan);
        let adopted: HashSet<_> = self.replicas.values().filter_map(DesiredReplica::service).collect();
        self.exited.retain(|_, service| places.get(service).is_some() && !adopted.contains(service.as_str()));
        plan
    }

    /// Begins to remove the services of replicas that were cancelled before their service was known.
    fn remove_cancelled(
        &mut self,
        observed: &ObservedState,
        places: &Places<'_>,
        now: Instant,
        plan: &mut Plan,
    ) {
        let (inventory, successors) = (&self.inventory, &self.successors);
        self.replicas.retain(|&id, replica| {
            let (found, stop, otherwise) = match &replica.stage {
                Stage::CancellingCreate => {
                    (observed.with_token(&replica.token), true, "stopped before it was started")
                }
                Stage::CancellingAdoption { stop } => (
                    replica.named(places),
                    *stop,
                    "its service is gone, or left to the balancer that removes it",
                ),
                _ => return true,
            };
            let Some(service) = found.filter(|service| !self.removals.contains_key(&service.id)) else {
                plan.events.push(exited(id, otherwise));
                return false;
            };
            let is_known = inventory.has_listed(&service.id) || successors.is_known(&service.id);
            let mut removal = Removal::new(id, is_known, now);
            if stop {
                removal.stop();
            }
            self.removals.insert(service.id.clone(), removal);
            false
        });
    }

    /// Advances replicas whose service has appeared or changed, or whose task has started or ended.
    fn advance(
        &mut self,
        observed: &ObservedState,
        places: &Places<'_>,
        numbers: &HashMap<String, u32>,
        now: Instant,
        plan: &mut Plan,
    ) {
        for id in self.replicas.keys().copied().collect::<Vec<_>>() {
            let Some(replica) = self.replicas.get_mut(&id) else { continue };
            let updated = if replica.find(observed, places, &mut self.vacancies) {
                replica.update(observed, places, &mut self.vacancies, self.patience, now)
            } else {
                Err("the Swarm has no service of it any more; it was removed elsewhere".to_owned())
            };
            match updated {
                Ok(update) => {
                    plan.operations.extend(update);
                    plan.exits.extend(replica.advance(observed, numbers, self.port, &mut plan.events));
                }
                Err(reason) => {
                    self.replicas.remove(&id);
                    plan.events.push(RuntimeEvent::StartFailed { id, reason });
                }
            }
        }
    }

    /// The replicas whose service is missing, and may be created: its name is not still that of one being removed.
    fn missing(&self, observed: &ObservedState, are_successors: bool) -> Vec<(Launch, String)> {
        let missing = self.replicas.values().filter(|replica| {
            let is_missing = matches!(replica.stage, Stage::Creating { .. });
            is_missing && !self.is_being_removed(observed, &replica.launch.name)
        });
        let missing = missing.filter(|replica| replica.is_successor() == are_successors);
        missing.map(|replica| (replica.launch.clone(), replica.token.clone())).collect()
    }

    /// Creates the services that are missing. Each gets the number it was launched with, unless
    /// another balancer has taken that meanwhile; then the smallest free one.
    fn create(&self, observed: &ObservedState, numbers: &HashMap<String, u32>, plan: &mut Plan) {
        let mut taken: HashSet<u32> = numbers.values().copied().collect();
        let missing = self.missing(observed, false).into_iter();
        let (free, late): (Vec<_>, Vec<_>) = missing.partition(|(launch, _)| taken.insert(launch.number));
        let create = |(launch, token)| Operation::Create { launch, token, beside: None };
        plan.operations.extend(free.into_iter().map(create));
        for (mut launch, token) in late {
            launch.number = numbers::smallest_free(&taken);
            taken.insert(launch.number);
            plan.operations.push(create((launch, token)));
        }
    }

    /// Creates the successors that are missing, each beside the service that serves its number.
    fn create_successors(
        &mut self,
        observed: &ObservedState,
        places: &Places<'_>,
        numbers: &HashMap<String, u32>,
        plan: &mut Plan,
    ) {
        for (launch, token) in self.missing(observed, true) {
            let serves = |found: &&&Service| {
                let is_leaving = self.removals.contains_key(&found.id);
                numbers.get(&found.id) == Some(&launch.number) && !found.is_vacant() && !is_leaving
            };
            if let Some(holder) = places.holders().iter().find(serves) {
                let beside = Some(holder.id.clone());
                plan.operations.push(Operation::Create { launch, token, beside });
            } else {
                self.replicas.remove(&launch.id);
                let reason =
                    format!("the Swarm has no service any more that serves number {}", launch.number);
                plan.events.push(RuntimeEvent::StartFailed { id: launch.id, reason });
            }
        }
    }

    /// Writes what services are to their numbers, and renews that.
    fn keep_places(&mut self, places: &Places<'_>, now: Instant, plan: &mut Plan) {
        for replica in self.replicas.values_mut() {
            let is_successor = replica.is_successor();
            let Some(found) = replica.service().and_then(|service| places.get(service)) else { continue };
            if is_successor {
                self.successors.seen(found, places, now);
            }
            if std::mem::take(&mut replica.vacates) {
                self.vacancies.begin(&found.id);
            }
        }
        for replica in self.replicas.values().filter(|replica| replica.decision > 0) {
            if let Some(service) = replica.service() {
                self.successors.decided(service, replica.decision);
            }
        }
        let is_removed = |service: &str| self.removals.contains_key(service);
        let wanted = wanted(&self.replicas);
        let is_wanted = |service: &Service| is_in(&wanted, service);
        plan.operations.extend(self.successors.next(places, is_removed, is_wanted, now));
        plan.operations.extend(self.vacancies.next(places, is_removed, now));
    }

    /// Continues the removals of this balancer. An incumbent keeps its number until its successor has taken that, so
    /// that other balancers see no number without a holder.
    fn continue_removals(
        &mut self,
        observed: &ObservedState,
        places: &Places<'_>,
        now: Instant,
        plan: &mut Plan,
    ) {
        let (patience, awaited) = (self.patience, self.successors.awaited(places));
        self.removals.retain(|service, removal| {
            if awaited.contains(service) && places.get(service).is_some() {
                return true;
            }
            match removal.next(service, observed, patience, now) {
                Step::Wait => true,
                Step::Perform(operation) => {
                    plan.operations.push(operation);
                    true
                }
                Step::Done(reason) => {
                    plan.events.push(exited(removal.id(), reason));
                    false
                }
            }
        });
    }

    fn finish_abandoned(
        &mut self,
        observed: &ObservedState,
        places: &Places<'_>,
        now: Instant,
        plan: &mut Plan,
    ) {
        let is_removed = |service: &str| self.removals.contains_key(service);
        let wanted = wanted(&self.replicas);
        let is_own = |service: &Service| {
            let is_deployed = self.successors.contains(&service.id) && is_in(&wanted, service);
            is_deployed || self.vacancies.contains(&service.id) || is_removed(&service.id)
        };
        plan.operations.extend(self.abandoned.removals(observed, is_removed, now));
        plan.operations.extend(self.abandoned.deploys(places, is_own, now));
    }
}

/// The services of the replicas that the pool wants, by their id or the name of their replica.
fn wanted(replicas: &BTreeMap<ReplicaId, DesiredReplica>) -> HashSet<&str> {
    let known =
        replicas.values().filter_map(|replica| replica.service().or(replica.launch.existing.as_deref()));
    known.collect()
}

fn is_in(wanted: &HashSet<&str>, service: &Service) -> bool {
    wanted.contains(service.id.as_str()) || wanted.contains(service.replica.as_str())
}

fn exited(id: ReplicaId, reason: &str) -> RuntimeEvent {
    RuntimeEvent::Exited { id, reason: reason.to_owned() }
}
