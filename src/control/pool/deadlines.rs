//! Until when things may take, and what is due next.

use std::time::{Duration, Instant};

use super::Pool;
use super::life::in_words;
use super::seat::{Phase, Replica, Seat};

/// A replica that waits for its turn has at most so many times the usual time.
const TURNS: u32 = 6;

/// How long a stop waits for a runtime that does not answer.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The same, where it answers now and then.
const LONGEST_STOP: Duration = Duration::from_secs(60);

impl Pool {
    /// When [`Event::Tick`](super::Event::Tick) is due; `None` if nothing depends on time.
    pub fn next_deadline(&self) -> Option<Instant> {
        let drains = self.leaving.values().filter_map(|leaving| leaving.drains_until);
        let seats = self.seats.values().filter_map(|seat| self.next_deadline_of(seat));
        drains.chain(seats).chain(self.stop_deadline()).min()
    }

    /// Until when the replica of a seat has to be ready, where there is such a limit. One that an
    /// `/add` waits for may also have been ready and be so no more.
    pub(super) fn start_deadline(&self, seat: &Seat) -> Option<Instant> {
        let replica = seat.current.as_ref()?;
        match replica.phase {
            Phase::Starting if seat.batch.is_some() || self.replaces(seat) => {
                Some(self.time_to_start(replica))
            }
            Phase::Ejected(since) if seat.batch.is_some() => Some(since + self.config.start_timeout),
            _ => None,
        }
    }

    /// Time counts from when a replica runs. Runtimes bring up a few at a time: before that it counts
    /// from when the one before came up.
    fn time_to_start(&self, replica: &Replica) -> Instant {
        let limit = self.config.start_timeout;
        let turn = self.last_start.map_or(replica.launched, |last| last.max(replica.launched));
        let waits_until = (turn + limit).min(replica.launched + limit * TURNS);
        replica.started.map_or(waits_until, |started| started + limit)
    }

    /// Until when an ejected replica of a seat may recover, where there is such a limit.
    pub(super) fn replace_deadline(&self, seat: &Seat) -> Option<Instant> {
        let Phase::Ejected(since) = seat.current.as_ref()?.phase else { return None };
        self.replaces(seat).then(|| since + self.config.replace_after)
    }

    /// Whether the replica of a seat may be given up for another.
    fn replaces(&self, seat: &Seat) -> bool {
        seat.owner.is_balancer() && seat.is_member() && !self.is_blind()
    }

    /// The next time at which something about a seat is due.
    fn next_deadline_of(&self, seat: &Seat) -> Option<Instant> {
        let retry = seat.retry_at.filter(|_| seat.current.is_none() && !self.is_blind());
        let check = seat.current.as_ref().and_then(|replica| replica.checks.next());
        [retry, check, self.start_deadline(seat), self.replace_deadline(seat)].into_iter().flatten().min()
    }

    /// Why the replica of a seat has not become ready in time.
    pub(super) fn why_not_ready(&self, seat: &Seat) -> String {
        let limit = in_words(self.config.start_timeout);
        match &seat.current {
            Some(replica) if replica.address.is_some() => {
                format!("no good heartbeat within {limit}{}", seat.last_bad())
            }
            _ => format!("did not start within {limit}"),
        }
    }

    /// Until when a runtime that does not answer, or has not, may come back to stop what is left.
    pub(super) fn stop_deadline(&self) -> Option<Instant> {
        let began = self.stop_began.filter(|_| !self.is_stopped())?;
        let unanswered = self.outage.as_ref().map(|outage| outage.since.max(began) + STOP_PATIENCE);
        let unlisted = self.unlisted.then(|| began + STOP_PATIENCE);
        let hindered = self.stop_hindered.map(|since| since + LONGEST_STOP);
        [unanswered, unlisted, hindered].into_iter().flatten().min()
    }
}
