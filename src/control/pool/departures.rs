//! `/rm` and all other ways out: off the ring first, stopped when drained. Numbers and names are
//! free for others meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::net::SocketAddr;
use std::time::Instant;

use fxhash::FxHashMap;

use super::action::{Change, Ticket};
use super::members::{Member, of_ring};
use super::publishing::After;
use super::schedule::Subject;
use super::{Action, Pool};
use crate::control::{ControlError, Remove, Transition, name};
use crate::runtime::{Owner, ReplicaId};

/// A replica that fills no number any more.
#[derive(Clone, Debug)]
pub(super) struct Departure {
    /// Who keeps it alive.
    pub(super) owner: Owner,
    /// What the runtime knows it by, where it was found.
    key: Option<String>,
    name: String,
    number: u32,
    address: Option<SocketAddr>,
    fate: Fate,
    stage: Stage,
    /// Whether the runtime has told since that it is no longer among what there is.
    is_unlisted: bool,
}

/// What becomes of a replica that leaves, once it has finished its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is stopped.
    Stopped,
    /// An orchestrator has it run another revision, as this balancer asks next.
    Changed,
    /// It runs on: another balancer of the pool decides about it.
    Forgotten,
}

/// How far a departure has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The snapshot in force still lists it.
    Unpublishing,
    /// It finishes its requests, until then at most.
    Draining(Instant),
    /// It is being stopped.
    Stopping,
}

impl Departure {
    /// The record to keep of a member's instance when it leaves.
    pub(super) fn of(number: u32, member: &Member) -> Option<(ReplicaId, Self)> {
        let instance = member.instance()?;
        let departure = Self {
            owner: member.owner(),
            key: member.key().map(str::to_owned),
            name: member.name().to_owned(),
            number: of_ring(number),
            address: instance.address,
            fate: Fate::Stopped,
            stage: Stage::Stopping,
            is_unlisted: false,
        };
        Some((instance.id(), departure))
    }

    /// The same with another fate. One that is not stopped is no obstacle to whoever wants to adopt it.
    pub(super) fn with_fate(self, fate: Fate) -> Self {
        let key = self.key.filter(|_| fate == Fate::Stopped);
        Self { key, fate, ..self }
    }

    pub(super) fn change(&self, id: ReplicaId, transition: Transition, reason: &str) -> Change {
        Change {
            name: self.name.clone(),
            number: self.number,
            id: Some(id),
            transition,
            address: self.address,
            reason: reason.to_owned(),
        }
    }

    /// Whether requests may still be sent to it.
    pub(super) fn is_listed(&self) -> bool {
        self.stage == Stage::Unpublishing
    }

    /// Whether its number has to wait for its end, where no number may have two.
    fn keeps_number(&self) -> bool {
        self.owner.makes_replicas() && self.fate != Fate::Forgotten
    }

    /// Whether its stop was told already.
    pub(super) fn is_stopping(&self) -> bool {
        self.stage == Stage::Stopping
    }
}

/// The replicas that leave.
#[derive(Clone, Debug, Default)]
pub(super) struct Departures {
    by_id: BTreeMap<ReplicaId, Departure>,
    /// How many there are of each key.
    keys: FxHashMap<String, usize>,
    /// How many there are that had each number, and whose end this balancer brings about.
    numbers: FxHashMap<u32, usize>,
}

impl Departures {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn ids(&self) -> Vec<ReplicaId> {
        self.by_id.keys().copied().collect()
    }

