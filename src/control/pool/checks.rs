//! When the heartbeats of one replica are due, and how many went wrong in a row.
//!
//! At most one is outstanding: a replica that hangs is not hit by ever more of them.

use std::time::{Duration, Instant};

use fastrand::Rng;

/// Failed requests ask for a check at most this often.
const HURRY_PAUSE: Duration = Duration::from_millis(20);

/// How far an interval may be off, in percent, so that the replicas do not beat together.
const JITTER_PERCENT: u32 = 10;

/// The schedule of one replica.
#[derive(Clone, Debug, Default)]
pub(super) struct Checks {
    outstanding: bool,
    next: Option<Instant>,
    sent: Option<Instant>,
    bad: u32,
}

impl Checks {
    /// Asks for the first heartbeat at `at`.
    pub(super) fn begin(&mut self, at: Instant) {
        self.next = Some(at);
    }

    /// When the next one is due; `None` while one is outstanding or none was asked for.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.filter(|_| !self.outstanding)
    }

    /// Whether one is to be sent now; if so it counts as outstanding from here on.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let due = self.next().is_some_and(|next| next <= now);
        if due {
            self.outstanding = true;
            self.sent = Some(now);
        }
        due
    }

    /// A request failed: the next heartbeat comes at once, or [`HURRY_PAUSE`] after the last.
    /// One that is outstanding will tell as much as another would.
    pub(super) fn hurry(&mut self, now: Instant) {
        let soonest = self.sent.map_or(now, |sent| now.max(sent + HURRY_PAUSE));
        self.next = self.next.map(|next| next.min(soonest));
    }

    /// Takes the answer to the outstanding heartbeat; `false` if there is none.
    pub(super) fn answered(&mut self, good: bool) -> bool {
        if !std::mem::take(&mut self.outstanding) {
            return false;
        }
        self.bad = if good { 0 } else { self.bad.saturating_add(1) };
        true
    }

    /// Gives the outstanding heartbeat up without a verdict; `false` if there is none.
    pub(super) fn unanswered(&mut self) -> bool {
        std::mem::take(&mut self.outstanding)
    }

    /// Brings the next one forward to `latest`, if it is later.
    pub(super) fn not_after(&mut self, latest: Instant) {
        self.next = self.next.map(|next| next.min(latest));
    }

    /// Bad ones in a row.
    pub(super) fn bad(&self) -> u32 {
        self.bad
    }

    /// Schedules the next one `pause` from now, give or take [`JITTER_PERCENT`].
    pub(super) fn again_in(&mut self, pause: Duration, now: Instant, rng: &mut Rng) {
        let percent = 100 - JITTER_PERCENT + rng.u32(..=2 * JITTER_PERCENT);
        self.next = Some(now + pause * percent / 100);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(500);

    #[test]
    fn one_at_a_time() {
        let now = Instant::now();
        let mut checks = Checks::default();
        assert!(!checks.take_due(now), "nothing was asked for");
        checks.begin(now);
        assert!(checks.take_due(now));
        assert!(!checks.take_due(now + INTERVAL), "one is outstanding");
        assert!(checks.answered(true));
        assert!(!checks.answered(true), "an answer that nobody waits for");
    }

    #[test]
    fn bad_ones_count_until_a_good_one() {
        let now = Instant::now();
        let mut checks = Checks::default();
        for expected in [1, 2, 3] {
            checks.begin(now);
            assert!(checks.take_due(now) && checks.answered(false));
            assert_eq!(checks.bad(), expected);
        }
        checks.begin(now);
        assert!(checks.take_due(now) && checks.answered(true));
        assert_eq!(checks.bad(), 0);
    }

    #[test]
    fn hurry_comes_forward_but_not_closer_than_the_pause() {
        let now = Instant::now();
        let mut checks = Checks::default();
        let mut rng = Rng::with_seed(1);
        checks.begin(now);
        assert!(checks.take_due(now) && checks.answered(true));
        checks.again_in(INTERVAL, now, &mut rng);
        checks.hurry(now);
        assert_eq!(checks.next(), Some(now + HURRY_PAUSE));
        checks.hurry(now + HURRY_PAUSE * 2);
        assert_eq!(checks.next(), Some(now + HURRY_PAUSE), "never postponed");
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_varies() {
        let now = Instant::now();
        let mut rng = Rng::with_seed(1);
        let pauses: Vec<_> = (0..200)
            .map(|_| {
                let mut checks = Checks::default();
                checks.again_in(INTERVAL, now, &mut rng);
                checks.next().expect("just set") - now
            })
            .collect();
        assert!(pauses.iter().all(|pause| (INTERVAL * 9 / 10..=INTERVAL * 11 / 10).contains(pause)));
        assert!(pauses.iter().min() < pauses.iter().max());
    }
}
