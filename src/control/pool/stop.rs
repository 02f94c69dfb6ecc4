//! The end: every replica is stopped, or left to the next balancer, and none is replaced.

use std::time::{Duration, Instant};

use super::action::Ticket;
use super::departures::{Departure, Fate};
use super::members::Member;
use super::{Action, Pool};
use crate::control::Transition;
use crate::runtime::Found;

/// How long a stop waits for a runtime that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same, where it answers now and then.
const MOST_PATIENCE: Duration = Duration::from_secs(60);

const LEFT_BEHIND: &str =
    "left behind, because what runs it does not answer; the next balancer takes it over";
const REASON: &str = "the balancer is stopping";
const KEPT: &str = "the balancer is stopping; the replica is kept for the next one (--on-exit keep)";

/// How far the end has come.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    /// Whether changes are refused, because a stop was announced.
    announced: bool,
    /// When it began, if it has.
    began: Option<Instant>,
    /// When the runtime first failed to answer during it.
    hindered: Option<Instant>,
    /// Who waits for it.
    tickets: Vec<Ticket>,
}

impl End {
    /// Whether no change begins any more.
    pub(super) fn refuses(&self) -> bool {
        self.announced
    }

    /// Whether every replica is being stopped.
    pub(super) fn has_begun(&self) -> bool {
        self.began.is_some()
    }

    /// The runtime does not answer.
    pub(super) fn is_hindered(&mut self, now: Instant) {
        if self.has_begun() {
            self.hindered.get_or_insert(now);
        }
    }
}

impl Pool {
    /// A stop is coming: what is being added is given up and no change begins any more, while
    /// the replicas that there are answer the last requests, and are still healed.
    pub(super) fn prepare_stop(&mut self) {
        self.end.announced = true;
        self.abandon_additions();
        self.abandon_deploy();
    }

    /// Answered when the last replica has ended. The members stay, to be shown as stopped.
    pub(super) fn stop(&mut self, ticket: Ticket, now: Instant) {
        self.end.tickets.push(ticket);
        if self.is_stopping() {
            return;
        }
        self.prepare_stop();
        self.abandon_publications();
        self.end.began = Some(now);
        self.end.hindered = self.has_outage().then_some(now);
        self.changed = true;
        self.members.show_all();
        for id in self.departures.ids() {
            self.end_drain(id, REASON);
        }
        for number in self.members.numbers() {
            self.stop_member(number, now);
        }
    }

    fn stop_member(&mut self, number: u32, now: Instant) {
        let Some(mut member) = self.members.remove(number) else { return };
        if member.is_beside() && self.deploys.is_idle() {
            // It is another balancer's.
            if let Some((id, departure)) = Departure::of(number, &member) {
                self.dismiss(id, departure.with_fate(Fate::Forgotten));
            }
            return;
        }
        let keeps = self.config.keep_on_stop && member.owner().makes_replicas() && !member.is_beside();
        if !keeps {
            member = self.take_hold(number, member, now);
        }
        self.end_member(number, &member, keeps);
        member.retry_at = None;
        self.members.insert(number, member.filled(None));
    }

    fn end_member(&mut self, number: u32, member: &Member, keeps: bool) {
        let Some((id, departure)) = Departure::of(number, member) else { return };
        if member.is_listed() && member.is_ready() {
            self.out.push(Action::SetUp(id, false));
        }
        if keeps {
            return self.note(departure.change(id, Transition::Stopped, KEPT));
        }
        self.note(departure.change(id, Transition::Stopped, REASON));
        self.dismiss(id, departure);
    }

    /// What the first inventory shows when the end has come already: what the balancer before left
    /// is stopped too, or left to the next.
    pub(super) fn stop_found(&mut self, found: Vec<Found>, now: Instant) {
        let ours = found.into_iter().filter(|found| found.owner.is_balancer());
        for Found { key, name, number, owner, .. } in ours {
            let number = number.unwrap_or_default();
            let member = Member::new(name, owner, Some(key), None, now);
            if !self.config.keep_on_stop {
                let member = self.launch(number, member, now);
                self.end_member(number, &member, false);
            }
        }
    }

    /// Leaves behind what cannot be stopped: the end must not wait for an engine that is gone.
    pub(super) fn expire_stop(&mut self, now: Instant) {
        if self.stop_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        self.inventory.unlisted = false;
        for id in self.departures.ids() {
            if let Some(departure) = self.forget_departure(id) {
                self.note(departure.change(id, Transition::Stopped, LEFT_BEHIND));
            }
        }
    }

    /// Answers those who wait for the end, once nothing is left.
    pub(super) fn finish_stop(&mut self) {
        if self.is_stopped() {
            for ticket in std::mem::take(&mut self.end.tickets) {
                self.reply(ticket, Ok(()));
            }
        }
    }

    /// Until when a runtime that does not answer, or has not, may come back to stop what is left.
    pub(super) fn stop_deadline(&self) -> Option<Instant> {
        let began = self.end.began.filter(|_| !self.is_stopped())?;
        let unanswered = self.outage_since().map(|since| since.max(began) + PATIENCE);
        let unlisted = self.inventory.unlisted.then(|| began + PATIENCE);
        let hindered = self.end.hindered.map(|since| since + MOST_PATIENCE);
        [unanswered, unlisted, hindered].into_iter().flatten().min()
    }
}
