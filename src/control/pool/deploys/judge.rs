//! Whether a new revision does as well as the one before: what requests met with at the replicas of both, compared.
//!
//! Both are looked at over the same time, so that what is wrong with all of them, such as a database that is slow,
//! is not held against the new one. Where the old ones had too few requests in that time, because all numbers have
//! the new revision by then, those since the deploy began stand in.
//!
//! A revision that never responds has no times to compare. So requests that began before a time and still wait count as
//! slow. Nobody times each of them: how many had begun by then is remembered, and no more than the responses since the
//! beginning can be theirs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fxhash::FxHashMap;

use crate::cluster::Latencies;
use crate::control::{DeployConfig, Experience};
use crate::runtime::ReplicaId;

/// Failed requests that it takes to condemn a revision.
const MIN_ERRORS: u64 = 3;

/// Requests of the old revision that it takes to compare with.
const MIN_REQUESTS: u64 = 50;

/// Slow requests that it takes to condemn a revision.
const MIN_SLOW: u64 = 5;

/// How many in a hundred of the new revision's requests may be slower than is allowed of its slowest hundredth. One
/// would be expected of a revision that is just within the limit.
const SLOW_PERCENT: u64 = 2;

/// Looks that are remembered: with one each 100 ms a minute of them, which is the default for a response to come.
const LOOKS: usize = 600;

/// What is no difference between times: a busy machine makes it.
const JITTER: Duration = Duration::from_millis(10);

/// What was counted at one replica since it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploySample {
    /// Requests that ended.
    pub requests: u64,
    /// Those that had no response, and responses of class 5xx.
    pub errors: u64,
    /// How long the heads of responses took.
    pub latencies: Latencies,
    /// Requests that were sent to it.
    pub begun: u64,
    /// Those of them that had a response, or failed.
    pub answered: u64,
    /// Those that have not ended at this moment.
    pub in_flight: u64,
}

/// What requests met with at replicas of one revision.
#[derive(Clone, Debug, Default)]
struct Tally {
    requests: u64,
    errors: u64,
    latencies: Latencies,
    begun: u64,
    answered: u64,
}

impl Tally {
    fn add(&mut self, sample: &DeploySample) {
        self.requests += sample.requests;
        self.errors += sample.errors;
        self.latencies.add(&sample.latencies);
        self.begun += sample.begun;
        self.answered += sample.answered;
    }

    /// The share that failed, 0 to 1. A request may be counted as failed before it has ended.
    fn error_rate(&self) -> f64 {
        self.errors as f64 / self.requests.max(self.errors).max(1) as f64
    }

    fn experience(&self) -> Experience {
        Experience { requests: self.requests, errors: self.errors, p99: self.p99() }
    }

    /// How long the fastest 99 % took, with enough of them to tell.
    fn p99(&self) -> Option<Duration> {
        (self.latencies.len() >= MIN_REQUESTS).then(|| self.latencies.percentile(99))?
    }
}

/// Two tallies, of the revisions.
#[derive(Clone, Debug, Default)]
struct Sides {
    old: Tally,
    new: Tally,
}

/// What was seen of a deploy.
#[derive(Clone, Debug, Default)]
pub(super) struct Judge {
    /// Whether anybody was looked at: those that are there at first have a past that is not about this deploy.
    has_looked: bool,
    /// What was counted at each replica when last looked at.
    seen: FxHashMap<ReplicaId, DeploySample>,
    whole: Sides,
    /// Since the last numbers were taken over.
    window: Sides,
    /// In flight at this moment, at the old and at the new revision.
    in_flight: [u64; 2],
    /// How many requests of the new revision had begun in this window, and when that was seen.
    looks: VecDeque<(Instant, u64)>,
    /// The largest share of requests, 0 to 1, that seem to wait at the old revision: clients that go away do not
    /// wait, but had no response either.
    usually_open: f64,
}

impl Judge {
    /// More numbers have the new revision from now on.
    pub(super) fn begin_window(&mut self) {
        self.window = Sides::default();
        self.looks.clear();
    }

    /// Looks at all replicas that are on the ring now.
    pub(super) fn look(
        &mut self,
        samples: impl IntoIterator<Item = (ReplicaId, bool, DeploySample)>,
        now: Instant,
    ) {
        self.in_flight = [0; 2];
        let before = std::mem::take(&mut self.seen);
        for (id, is_new, sample) in samples {
            // Those that are gone are forgotten.
            self.seen.extend(before.get(&id).map(|seen| (id, seen.clone())));
            self.in_flight[usize::from(is_new)] += sample.in_flight;
            self.see(id, is_new, sample);
        }
        self.has_looked = true;
        self.looks.truncate(LOOKS - 1);
        self.looks.push_front((now, self.window.new.begun));
        let old = &self.window.old;
        if old.begun >= MIN_REQUESTS {
            let open = old.begun.saturating_sub(old.answered).min(self.in_flight[0]);
            self.usually_open = self.usually_open.max(open as f64 / old.begun as f64);
        }
    }

