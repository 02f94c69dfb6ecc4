//! When the heartbeats of one replica are due, and how many went wrong in a row.
//!
//! At most one is outstanding: a replica that hangs is not hit by ever more of them.

use std::time::{Duration, Instant};

use fastrand::Rng;

/// Failed requests ask for a check at most this often.
const HURRY_PAUSE: Duration = Duration::from_millis(20);

/// How far a pause may be off, in percent, so that replicas that fail together are not asked
/// together.
const JITTER_PERCENT: u32 = 10;

/// Into how many moments an interval is divided. Thousands of replicas then wake the thread a
/// hundred times a second, and not once for each.
const MOMENTS: u64 = 64;

/// The schedule of one instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Checks {
    stage: Stage,
    /// When the next one is due, or the one that waits was.
    next: Option<Instant>,
    sent: Option<Instant>,
    /// How long they had to wait to be sent.
    waited: Duration,
    bad: u32,
}

/// What becomes of the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// It is not due, or was not asked for.
    #[default]
    Idle,
    /// It is due, and too many others are under way.
    Waiting,
    /// It was sent.
    UnderWay,
}

impl Checks {
    /// Asks for the first heartbeat at `at`.
    pub(super) fn begin(&mut self, at: Instant) {
        self.next = Some(at);
    }

    /// When the next one is due; `None` while one waits or is under way, or none was asked for.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.filter(|_| self.stage == Stage::Idle)
    }

    /// Since when one waits to be sent.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.next.filter(|_| self.stage == Stage::Waiting)
    }

    /// Has the one that is due wait; returns since when.
    pub(super) fn wait(&mut self) -> Option<Instant> {
        self.stage = Stage::Waiting;
        self.next
    }

    /// It is sent now.
    pub(super) fn send(&mut self, now: Instant) {
        self.waited += self.waits_since().map_or(Duration::ZERO, |since| now - since);
        self.stage = Stage::UnderWay;
        self.sent = Some(now);
    }

    /// How long heartbeats waited to be sent, since [`Checks::forget_waits`]: late work of our
    /// own, which is taken off the time that a replica has.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// Counts [`Checks::waited`] from now on.
    pub(super) fn forget_waits(&mut self) {
        self.waited = Duration::ZERO;
    }

    /// A request failed: the next heartbeat comes at once, or [`HURRY_PAUSE`] after the last.
    /// One that waits or is under way will tell as much as another would.
    pub(super) fn hurry(&mut self, now: Instant) {
        let soonest = self.sent.map_or(now, |sent| now.max(sent + HURRY_PAUSE));
        self.not_after(soonest);
    }

    /// The one under way has ended, well or not or without a verdict.
    pub(super) fn ended(&mut self, good: Option<bool>) {
        self.stage = Stage::Idle;
        match good {
            Some(true) => self.bad = 0,
            Some(false) => self.bad = self.bad.saturating_add(1),
            None => {}
        }
    }

    /// Brings the next one forward to `latest`, if it is later.
    pub(super) fn not_after(&mut self, latest: Instant) {
        if self.stage != Stage::Waiting {
            self.next = self.next.map(|next| next.min(latest));
        }
    }

    /// Bad ones in a row.
    pub(super) fn bad(&self) -> u32 {
        self.bad
    }

    /// Schedules the next one at `at`.
    pub(super) fn again_at(&mut self, at: Instant) {
        self.next = Some(at);
    }

    /// Schedules the next one `pause` from now, give or take [`JITTER_PERCENT`].
    pub(super) fn again_in(&mut self, pause: Duration, now: Instant, rng: &mut Rng) {
        let percent = 100 - JITTER_PERCENT + rng.u32(..=2 * JITTER_PERCENT);
        self.next = Some(now + pause * percent / 100);
    }
}

/// The next moment after `now` at which the replica of `number` is asked. Each number has a
/// moment of its own in the interval, counted from `epoch`; multiples of the golden ratio spread
/// any range of numbers evenly.
pub(super) fn moment_after(now: Instant, epoch: Instant, interval: Duration, number: u32) -> Instant {
    const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;
    let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
    let fraction = u64::from(number).wrapping_mul(GOLDEN_RATIO) >> (MOMENTS.leading_zeros() + 1);
    let moment = u64::try_from(u128::from(interval) * u128::from(fraction) / u128::from(MOMENTS));
    let moment = moment.expect("a part of the interval");
    let elapsed = u64::try_from((now - epoch).as_nanos()).unwrap_or(u64::MAX);
    // How long ago the last one was, below one interval.
    let since = (elapsed % interval + interval - moment) % interval;
    now + Duration::from_nanos(interval - since)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(500);

    #[test]
    fn one_at_a_time() {
        let now = Instant::now();
        let mut checks = Checks::default();
        assert_eq!(checks.next(), None, "nothing was asked for");
        checks.begin(now);
        assert_eq!(checks.next(), Some(now));
        checks.send(now);
        assert_eq!(checks.next(), None, "one is under way");
        checks.ended(Some(true));
        assert_eq!(checks.next(), Some(now));
    }

    #[test]
    fn bad_ones_count_until_a_good_one() {
        let now = Instant::now();
        let mut checks = Checks::default();
        for (good, expected) in
            [(Some(false), 1), (None, 1), (Some(false), 2), (Some(false), 3), (Some(true), 0), (None, 0)]
        {
            checks.begin(now);
            checks.send(now);
            checks.ended(good);
            assert_eq!(checks.bad(), expected);
        }
    }

    #[test]
    fn the_wait_to_be_sent_is_measured() {
        let now = Instant::now();
        let mut checks = Checks::default();
        checks.begin(now);
        assert_eq!(checks.wait(), Some(now));
        assert_eq!((checks.next(), checks.waits_since()), (None, Some(now)));
        checks.hurry(now + INTERVAL);
        checks.send(now + INTERVAL);
        assert_eq!((checks.waits_since(), checks.waited()), (None, INTERVAL));
        checks.forget_waits();
        assert_eq!(checks.waited(), Duration::ZERO);
    }

    #[test]
    fn hurry_comes_forward_but_not_closer_than_the_pause() {
        let now = Instant::now();
        let mut checks = Checks::default();
        checks.begin(now);
        checks.send(now);
        checks.ended(Some(true));
        checks.again_at(now + INTERVAL);
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

    proptest! {
        #[test]
        fn a_moment_comes_once_in_each_interval(number: u32, after_us in 0_u64..10_000_000) {
            let epoch = Instant::now();
            let now = epoch + Duration::from_micros(after_us);
            let next = moment_after(now, epoch, INTERVAL, number);
            prop_assert!(next > now && next <= now + INTERVAL);
            prop_assert_eq!(moment_after(next, epoch, INTERVAL, number), next + INTERVAL);
        }
    }

    #[test]
    fn moments_are_spread_evenly() {
        let epoch = Instant::now();
        for (first, count) in [(1, 64), (1, 1_000), (500, 4_000)] {
            let mut tenths = [0; 10];
            for number in first..first + count {
                let at = moment_after(epoch, epoch, INTERVAL, number) - epoch;
                tenths[(at.as_micros() as usize - 1) / 50_000] += 1;
            }
            let due = count / 10;
            assert!(
                tenths.iter().all(|&tenth| tenth * 10 >= due * 8 && tenth * 10 <= due * 12 + 10),
                "{tenths:?}"
            );
        }
    }
}
