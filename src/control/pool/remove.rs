//! `/rm`: off the ring at once, stopped when drained. The seats are free for others meanwhile.

use std::collections::BTreeSet;
use std::time::Instant;

use super::action::Ticket;
use super::seat::{Leaving, Seat};
use super::{Action, Pool, name};
use crate::control::{ControlError, Remove, Transition};
use crate::runtime::{Owner, ReplicaId};

impl Pool {
    pub(super) fn remove(&mut self, ticket: Ticket, remove: &Remove, now: Instant) {
        let numbers = match self.choose(remove) {
            Ok(numbers) => numbers,
            Err(refused) => return self.reply(ticket, Err(refused)),
        };
        let mut removed = self.take_seats(numbers);
        self.reply(ticket, Ok(()));
        for (number, seat) in &mut removed {
            self.take_hold(*number, seat, now);
        }
        self.retire_all(removed, "removed", now);
    }

    /// Takes replicas off the ring that others have stopped or removed, and drains them.
    pub(super) fn take_out(&mut self, numbers: impl IntoIterator<Item = u32>, reason: &str, now: Instant) {
        let removed = self.take_seats(numbers);
        self.retire_all(removed, reason, now);
    }

    /// An orchestrator brings a replica back that has died. Where it is removed in between, the
    /// runtime is given it back, only to be told to stop it.
    pub(super) fn take_hold(&mut self, number: u32, seat: &mut Seat, now: Instant) {
        if seat.current.is_none() && seat.owner == Owner::Orchestrator && seat.existing.is_some() {
            let launch = self.launch(number, seat, now);
            self.out.push(Action::Start(launch));
        }
    }

    /// Removes seats, and publishes if they were on the ring.
    fn take_seats(&mut self, numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, Seat)> {
        let removed: Vec<_> =
            numbers.into_iter().filter_map(|number| Some((number, self.seats.remove(&number)?))).collect();
        if removed.iter().any(|(_, seat)| seat.placed.is_some()) {
            self.publish();
        }
        removed
    }

    fn retire_all(&mut self, removed: Vec<(u32, Seat)>, reason: &str, now: Instant) {
        for (number, seat) in removed {
            self.retire(number, &seat, reason, now);
        }
    }

    /// The numbers to remove: those of the named, and of as many others at random as are asked.
    fn choose(&mut self, remove: &Remove) -> Result<BTreeSet<u32>, ControlError> {
        if self.refusing {
            return Err(ControlError::Stopping);
        }
        self.refuse_while_blind()?;
        if remove.count == 0 {
            return Err(ControlError::Zero);
        }
        if remove.names.len() > remove.count as usize {
            return Err(ControlError::MoreNamesThanRemoved);
        }
        let mut chosen = self.named(&remove.names)?;
        let removable = |seat: &Seat| seat.is_member() && seat.owner != Owner::Discovered;
        let members = self.seats.iter().filter(|(_, seat)| removable(seat)).map(|(&number, _)| number);
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
            let number = self.member_named(given).ok_or_else(|| ControlError::UnknownName(given.clone()))?;
            if self.is_discovered(given) {
                return Err(ControlError::Discovered(given.clone()));
            }
            if !numbers.insert(number) {
                return Err(ControlError::NameTwice(given.clone()));
            }
        }
        Ok(numbers)
    }

    /// Drains the replica of a seat that is gone, or stops it if no request can be at it.
    fn retire(&mut self, number: u32, seat: &Seat, reason: &str, now: Instant) {
        let Some((id, leaving)) = seat.leaving(number) else {
            return self.note(seat.change(number, Transition::Stopped, reason));
        };
        if !seat.is_placed() {
            self.note(leaving.change(id, Transition::Stopped, reason));
            return self.dismiss(id, leaving);
        }
        self.note(leaving.change(id, Transition::Left, reason));
        self.out.push(Action::Drain(id));
        let drains_until = Some(now + self.config.drain_timeout);
        self.leaving.insert(id, Leaving { drains_until, ..leaving });
    }

    /// Frees a seat and stops its replica; `reason` says why for a name.
    pub(super) fn vacate<'a>(&mut self, number: u32, reason: impl Fn(&str) -> &'a str) {
        let Some(seat) = self.seats.remove(&number) else { return };
        if let Some((id, leaving)) = seat.leaving(number) {
            self.note(leaving.change(id, Transition::Stopped, reason(&seat.name)));
            self.dismiss(id, leaving);
        }
    }

    /// Stops a replica that has no seat any more. What others run is only forgotten.
    pub(super) fn dismiss(&mut self, id: ReplicaId, leaving: Leaving) {
        self.out.push(Action::Stop(id));
        if leaving.owner.makes_replicas() {
            self.leaving.insert(id, Leaving { drains_until: None, ..leaving });
        }
    }

    pub(super) fn drained(&mut self, id: ReplicaId) {
        self.end_drain(id, "drained");
    }

    /// Stops those whose time to drain is over.
    pub(super) fn expire_drains(&mut self, now: Instant) {
        let over = |leaving: &Leaving| leaving.drains_until.is_some_and(|until| until <= now);
        let ids: Vec<_> =
            self.leaving.iter().filter(|(_, leaving)| over(leaving)).map(|(&id, _)| id).collect();
        for id in ids {
            self.end_drain(id, "not drained in time");
        }
    }

    /// Stops a replica if it drains.
    pub(super) fn end_drain(&mut self, id: ReplicaId, reason: &str) {
        if self.leaving.get(&id).is_none_or(|leaving| leaving.drains_until.is_none()) {
            return;
        }
        if let Some(leaving) = self.leaving.remove(&id) {
            self.note(leaving.change(id, Transition::Stopped, reason));
            self.dismiss(id, leaving);
        }
    }
}