    /// Requests of the new revision that wait longer than this, at least.
    fn overdue(&self, limit: Duration) -> u64 {
        let Some((now, _)) = self.looks.front() else { return 0 };
        let was_before = |(at, _): &&(Instant, u64)| now.duration_since(*at) > limit;
        let begun = self.looks.iter().find(was_before).map_or(0, |(_, begun)| *begun);
        begun.saturating_sub(self.window.new.answered).min(self.in_flight[1])
    }

    /// Takes in what was counted at a replica. What the old ones met with before the first look is not about this
    /// deploy.
    fn see(&mut self, id: ReplicaId, is_new: bool, sample: DeploySample) {
        let news = match self.seen.get(&id) {
            Some(before) => DeploySample {
                requests: sample.requests.saturating_sub(before.requests),
                errors: sample.errors.saturating_sub(before.errors),
                latencies: sample.latencies.since(&before.latencies),
                begun: sample.begun.saturating_sub(before.begun),
                answered: sample.answered.saturating_sub(before.answered),
                in_flight: sample.in_flight,
            },
            None if is_new && self.has_looked => sample.clone(),
            None => DeploySample::default(),
        };
        for sides in [&mut self.whole, &mut self.window] {
            if is_new { sides.new.add(&news) } else { sides.old.add(&news) }
        }
        self.seen.insert(id, sample);
    }

    /// What requests met with since the deploy began: at the old revision, and at the new one.
    pub(super) fn experience(&self) -> (Experience, Experience) {
        (self.whole.old.experience(), self.whole.new.experience())
    }

    /// What is wrong with the new revision, if that can be told.
    pub(super) fn verdict(&self, config: &DeployConfig) -> Option<String> {
        let new = &self.window.new;
        let is_enough = self.window.old.requests >= MIN_REQUESTS;
        let old = if is_enough { &self.window.old } else { &self.whole.old };
        too_many_errors(old, new, config).or_else(|| self.too_slow(old, config))
    }

    fn too_slow(&self, old: &Tally, config: &DeployConfig) -> Option<String> {
        let usual = old.p99().filter(|_| config.max_slowdown > 0.0)?;
        let limit = usual.mul_f64(config.max_slowdown.max(1.0)) + JITTER;
        let times = &self.window.new.latencies;
        let (late, overdue) = (times.above(limit), self.overdue(limit));
        let (slow, all) = (late + overdue, times.len() + overdue);
        let usual_waits = if overdue > 0 { 2.0 * self.usually_open } else { 0.0 };
        let allowed = all as f64 * (SLOW_PERCENT as f64 / 100.0 + usual_waits);
        (slow >= MIN_SLOW && slow as f64 > allowed).then(|| {
            let waiting = if overdue > 0 { format!(", {overdue} of them without a response yet") } else { String::new() };
            format!(
                "{slow} of its {all} requests took longer than {}{waiting}; 99 % of those of the old revision took at \
                 most {} (--deploy-max-slowdown)",
                humantime::format_duration(whole_micros(limit)),
                humantime::format_duration(whole_micros(usual)),
            )
        })
    }
}

fn too_many_errors(old: &Tally, new: &Tally, config: &DeployConfig) -> Option<String> {
    let (before, after) = (old.error_rate(), new.error_rate());
    // What chance alone makes of the same rate among so many requests: twice the standard deviation.
    let chance = 2.0 * (before * (1.0 - before) / new.requests.max(1) as f64).sqrt();
    let is_worse = after > before + config.max_errors / 100.0 + chance;
    (is_worse && new.errors >= MIN_ERRORS).then(|| {
        format!(
            "{} of its {} requests failed, {:.2} % of those of the old revision (--deploy-max-errors)",
            new.errors,
            new.requests.max(new.errors),
            100.0 * before
        )
    })
}

