//! `/add`: all or nothing. The replicas of one command start side by side, wait for each other,
//! and enter the ring in one publication; if one fails, the others are stopped.

use std::time::Instant;

use super::Pool;
use super::action::Ticket;
use super::seat::Seat;
use crate::control::{Add, ControlError, Transition};

/// An unfinished `/add`.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    ticket: Ticket,
    /// Its seats.
    numbers: Vec<u32>,
}

impl Batch {
    /// One of its seats has another number now, if the seat is of this batch.
    pub(super) fn renumber(&mut self, from: u32, to: u32, batch: Option<Ticket>) {
        if batch == Some(self.ticket) {
            self.numbers.iter_mut().filter(|number| **number == from).for_each(|number| *number = to);
        }
    }
}

impl Pool {
    pub(super) fn add(&mut self, ticket: Ticket, add: &Add, now: Instant) {
        if let Err(refused) = self.check_add(add) {
            return self.reply(ticket, Err(refused));
        }
        let numbers: Vec<_> =
            (0..add.count).map(|index| self.seat_new(ticket, add, index as usize, now)).collect();
        self.batches.push(Batch { ticket, numbers });
    }

    /// Makes the seat of the replica `index` of an `/add`, on the smallest free number.
    fn seat_new(&mut self, ticket: Ticket, add: &Add, index: usize, now: Instant) -> u32 {
        let free = |number: &u32| !self.seats.contains_key(number);
        let number = (1..=u32::MAX).find(free).expect("there are fewer seats than numbers");
        let name = add.names.get(index).cloned().unwrap_or_else(|| self.new_name());
        let mut seat = Seat::new(name, self.runtime.owner, add.endpoints.get(index).cloned(), Some(ticket));
        seat.retry_at = Some(now);
        self.seats.insert(number, seat);
        number
    }

    /// Puts the replicas of an `/add` on the ring if all are ready.
    pub(super) fn complete_batch(&mut self, ticket: Ticket) {
        let Some(index) = self.batches.iter().position(|batch| batch.ticket == ticket) else { return };
        let ready = |number| self.seats.get(number).is_some_and(Seat::is_ready);
        if !self.batches[index].numbers.iter().all(ready) {
            return;
        }
        let batch = self.batches.swap_remove(index);
        for number in &batch.numbers {
            if let Some(seat) = self.seats.get_mut(number) {
                seat.batch = None;
                seat.place();
            }
        }
        self.publish();
        for &number in &batch.numbers {
            self.note_seat(number, Transition::Joined, "");
        }
        self.reply(ticket, Ok(()));
    }

    /// Ends an `/add` because of `failures` (name and reason): stops its replicas, frees their
    /// numbers and names.
    pub(super) fn fail_batch(&mut self, ticket: Ticket, failures: Vec<(String, String)>) {
        self.drop_batch(ticket, |name| {
            let own = failures.iter().find(|(failed, _)| failed == name);
            own.map_or("another replica of the same /add failed", |(_, reason)| reason)
        });
        self.reply(ticket, Err(ControlError::StartFailed(failures)));
    }

    /// Frees the seats of an `/add`; `reason` says for each name why.
    pub(super) fn drop_batch<'a>(&mut self, ticket: Ticket, reason: impl Fn(&str) -> &'a str) {
        let Some(index) = self.batches.iter().position(|batch| batch.ticket == ticket) else { return };
        for number in self.batches.swap_remove(index).numbers {
            self.vacate(number, &reason);
        }
    }

    /// Ends every `/add` because the balancer stops.
    pub(super) fn abandon_batches(&mut self) {
        for ticket in self.tickets_of_batches() {
            self.drop_batch(ticket, |_| "the balancer is stopping");
            self.reply(ticket, Err(ControlError::Stopping));
        }
    }

    pub(super) fn tickets_of_batches(&self) -> Vec<Ticket> {
        self.batches.iter().map(|batch| batch.ticket).collect()
    }

    /// Ends each `/add` one of whose replicas has had its time.
    pub(super) fn expire_batches(&mut self, now: Instant) {
        for ticket in self.tickets_of_batches() {
            let late = |seat: &&Seat| {
                seat.batch == Some(ticket)
                    && self.start_deadline(seat).is_some_and(|deadline| deadline <= now)
            };
            let late = self.seats.values().filter(late);
            let failures: Vec<_> = late.map(|seat| (seat.name.clone(), self.why_not_ready(seat))).collect();
            if !failures.is_empty() {
                self.fail_batch(ticket, failures);
            }
        }
    }
}
