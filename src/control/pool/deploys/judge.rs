//! Whether a new revision does as well as the one before: what requests met with at the replicas of both, compared.
//!
//! Both are looked at over the same time, so that what is wrong with all of them, such as a database that is slow,
//! is not held against the new one. Where the old ones had too few requests in that time, because all numbers have
//! the new revision by then, those since the deploy began stand in.

use std::time::Duration;

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
}

/// What requests met with at replicas of one revision.
#[derive(Clone, Debug, Default)]
struct Tally {
    requests: u64,
    errors: u64,
    latencies: Latencies,
}

impl Tally {
    fn add(&mut self, sample: &DeploySample) {
        self.requests += sample.requests;
        self.errors += sample.errors;
        self.latencies.add(&sample.latencies);
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
    /// What was counted at each replica when last looked at.
    seen: FxHashMap<ReplicaId, DeploySample>,
    whole: Sides,
    /// Since the last numbers were taken over.
    window: Sides,
}

impl Judge {
    /// More numbers have the new revision from now on.
    pub(super) fn begin_window(&mut self) {
        self.window = Sides::default();
    }

    /// Takes in what was counted at a replica. What the old ones met with before the first look is not about this
    /// deploy.
    pub(super) fn see(&mut self, id: ReplicaId, is_new: bool, sample: DeploySample) {
        let news = match self.seen.get(&id) {
            Some(before) => DeploySample {
                requests: sample.requests.saturating_sub(before.requests),
                errors: sample.errors.saturating_sub(before.errors),
                latencies: sample.latencies.since(&before.latencies),
            },
            None if is_new => sample.clone(),
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
        too_many_errors(old, new, config).or_else(|| too_slow(old, new, config))
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

fn too_slow(old: &Tally, new: &Tally, config: &DeployConfig) -> Option<String> {
    let usual = old.p99().filter(|_| config.max_slowdown > 0.0)?;
    let limit = usual.mul_f64(config.max_slowdown.max(1.0)) + JITTER;
    let (slow, all) = (new.latencies.above(limit), new.latencies.len());
    (slow >= MIN_SLOW && slow * 100 > all * SLOW_PERCENT).then(|| {
        format!(
            "{slow} of its {all} requests took longer than {}; 99 % of those of the old revision took at most {} \
             (--deploy-max-slowdown)",
            humantime::format_duration(whole_micros(limit)),
            humantime::format_duration(whole_micros(usual)),
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
        DeploySample { requests, errors, latencies }
    }

    fn verdict(old: DeploySample, new: DeploySample) -> Option<String> {
        let mut judge = Judge::default();
        judge.see(OLD, false, DeploySample::default());
        judge.begin_window();
        judge.see(OLD, false, old);
        judge.see(NEW, true, new);
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
        judge.see(OLD, false, sample(1000, 900, 500));
        judge.see(OLD, false, sample(1100, 900, 500));
        let (old, new) = judge.experience();
        assert_eq!((old.requests, old.errors, new.requests), (100, 0, 0));
    }

    #[test]
    fn a_window_forgets_what_the_numbers_before_did() {
        let mut judge = Judge::default();
        judge.see(OLD, false, DeploySample::default());
        judge.see(NEW, true, sample(10_000, 0, 5));
        judge.begin_window();
        judge.see(ReplicaId(3), true, sample(10, 10, 5));
        judge.see(NEW, true, sample(10_010, 0, 5));
        assert!(judge.verdict(&DeployConfig::default()).is_some(), "not hidden behind the first number");
    }

    proptest! {
        #[test]
        fn the_same_counts_never_condemn(requests in 0_u64..2000, errors in 0_u64..2000, millis in 0_u64..2000) {
            let sample = sample(requests, errors.min(requests), millis);
            prop_assert_eq!(verdict(sample.clone(), sample), None);
        }
    }
}
