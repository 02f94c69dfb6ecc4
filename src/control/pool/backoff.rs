//! When a number may be filled again after its replica failed.
//!
//! The first time at once, then 100 ms, 200 ms, 400 ms and so on up to 30 s, each with jitter so
//! that replicas that died together do not come back together; and whatever the delays, at most
//! [`STARTS`] starts in any [`WINDOW`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fastrand::Rng;

/// Most starts of one number within [`WINDOW`].
pub(in crate::control) const STARTS: usize = 10;

/// Over which [`STARTS`] are counted.
pub(in crate::control) const WINDOW: Duration = Duration::from_secs(60);

/// A replica that was ready for so long has not failed to start.
pub(super) const SETTLED: Duration = Duration::from_secs(30);

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// Failures and starts of one number.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    starts: VecDeque<Instant>,
}

impl Backoff {
    /// A replica is started now.
    pub(super) fn started(&mut self, now: Instant) {
        if self.starts.len() == STARTS {
            self.starts.pop_front();
        }
        self.starts.push_back(now);
    }

    /// The last replica did well: the next failure is a first one.
    pub(super) fn settled(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// A replica failed; returns when the next may be started.
    pub(super) fn failed(&mut self, now: Instant, rng: &mut Rng) -> Instant {
        let delay = delay_after(self.failures, rng);
        self.failures = self.failures.saturating_add(1);
        let window_ends = (self.starts.len() == STARTS).then(|| self.starts[0] + WINDOW);
        window_ends.map_or(now + delay, |end| end.max(now + delay))
    }
}

/// 75 to 100 % of the nominal delay.
fn delay_after(failures: u32, rng: &mut Rng) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    // 100 ms doubled nine times is beyond the cap already.
    let nominal = (FIRST * (1 << doublings.min(9))).min(LONGEST);
    nominal * rng.u32(75..=100) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let mut rng = Rng::with_seed(3);
        assert_eq!(delay_after(0, &mut rng), Duration::ZERO);
        for (failures, nominal_ms) in
            [(1, 100), (2, 200), (3, 400), (9, 25_600), (10, 30_000), (1000, 30_000)]
        {
            let nominal = Duration::from_millis(nominal_ms);
            let delay = delay_after(failures, &mut rng);
            assert!((nominal * 3 / 4..=nominal).contains(&delay), "{failures}: {delay:?}");
        }
    }

    #[test]
    fn whatever_happens_no_window_sees_more_starts() {
        let mut rng = Rng::with_seed(3);
        let mut now = Instant::now();
        let mut backoff = Backoff::default();
        let mut starts = Vec::new();
        for _ in 0..200 {
            backoff.started(now);
            starts.push(now);
            // The worst case: each one lives long enough to be forgiven its predecessors.
            backoff.settled();
            now = backoff.failed(now, &mut rng);
        }
        assert!(starts.windows(STARTS + 1).all(|few| few[STARTS] - few[0] >= WINDOW));
    }
}
