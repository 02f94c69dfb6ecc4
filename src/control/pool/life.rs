//! How a seat is filled: starting a replica, what becomes of it, and filling it again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::seat::{Replica, Seat};
use super::{Action, Pool};
use crate::control::{ExitCause, Transition};
use crate::runtime::{Launch, Owner, ReplicaId};

impl Pool {
    /// Starts a replica on an empty seat whose time has come.
    pub(super) fn fill(&mut self, number: u32, now: Instant) {
        let due = |seat: &Seat| seat.current.is_none() && seat.retry_at.is_some_and(|at| at <= now);
        if self.is_blind() || !self.seats.get(&number).is_some_and(due) {
            return;
        }
        let Some(mut seat) = self.seats.remove(&number) else { return };
        let launch = self.launch(number, &mut seat, now);
        let (reason, cause) = (seat.note.clone(), seat.cause);
        self.seats.insert(number, seat);
        self.out.push(Action::Start(launch));
        self.note_seat(number, Transition::Starting(cause), &reason);
    }

    /// Puts a new replica on a seat, which is to be started by what is returned.
    pub(super) fn launch(&mut self, number: u32, seat: &mut Seat, now: Instant) -> Launch {
        self.last_id += 1;
        let id = ReplicaId(self.last_id);
        seat.retry_at = None;
        seat.backoff.started(now);
        seat.current = Some(Replica::new(id, now));
        Launch { id, name: seat.name.clone(), number, existing: seat.existing.clone() }
    }

    /// A replica runs: its first heartbeat is due at once.
    pub(super) fn started(&mut self, id: ReplicaId, address: SocketAddr, instance: String, now: Instant) {
        let Some((_, seat)) = self.seat_of(id) else { return };
        let Some(replica) = seat.current.as_mut().filter(|replica| replica.address.is_none()) else { return };
        replica.address = Some(address);
        replica.started = Some(now);
        replica.instance = Some(instance);
        replica.checks.begin(now);
        if seat.owner == Owner::Orchestrator {
            // Whatever becomes of it, it is not to be made a second time.
            seat.existing = Some(seat.name.clone());
        }
        self.changed = true;
        self.last_start = Some(now);
    }

    /// A replica has ended, whether it was asked to or not.
    pub(super) fn gone(&mut self, id: ReplicaId, cause: ExitCause, reason: &str, now: Instant) {
        if let Some(leaving) = self.leaving.remove(&id) {
            // Being stopped was told already.
            if leaving.drains_until.is_some() {
                self.note(leaving.change(id, Transition::Stopped, reason));
            }
        } else if let Some((number, _)) = self.seat_of(id) {
            self.lost(number, cause, reason, now);
        }
    }

    /// Somebody else has told a replica to end. It takes no more requests, finishes those it has,
    /// and is replaced meanwhile if it is ours to replace.
    pub(super) fn ending(&mut self, id: ReplicaId, reason: &str, now: Instant) {
        let Some((number, seat)) = self.seat_of(id) else { return };
        if seat.owner == Owner::Discovered {
            self.take_out(vec![number], reason, now);
        } else {
            self.give_up(number, ExitCause::EndedByOthers, reason, now);
        }
    }

    /// The replica on a seat has failed: heals the seat, or gives up the `/add` it belongs to.
    pub(super) fn lost(&mut self, number: u32, cause: ExitCause, reason: &str, now: Instant) {
        self.take_off(number);
        self.note_seat(number, Transition::Died(cause), reason);
        let Some(seat) = self.seats.get_mut(&number) else { return };
        if let Some(ticket) = seat.batch {
            seat.current = None;
            let failure = (seat.name.clone(), reason.to_owned());
            self.fail_batch(ticket, vec![failure]);
        } else {
            self.heal(number, cause, reason, now);
        }
    }

    /// Lets no more requests go to the replica on a seat.
    fn take_off(&mut self, number: u32) {
        let Some(seat) = self.seats.get(&number) else { return };
        if let (true, true, Some(replica)) = (seat.is_placed(), seat.is_ready(), &seat.current) {
            self.out.push(Action::SetUp(replica.id, false));
        }
    }

    /// Empties a seat and says when it is filled again. The replacement has a name of its own,
    /// which it keeps over repeated attempts; a replica that never took a request, and one that
    /// others run, comes back under its own.
    fn heal(&mut self, number: u32, cause: ExitCause, reason: &str, now: Instant) {
        let Some(seat) = self.seats.get(&number) else { return };
        let (was_placed, owner) = (seat.is_placed(), seat.owner);
        let new_name = (was_placed && owner.is_balancer()).then(|| self.new_name());
        let Some(seat) = self.seats.get_mut(&number) else { return };
        if seat.current.take().is_some_and(|replica| replica.has_settled(now)) {
            seat.backoff.settled();
        }
        if owner.is_balancer() {
            // What was taken over is gone; what comes is new.
            seat.existing = None;
            seat.cause = Some(cause);
        }
        let at = seat.backoff.failed(now, &mut self.rng);
        seat.retry_at = Some(at);
        seat.note = match seat.backoff.failures() {
            1 => format!("'{}' failed: {reason}", seat.name),
            failures => {
                let delay = in_words(at - now);
                format!(
                    "'{}' failed: {reason}; failure {failures} in a row, next start after {delay}",
                    seat.name
                )
            }
        };
        if let Some(name) = new_name {
            seat.name = name;
        }
        self.changed = true;
    }

    /// Gives up an owned replica that has had its time to start. A replica of an unfinished
    /// `/add` fails with it; one that others run may come whenever it likes.
    pub(super) fn expire_start(&mut self, number: u32, now: Instant) {
        let Some(seat) = self.seats.get(&number) else { return };
        if self.start_deadline(seat).is_some_and(|deadline| deadline <= now) {
            let reason = self.why_not_ready(seat);
            self.give_up(number, ExitCause::NotReady, &reason, now);
        }
    }

    /// Replaces an owned replica that was ejected for too long.
    pub(super) fn expire_ejection(&mut self, number: u32, now: Instant) {
        let Some(seat) = self.seats.get(&number) else { return };
        if self.replace_deadline(seat).is_some_and(|deadline| deadline <= now) {
            let limit = in_words(self.config.replace_after);
            let reason = format!("no good heartbeat for {limit}{}", seat.last_bad());
            self.give_up(number, ExitCause::Unhealthy, &reason, now);
        }
    }

    /// Stops the replica on a member's seat, and heals the seat.
    fn give_up(&mut self, number: u32, cause: ExitCause, reason: &str, now: Instant) {
        let Some((id, leaving)) = self.seats.get(&number).and_then(|seat| seat.leaving(number)) else {
            return;
        };
        self.lost(number, cause, reason, now);
        self.dismiss(id, leaving);
    }
}

/// A duration for people, without what is below a millisecond.
pub(super) fn in_words(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(duration.as_millis() as u64))
}
