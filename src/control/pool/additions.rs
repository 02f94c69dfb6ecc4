//! `/add`: all or nothing. The replicas of one request start side by side, wait for each other,
//! and enter the ring in one publication; if one fails, the others are stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::Pool;
use super::action::Ticket;
use super::members::Member;
use super::publishing::After;
use crate::control::{Add, ControlError, ExitCause, Transition};

/// The unfinished `/add`s.
#[derive(Clone, Debug, Default)]
pub(super) struct Additions {
    by_ticket: BTreeMap<Ticket, Addition>,
}

/// An unfinished `/add`.
#[derive(Clone, Debug, Default)]
struct Addition {
    /// Numbers of its members.
    numbers: BTreeSet<u32>,
    /// Those of them that are not ready.
    unready: BTreeSet<u32>,
}

impl Additions {
    fn begin(&mut self, ticket: Ticket, numbers: BTreeSet<u32>) {
        let unready = numbers.clone();
        self.by_ticket.insert(ticket, Addition { numbers, unready });
    }

    /// A member of an `/add` became ready, or is so no more. Returns whether all are.
    pub(super) fn set_ready(&mut self, ticket: Ticket, number: u32, ready: bool) -> bool {
        let Some(addition) = self.by_ticket.get_mut(&ticket) else { return false };
        if ready {
            addition.unready.remove(&number);
        } else {
            addition.unready.insert(number);
        }
        addition.unready.is_empty()
    }

    /// A member of an `/add` has another number from now on.
    pub(super) fn renumber(&mut self, ticket: Ticket, from: u32, to: u32) {
        let Some(addition) = self.by_ticket.get_mut(&ticket) else { return };
        for numbers in [&mut addition.numbers, &mut addition.unready] {
            if numbers.remove(&from) {
                numbers.insert(to);
            }
        }
    }

    /// A number is no longer one of an `/add`. Returns whether all others are ready.
    pub(super) fn release(&mut self, ticket: Ticket, number: u32) -> bool {
        let Some(addition) = self.by_ticket.get_mut(&ticket) else { return false };
        addition.numbers.remove(&number);
        addition.unready.remove(&number);
        addition.unready.is_empty()
    }

    fn numbers(&self, ticket: Ticket) -> impl Iterator<Item = u32> {
        self.by_ticket.get(&ticket).into_iter().flat_map(|addition| addition.numbers.iter().copied())
    }

    fn end(&mut self, ticket: Ticket) -> BTreeSet<u32> {
        self.by_ticket.remove(&ticket).unwrap_or_default().numbers
    }

    pub(super) fn tickets(&self) -> Vec<Ticket> {
        self.by_ticket.keys().copied().collect()
    }
}

impl Pool {
    pub(super) fn add(&mut self, ticket: Ticket, add: Add, now: Instant) {
        if let Err(refused) = self.check_add(&add) {
            return self.reply(ticket, Err(refused));
        }
        let (mut names, mut endpoints) = (add.names.into_iter(), add.endpoints.into_iter());
        let new = |_| {
            let number = self.members.free_number();
            let name = names.next().unwrap_or_else(|| self.new_name());
            let member = self.new_member(name, endpoints.next(), Some(ticket), now);
            self.members.insert(number, member);
            number
        };
        let numbers = (0..add.count).map(new).collect();
        self.additions.begin(ticket, numbers);
    }

    /// Puts the replicas of an `/add`, all of which are ready, on the ring.
    pub(super) fn complete_addition(&mut self, ticket: Ticket, now: Instant) {
        let mut joined = Vec::new();
        for number in self.additions.end(ticket) {
            let Some(member) = self.members.get_mut(number) else { continue };
            member.addition = None;
            member.list();
            joined.extend(member.instance().map(|instance| After::Joined(instance.id())));
            self.members.show(number);
        }
        self.publish();
        for after in joined.into_iter().chain([After::Reply(ticket)]) {
            self.after_publication(after, now);
        }
    }

    /// Ends an `/add` because of `failures` (name and reason): stops its replicas, frees their
    /// numbers and names.
    pub(super) fn fail_addition(&mut self, ticket: Ticket, failures: Vec<(String, String)>) {
        for number in self.additions.end(ticket) {
            let name = self.members.get(number).map_or("", Member::name);
            match failures.iter().find(|(failed, _)| failed == name) {
                Some((_, reason)) => self.vacate(number, Transition::Died(ExitCause::NotReady), reason),
                None => {
                    self.vacate(number, Transition::Stopped, "another replica of the same /add failed");
                }
            }
        }
        self.reply(ticket, Err(ControlError::StartFailed(failures)));
    }

    /// The unfinished `/add` that a number belongs to.
    pub(super) fn addition_of(&self, number: u32) -> Option<Ticket> {
        self.members.get(number)?.addition
    }

    /// Ends an `/add` because somebody has removed some of its replicas.
    pub(super) fn cancel_addition(&mut self, ticket: Ticket, removed: &[String]) {
        let of_it = |name: &&String| {
            self.members.named(name).is_some_and(|number| self.addition_of(number) == Some(ticket))
        };
        let removed: Vec<_> = removed.iter().filter(of_it).cloned().collect();
        self.drop_addition(ticket, "removed while it was starting");
        self.reply(ticket, Err(ControlError::RemovedMeanwhile(removed)));
    }

    /// Frees the members of an `/add`.
    pub(super) fn drop_addition(&mut self, ticket: Ticket, reason: &str) {
        for number in self.additions.end(ticket) {
            self.vacate(number, Transition::Stopped, reason);
        }
    }

    /// Ends every `/add` because the balancer stops.
    pub(super) fn abandon_additions(&mut self) {
        for ticket in self.additions.tickets() {
            self.drop_addition(ticket, "the balancer is stopping");
            self.reply(ticket, Err(ControlError::Stopping));
        }
    }

    /// Ends an `/add` if some of its replicas have had their time to start.
    pub(super) fn expire_addition(&mut self, ticket: Ticket, now: Instant) {
        let members = self.additions.numbers(ticket).filter_map(|number| self.members.get(number));
        let late = members.filter(|member| self.start_deadline(member).is_some_and(|at| at <= now));
        let failures: Vec<_> =
            late.map(|member| (member.name().to_owned(), self.why_not_ready(member))).collect();
        if !failures.is_empty() {
            self.fail_addition(ticket, failures);
        }
    }
}
