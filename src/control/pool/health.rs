//! What heartbeats and failed requests lead to: into the ring, out of the choice, back in.

use std::time::{Duration, Instant};

use super::seat::Phase;
use super::{Action, Pool};
use crate::control::Transition;
use crate::runtime::ReplicaId;

/// Between the heartbeats of a replica that starts: it should not wait to be noticed.
const START_PAUSE: Duration = Duration::from_millis(25);

/// After a first bad heartbeat the next follows within this part of the interval, to tell a
/// hiccup from a failure soon.
const DOUBT_DIVISOR: u32 = 5;

impl Pool {
    /// Sends the heartbeat of a seat if it is due.
    pub(super) fn check(&mut self, number: u32, now: Instant) {
        let probe = self.seats.get_mut(&number).and_then(|seat| seat.take_due_check(now));
        self.out.extend(probe.map(Action::Check));
    }

    pub(super) fn heartbeat_good(&mut self, id: ReplicaId, now: Instant) {
        let interval = self.config.health.interval;
        let rng = &mut self.rng.fork();
        let Some((number, seat)) = self.seat_of(id) else { return };
        let Some(replica) = seat.current.as_mut() else { return };
        if !replica.checks.answered(true) {
            return;
        }
        replica.checks.again_in(interval, now, rng);
        replica.last_bad.clear();
        if !matches!(replica.phase, Phase::Ready(_)) {
            replica.phase = Phase::Ready(now);
            self.became_ready(number);
        }
    }

    /// A replica on the ring takes requests again. One that is not goes there, the replicas of
    /// an `/add` all together.
    fn became_ready(&mut self, number: u32) {
        let Some(seat) = self.seats.get_mut(&number) else { return };
        if let Some(ticket) = seat.batch {
            return self.complete_batch(ticket);
        }
        if let (true, Some(replica)) = (seat.is_placed(), &seat.current) {
            self.out.push(Action::SetUp(replica.id, true));
            self.note_seat(number, Transition::Recovered, "");
        } else {
            seat.place();
            self.publish();
            self.note_seat(number, Transition::Joined, "");
        }
    }

    pub(super) fn heartbeat_bad(&mut self, id: ReplicaId, reason: String, now: Instant) {
        let health = self.config.health.clone();
        let start_timeout = self.config.start_timeout;
        let rng = &mut self.rng.fork();
        let Some((number, seat)) = self.seat_of(id) else { return };
        let Some(replica) = seat.current.as_mut() else { return };
        if !replica.checks.answered(false) {
            return;
        }
        let ejects =
            matches!(replica.phase, Phase::Ready(_)) && replica.checks.bad() >= health.unhealthy_after;
        let pause = match replica.phase {
            Phase::Starting if now < replica.launched + start_timeout => START_PAUSE.min(health.interval),
            Phase::Ready(_) if !ejects => health.interval / DOUBT_DIVISOR,
            _ => health.interval,
        };
        replica.checks.again_in(pause, now, rng);
        let news = replica.last_bad != reason;
        replica.last_bad = reason;
        self.changed |= news;
        if ejects {
            self.eject(number, now);
        }
    }

    /// The replica stays what it is, and is asked again at the usual time.
    pub(super) fn heartbeat_unsent(&mut self, id: ReplicaId, reason: String, now: Instant) {
        let interval = self.config.health.interval;
        let rng = &mut self.rng.fork();
        let Some((_, seat)) = self.seat_of(id) else { return };
        let Some(replica) = seat.current.as_mut() else { return };
        if !replica.checks.unanswered() {
            return;
        }
        replica.checks.again_in(interval, now, rng);
        replica.last_bad = reason;
        self.changed = true;
    }

    /// Lets no more requests go to a ready replica. The ring stays as it is.
    fn eject(&mut self, number: u32, now: Instant) {
        let Some(seat) = self.seats.get_mut(&number) else { return };
        let is_placed = seat.is_placed();
        let Some(replica) = seat.current.as_mut() else { return };
        if replica.has_settled(now) {
            seat.backoff.settled();
        }
        replica.phase = Phase::Ejected(now);
        let reason = replica.last_bad.clone();
        if is_placed {
            self.out.push(Action::SetUp(replica.id, false));
        }
        self.note_seat(number, Transition::Ejected, &reason);
    }

    /// A request failed at a ready replica: a heartbeat soon tells whether it was the replica's
    /// fault. The others have theirs soon enough.
    pub(super) fn request_failed(&mut self, id: ReplicaId, now: Instant) {
        let Some((_, seat)) = self.seat_of(id) else { return };
        let Some(replica) = seat.current.as_mut() else { return };
        if matches!(replica.phase, Phase::Ready(_)) {
            replica.checks.hurry(now);
        }
    }
}