    pub(super) fn contains(&self, id: ReplicaId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Whether the runtime knows one of them by `key`.
    pub(super) fn contains_key(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether what the runtime knows by `key` is to be removed, and was among what there is whenever it told of that.
    pub(super) fn is_still_listed(&self, key: &str) -> bool {
        let is_same = |departure: &Departure| departure.key.as_deref() == Some(key);
        self.contains_key(key)
            && self.by_id.values().any(|departure| !departure.is_unlisted && is_same(departure))
    }

    /// The runtime has told what there is, by these keys.
    pub(super) fn note_listed(&mut self, keys: &BTreeSet<&str>) {
        for departure in self.by_id.values_mut() {
            departure.is_unlisted |= departure.key.as_deref().is_some_and(|key| !keys.contains(key));
        }
    }

    /// Whether one of them had this number, and keeps it.
    fn has_number(&self, number: u32) -> bool {
        self.numbers.contains_key(&number)
    }

    fn insert(&mut self, id: ReplicaId, departure: Departure) {
        if let Some(key) = &departure.key {
            *self.keys.entry(key.clone()).or_default() += 1;
        }
        if departure.keeps_number() {
            *self.numbers.entry(departure.number).or_default() += 1;
        }
        self.by_id.insert(id, departure);
    }

    fn remove(&mut self, id: ReplicaId) -> Option<Departure> {
        let departure = self.by_id.remove(&id)?;
        if let Some(key) = &departure.key {
            count_down(&mut self.keys, key);
        }
        if departure.keeps_number() {
            count_down(&mut self.numbers, &departure.number);
        }
        Some(departure)
    }

    /// Those that had this number, and were to run another revision, are not to any more.
    pub(super) fn leave_unchanged(&mut self, number: u32) {
        let changed = self.by_id.values_mut().filter(|it| it.number == number && it.fate == Fate::Changed);
        for departure in changed {
            departure.fate = Fate::Forgotten;
            count_down(&mut self.numbers, &number);
        }
    }

    /// The earliest end of a drain, found by looking at all.
    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn scan_for_deadline(&self) -> Option<Instant> {
        let drains_until = |departure: &Departure| {
            if let Stage::Draining(until) = departure.stage { Some(until) } else { None }
        };
        self.by_id.values().filter_map(drains_until).min()
    }
}

/// One less of `key`; what there is none of is not kept.
fn count_down<K: Eq + Hash>(counts: &mut FxHashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Pool {
    pub(super) fn remove(&mut self, ticket: Ticket, remove: &Remove, now: Instant) {
        let numbers = match self.choose(remove) {
            Ok(numbers) => numbers,
            Err(refused) => return self.reply(ticket, Err(refused)),
        };
        // One of an unfinished `/add` is all of it: that is done whole or not at all.
        let additions: BTreeSet<_> = numbers.iter().filter_map(|&number| self.addition_of(number)).collect();
        for addition in additions {
            self.cancel_addition(addition, &remove.names);
        }
        let removed = self.take_members(numbers);
        self.after_publication(After::Reply(ticket), now);
        let hold = |(number, member)| (number, self.take_hold(number, member, now));
        let removed = removed.into_iter().map(hold).collect();
        self.retire_all(removed, "removed", now);
    }

    /// Takes replicas off the ring that others have stopped or removed, and drains them.
    pub(super) fn take_out(&mut self, numbers: impl IntoIterator<Item = u32>, reason: &str, now: Instant) {
        let removed = self.take_members(numbers);
        self.retire_all(removed, reason, now);
    }

    /// An orchestrator brings a replica back that has died. Where it is removed in between, the
    /// runtime is given it back, only to be told to stop it.
    pub(super) fn take_hold(&mut self, number: u32, member: Member, now: Instant) -> Member {
        let orchestrated = member.owner() == Owner::Orchestrator && member.existing().is_some();
        if member.instance().is_none() && orchestrated { self.launch(number, member, now) } else { member }
    }

    /// Lets members go, and publishes if they were on the ring.
    pub(super) fn take_members(&mut self, numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, Member)> {
        let removed: Vec<_> =
            numbers.into_iter().filter_map(|number| Some((number, self.members.remove(number)?))).collect();
        if removed.iter().any(|(_, member)| member.listed.is_some()) {
            self.publish();
        }
        removed
    }

    pub(super) fn retire_all(&mut self, removed: Vec<(u32, Member)>, reason: &str, now: Instant) {
        for (number, member) in removed {
            self.retire(number, &member, member.is_listed(), reason, now);
        }
    }

    /// The numbers to remove: those of the named, and of as many others at random as are asked.
    fn choose(&mut self, remove: &Remove) -> Result<BTreeSet<u32>, ControlError> {
        if self.end.refuses() {
            return Err(ControlError::Stopping);
        }
        self.refuse_during_outage()?;
        self.refuse_during_deploy()?;
        if remove.count == 0 {
            return Err(ControlError::Zero);
        }
        if remove.names.len() > remove.count as usize {
            return Err(ControlError::MoreNamesThanRemoved);
        }
        let mut chosen = self.named(&remove.names)?;
        let removable = |member: &Member| member.is_full() && member.owner() != Owner::Discovered;
        let members = self.members.iter().filter(|(_, member)| removable(member)).map(|(number, _)| number);
        let mut others: Vec<_> = members.filter(|number| !chosen.contains(number)).collect();
        let present = (chosen.len() + others.len()) as u32;
        if remove.count > present {
            return Err(ControlError::TooFew { asked: remove.count, present });
        }
        self.rng.shuffle(&mut others);
        chosen.extend(others.into_iter().take(remove.count as usize - remove.names.len()));
        Ok(chosen)
    }

    fn named(&self, names: &[String]) -> Result<BTreeSet<u32>, ControlError> {
        let mut numbers = BTreeSet::new();
        for given in names {
            name::check(given)?;
            let unknown = || ControlError::UnknownName(given.clone());
            let number = self.members.named(given).ok_or_else(unknown)?;
            if self.is_discovered(given) {
                return Err(ControlError::Discovered(given.clone()));
            }
            if !numbers.insert(number) {
                return Err(ControlError::NameTwice(given.clone()));
            }
        }
        Ok(numbers)
    }

    /// Drains the instance of a member that is gone, or stops it if no request can be at it.
    pub(super) fn retire(&mut self, number: u32, member: &Member, drains: bool, reason: &str, now: Instant) {
        self.retire_to(Fate::Stopped, number, member, drains, reason, now);
    }

    /// The same with what becomes of it.
    pub(super) fn retire_to(
        &mut self,
        fate: Fate,
        number: u32,
        member: &Member,
        drains: bool,
        reason: &str,
        now: Instant,
    ) {
        let Some((id, departure)) = Departure::of(number, member) else {
            return self.note(member.change(number, Transition::Stopped, reason));
        };
        let departure = departure.with_fate(fate);
        if !drains {
            self.note(departure.change(id, Transition::Stopped, reason));
            return self.dismiss(id, departure);
        }
        self.note(departure.change(id, Transition::Left, reason));
        self.departures.insert(id, Departure { stage: Stage::Unpublishing, ..departure });
        self.after_publication(After::Drain(id), now);
    }

    /// A replica that leaves is in no snapshot any more: its time to finish begins.
    pub(super) fn begin_drain(&mut self, id: ReplicaId, now: Instant) {
        let Some(departure) = self.departures.by_id.get_mut(&id) else { return };
        if departure.stage == Stage::Unpublishing {
            let until = now + self.config.drain_timeout;
            departure.stage = Stage::Draining(until);
            self.schedule.set(Subject::Departure(id), Some(until));
            let fate = departure.fate;
            self.out.push(Action::Drain(id));
            match fate {
                Fate::Stopped => self.out.push(Action::Retire(id)),
                Fate::Changed => self.out.push(Action::Vacate(id)),
                Fate::Forgotten => {}
            }
        }
    }

    /// The same for one that has died on its way out: nobody has been told yet that it is to be removed.
    pub(super) fn hold_departed(&mut self, departure: &Departure, now: Instant) {
        if departure.is_listed() && departure.owner == Owner::Orchestrator && departure.fate == Fate::Stopped
        {
            self.remove_unattended(&departure.name, departure.number, departure.key.clone(), now);
        }
    }

    /// Has an orchestrator remove a replica that has no instance here, if it has it.
    pub(super) fn remove_unattended(&mut self, name: &str, number: u32, key: Option<String>, now: Instant) {
        if key.is_some() {
            let member = Member::new(name.to_owned(), Owner::Orchestrator, key, None, now);
            let member = self.launch(number, member, now);
            if let Some((id, departure)) = Departure::of(number, &member) {
                self.dismiss(id, departure);
            }
        }
    }

    /// Frees a number and stops its instance.
    pub(super) fn vacate(&mut self, number: u32, transition: Transition, reason: &str) {
        let Some(member) = self.members.remove(number) else { return };
        if let Some((id, departure)) = Departure::of(number, &member) {
            self.note(departure.change(id, transition, reason));
            self.dismiss(id, departure);
        }
    }

    /// Stops an instance that fills no number any more. What others run is only forgotten.
    pub(super) fn dismiss(&mut self, id: ReplicaId, departure: Departure) {
        if departure.fate != Fate::Stopped {
            // Its number may have waited for that.
            self.members.touch(departure.number);
            return self.out.push(Action::Forget(id));
        }
        self.out.push(Action::Stop(id));
        if departure.owner.makes_replicas() {
            self.departures.insert(id, Departure { stage: Stage::Stopping, ..departure });
        }
    }

    /// Forgets a replica that leaves; returns what was known of it.
    pub(super) fn forget_departure(&mut self, id: ReplicaId) -> Option<Departure> {
        let departure = self.departures.remove(id)?;
        self.changed = true;
        // Its number may have waited for that.
        self.members.touch(departure.number);
        self.schedule.set(Subject::Departure(id), None);
        Some(departure)
    }

    /// Stops a replica that leaves, whether it has finished its requests or not.
    pub(super) fn end_drain(&mut self, id: ReplicaId, reason: &str) {
        if self.departures.by_id.get(&id).is_none_or(Departure::is_stopping) {
            return;
        }
        if let Some(departure) = self.forget_departure(id) {
            self.note(departure.change(id, Transition::Stopped, reason));
            self.dismiss(id, departure);
        }
    }

    /// Whether the member of a number may not start yet, because the replica before it has not ended and there may
    /// never be two ([`DeployOrder::StopFirst`](crate::control::DeployOrder::StopFirst)).
    pub(super) fn waits_for_departure(&self, number: u32, member: &Member) -> bool {
        // What an orchestrator changes in place is one replica, whatever the order is by now.
        let stops_first = self.stops_first() || member.is_successor();
        // What it has made at another balancer's request is there already.
        let is_others =
            member.owner() == Owner::Orchestrator && member.existing().is_some() && !member.is_successor();
        let is_alone = member.owner().makes_replicas() && !member.is_beside() && !is_others && stops_first;
        is_alone && self.departures.has_number(number)
    }

    /// Whether a replica is on its way out.
    pub fn is_departing(&self, id: ReplicaId) -> bool {
        self.departures.contains(id)
    }
}
