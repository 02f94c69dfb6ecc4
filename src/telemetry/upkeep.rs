//! Counters of the control plane: heartbeats, restarts, publications. All are written by the
//! supervisor's thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Tally;
use super::histogram::{Durations, Histogram};

/// How a heartbeat ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// A good response in time.
    Good,
    /// None, or a bad one.
    Bad,
    /// It could not be sent, for want of something on this machine.
    Unsent,
}

impl Heartbeat {
    /// All there are, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Good, Self::Bad, Self::Unsent];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Unsent => "unsent",
        }
    }
}

/// How many causes there are of an ejection by outlier detection.
pub const EJECTION_CAUSES: usize = 3;

/// The counters.
#[derive(Debug, Default)]
pub struct Upkeep {
    heartbeats: [Tally; Heartbeat::ALL.len()],
    /// By reason; restarts are rare enough for a lock.
    restarts: Mutex<BTreeMap<&'static str, u64>>,
    /// Replicas ejected for what happened to requests, by cause.
    ejections: [Tally; EJECTION_CAUSES],
    ejections_refused: Tally,
    trials_passed: Tally,
    trials_failed: Tally,
    publications: Tally,
    slots_moved: Tally,
    /// The bits of a share.
    keys_moved: AtomicU64,
    build: Histogram,
}

impl Upkeep {
    /// A heartbeat was answered, or not.
    pub fn heartbeat(&self, result: Heartbeat) {
        self.heartbeats[result as usize].add(1);
    }

    /// A snapshot was published. `slots` are those whose owner changed, and `keys` their share of
    /// all keys, where that is known; `build` is how long the ring took, if it was built.
    pub fn published(&self, slots: Option<u32>, keys: Option<f64>, build: Option<Duration>) {
        self.publications.add(1);
        self.slots_moved.add(slots.unwrap_or(0).into());
        self.keys_moved.store(keys.unwrap_or(f64::NAN).to_bits(), Ordering::Relaxed);
        if let Some(build) = build {
            self.build.record(build);
        }
    }

    /// A replica is started in the place of one that died of `reason`.
    pub fn restarted(&self, reason: &'static str) {
        *self.restarts.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// A replica was ejected by outlier detection, for the cause of this number.
    pub fn ejected(&self, cause: usize) {
        if let Some(tally) = self.ejections.get(cause) {
            tally.add(1);
        }
    }

    /// One was not, because too few others take requests.
    pub fn ejection_refused(&self) {
        self.ejections_refused.add(1);
    }

    /// A request of the trial of a half-open replica has ended.
    pub fn trial_ended(&self, went_well: bool) {
        if went_well { &self.trials_passed } else { &self.trials_failed }.add(1);
    }

    /// Ejections by outlier detection, in the order of the numbers of their causes.
    pub fn ejections(&self) -> [u64; EJECTION_CAUSES] {
        self.ejections.each_ref().map(Tally::get)
    }

    /// Those that were refused.
    pub fn ejections_refused(&self) -> u64 {
        self.ejections_refused.get()
    }

    /// Requests of trials that went well, and those that failed.
    pub fn trials(&self) -> [u64; 2] {
        [self.trials_passed.get(), self.trials_failed.get()]
    }

    /// Replicas started in the place of dead ones, by what those died of.
    pub fn restarts(&self) -> BTreeMap<&'static str, u64> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Heartbeats with this result.
    pub fn heartbeats(&self, result: Heartbeat) -> u64 {
        self.heartbeats[result as usize].get()
    }

    /// Snapshots published.
    pub fn publications(&self) -> u64 {
        self.publications.get()
    }

    /// Slots that ever changed their owner, as far as that could be told.
    pub fn slots_moved(&self) -> u64 {
        self.slots_moved.get()
    }

    /// Share of all keys (0 to 1) that changed their replica with the last publication; NaN where
    /// that cannot be told.
    pub fn keys_moved(&self) -> f64 {
        f64::from_bits(self.keys_moved.load(Ordering::Relaxed))
    }

    /// How long rings took to build.
    pub fn builds(&self) -> Durations {
        Durations::of(&self.build)
    }
}
