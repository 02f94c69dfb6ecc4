//! The end: every replica is stopped, or left to the next balancer, and none is replaced.

use std::time::Instant;

use super::action::Ticket;
use super::seat::Seat;
use super::{Action, Pool};
use crate::control::Transition;
use crate::runtime::Found;

const LEFT_BEHIND: &str =
    "left behind, because what runs it does not answer; the next balancer takes it over";
const REASON: &str = "the balancer is stopping";
const KEPT: &str = "the balancer is stopping; the replica is kept for the next one (--on-exit keep)";

impl Pool {
    /// A stop is coming: what is being added is given up and no change begins any more, while
    /// the replicas that there are answer the last requests, and are still healed.
    pub(super) fn prepare_stop(&mut self) {
        self.refusing = true;
        self.abandon_batches();
    }

    /// Answered when the last replica has ended. The seats stay, to be shown as stopped.
    pub(super) fn stop(&mut self, ticket: Ticket, now: Instant) {
        self.stop_tickets.push(ticket);
        if self.is_stopping() {
            return;
        }
        self.prepare_stop();
        self.stop_began = Some(now);
        self.stop_hindered = self.is_blind().then_some(now);
        self.changed = true;
        for id in self.leaving.keys().copied().collect::<Vec<_>>() {
            self.end_drain(id, REASON);
        }
        for number in self.numbers() {
            self.stop_seat(number, now);
        }
    }

    fn stop_seat(&mut self, number: u32, now: Instant) {
        let Some(mut seat) = self.seats.remove(&number) else { return };
        let keeps = self.config.keep_on_stop && seat.owner.makes_replicas();
        if !keeps {
            self.take_hold(number, &mut seat, now);
        }
        self.end_seat(number, &mut seat, keeps);
        self.seats.insert(number, seat);
    }

    fn end_seat(&mut self, number: u32, seat: &mut Seat, keeps: bool) {
        seat.retry_at = None;
        let is_up = seat.is_placed() && seat.is_ready();
        let leaving = seat.leaving(number);
        seat.current = None;
        let Some((id, leaving)) = leaving else { return };
        if is_up {
            self.out.push(Action::SetUp(id, false));
        }
        if keeps {
            return self.note(leaving.change(id, Transition::Stopped, KEPT));
        }
        self.note(leaving.change(id, Transition::Stopped, REASON));
        self.dismiss(id, leaving);
    }

    /// What the first inventory shows when the end has come already: what the balancer before left
    /// is stopped too, or left to the next.
    pub(super) fn stop_found(&mut self, found: Vec<Found>, now: Instant) {
        let ours = found.into_iter().filter(|found| found.owner.is_balancer());
        for Found { key, name, number, owner } in ours {
            let number = number.unwrap_or_default();
            let mut seat = Seat::new(name, owner, Some(key), None);
            if !self.config.keep_on_stop {
                let launch = self.launch(number, &mut seat, now);
                self.out.push(Action::Start(launch));
                self.end_seat(number, &mut seat, false);
            }
        }
    }

    /// Leaves behind what cannot be stopped: the end must not wait for an engine that is gone.
    pub(super) fn expire_stop(&mut self, now: Instant) {
        if self.stop_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        self.unlisted = false;
        for (id, leaving) in std::mem::take(&mut self.leaving) {
            self.note(leaving.change(id, Transition::Stopped, LEFT_BEHIND));
        }
    }

    /// Answers those who wait for the end, once nothing is left.
    pub(super) fn finish_stop(&mut self) {
        if self.is_stopped() {
            for ticket in std::mem::take(&mut self.stop_tickets) {
                self.reply(ticket, Ok(()));
            }
        }
    }
}
