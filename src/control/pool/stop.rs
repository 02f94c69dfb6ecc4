//! The end: every replica is stopped and none is replaced.

use super::action::Ticket;
use super::{Action, Pool};
use crate::control::State;

const REASON: &str = "the balancer is stopping";

impl Pool {
    /// A stop is coming: what is being added is given up and no change begins any more, while
    /// the replicas that there are answer the last requests, and are still healed.
    pub(super) fn prepare_stop(&mut self) {
        self.refusing = true;
        self.abandon_batches();
    }

    /// Answered when the last replica has ended. The seats stay, to be shown as stopped.
    pub(super) fn stop(&mut self, ticket: Ticket) {
        self.stop_tickets.push(ticket);
        if self.stopping {
            return;
        }
        self.prepare_stop();
        self.stopping = true;
        self.changed = true;
        for id in self.leaving.keys().copied().collect::<Vec<_>>() {
            self.end_drain(id, REASON);
        }
        for number in self.numbers() {
            self.stop_seat(number);
        }
    }

    fn stop_seat(&mut self, number: u32) {
        let Some(seat) = self.seats.get_mut(&number) else { return };
        seat.retry_at = None;
        let is_up = seat.is_placed() && seat.is_ready();
        let leaving = seat.leaving(number);
        seat.current = None;
        let Some((id, leaving)) = leaving else { return };
        if is_up {
            self.out.push(Action::SetUp(id, false));
        }
        self.note(leaving.change(id, State::Stopped, REASON));
        self.dismiss(id, leaving);
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