fn whole_micros(duration: Duration) -> Duration {
    Duration::from_micros(duration.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: ReplicaId = ReplicaId(1);
    const NEW: ReplicaId = ReplicaId(2);

    fn sample(requests: u64, errors: u64, millis: u64) -> DeploySample {
        let mut latencies = Latencies::default();
        (0..requests).for_each(|_| latencies.count(Duration::from_millis(millis)));
        DeploySample { requests, errors, latencies, begun: requests, answered: requests, in_flight: 0 }
    }

    fn verdict(old: DeploySample, new: DeploySample) -> Option<String> {
        let mut judge = Judge::default();
        judge.look([(OLD, false, DeploySample::default())], Instant::now());
        judge.begin_window();
        judge.look([(OLD, false, old), (NEW, true, new)], Instant::now());
        judge.verdict(&DeployConfig::default())
    }

    #[test]
    fn one_that_does_as_well_passes() {
        assert_eq!(verdict(sample(1000, 0, 5), sample(500, 0, 5)), None);
        assert_eq!(verdict(sample(1000, 100, 5), sample(500, 55, 5)), None, "what fails everywhere");
        assert_eq!(verdict(sample(1000, 0, 500), sample(500, 0, 600)), None, "what is slow everywhere");
        assert_eq!(verdict(sample(0, 0, 0), sample(0, 0, 0)), None, "nothing to compare");
        assert_eq!(verdict(sample(1000, 0, 5), sample(2, 2, 5)), None, "two failures are no proof");
        assert_eq!(verdict(sample(10, 0, 1), sample(500, 0, 900)), None, "nothing to compare the times with");
        assert_eq!(verdict(sample(1000, 0, 1), sample(500, 0, 8)), None, "jitter");
    }

    #[test]
    fn one_that_fails_or_is_slow_does_not() {
        for (old, new, word) in [
            (sample(1000, 0, 5), sample(3, 3, 5), "3 of its 3 requests failed"),
            (sample(0, 0, 5), sample(3, 3, 5), "3 of its 3 requests failed"),
            (sample(1000, 10, 5), sample(500, 40, 5), "40 of its 500 requests failed, 1.00 %"),
            (sample(1000, 0, 10), sample(500, 0, 100), "500 of its 500 requests took longer than"),
        ] {
            let verdict = verdict(old, new).expect("condemned");
            assert!(verdict.starts_with(word), "{verdict}");
        }
    }

    #[test]
    fn what_was_before_the_deploy_says_nothing() {
        let mut judge = Judge::default();
        judge.look(
            [(OLD, false, sample(1000, 900, 500)), (NEW, true, sample(1000, 900, 500))],
            Instant::now(),
        );
        judge.look(
            [(OLD, false, sample(1100, 900, 500)), (NEW, true, sample(1001, 900, 500))],
            Instant::now(),
        );
        let (old, new) = judge.experience();
        assert_eq!((old.requests, old.errors, new.requests, new.errors), (100, 0, 1, 0));
    }

    #[test]
    fn a_window_forgets_what_the_numbers_before_did() {
        let mut judge = Judge::default();
        judge.look([(OLD, false, DeploySample::default())], Instant::now());
        judge.look([(NEW, true, sample(10_000, 0, 5))], Instant::now());
        judge.begin_window();
        let third = (ReplicaId(3), true, sample(10, 10, 5));
        judge.look([third, (NEW, true, sample(10_010, 0, 5))], Instant::now());
        assert!(judge.verdict(&DeployConfig::default()).is_some(), "not hidden behind the first number");
    }

    /// So many looks, one each 100 ms, at an old revision that responds within 5 ms and a new one of which `of` says
    /// what was counted by then: begun, answered, in flight.
    fn looks(count: u32, of: impl Fn(u64) -> (DeploySample, (u64, u64, u64))) -> Option<String> {
        let (mut judge, start) = (Judge::default(), Instant::now());
        judge.look([(OLD, false, DeploySample::default())], start);
        judge.begin_window();
        for look in 0..count {
            let (old, (begun, answered, in_flight)) = of(look.into());
            let new = DeploySample { begun, answered, in_flight, ..sample(answered, 0, 5) };
            judge.look([(OLD, false, old), (NEW, true, new)], start + look * Duration::from_millis(100));
        }
        judge.verdict(&DeployConfig::default())
    }

    #[test]
    fn one_that_does_not_respond_is_too_slow() {
        let old = |look: u64| sample(100 + 10 * look, 0, 5);
        let hangs = looks(3, |look| (old(look), (10, 0, if look == 0 { 0 } else { 10 })));
        let hangs = hangs.expect("condemned");
        assert!(hangs.starts_with("10 of its 10 requests took longer than 2"), "{hangs}");
        assert!(hangs.contains(", 10 of them without a response yet; 99 %"), "{hangs}");
        let in_part = looks(20, |look| (old(look), (10 * look, 5 * look, 5 * look)));
        assert!(in_part.is_some(), "every second request hangs");
        assert_eq!(
            looks(20, |look| (old(look), (10 * look, 0, 0))),
            None,
            "clients that go away do not wait"
        );
        assert_eq!(looks(1, |look| (old(look), (50, 0, 50))), None, "they have just begun");
        let few = looks(20, |look| (old(look), (100 * look, (100 * look).saturating_sub(4), 4)));
        assert_eq!(few, None, "four are no proof");
        let streams = looks(20, |look| {
            let open = DeploySample { answered: 95 + 9 * look, in_flight: 500, ..old(look) };
            (open, (100 * look, 95 * look, 500))
        });
        assert_eq!(streams, None, "as many clients go away as at the old one");
    }

    proptest! {
        #[test]
        fn the_same_counts_never_condemn(requests in 0_u64..2000, errors in 0_u64..2000, millis in 0_u64..2000) {
            let sample = sample(requests, errors.min(requests), millis);
            prop_assert_eq!(verdict(sample.clone(), sample), None);
        }
    }
}
