//! What was found, as data: `results.json` is this, and every table and chart is made of it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::machine::Machine;
use super::rings::RingFacts;
use super::stats::{Summary, Test};

/// All figures of one run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Results {
    pub(super) version: &'static str,
    /// The command line.
    pub(super) command: String,
    pub(super) seed: u64,
    /// Requests of each measurement.
    pub(super) requests_each: u32,
    pub(super) concurrency: u32,
    /// When it began, as RFC 3339.
    pub(super) began: String,
    pub(super) took_seconds: f64,
    pub(super) machine: Machine,
    pub(super) target: TargetFacts,
    /// Requests in all.
    pub(super) requests: u64,
    /// Requests that got no answer, or a 4xx or 5xx.
    pub(super) lost: u64,
    /// Some of the reasons.
    pub(super) lost_because: Vec<String>,
    pub(super) a1: Option<Spread>,
    pub(super) a2: Option<Vec<Spread>>,
    pub(super) a3: Option<Endpoints>,
    pub(super) a4: Option<Vec<Sweep>>,
    pub(super) movement: Option<Vec<Movement>>,
    pub(super) zipf: Option<Popular>,
    pub(super) latency: Option<Latency>,
    /// What was not done, and why.
    pub(super) skipped: Vec<Skipped>,
    /// What one has to know to read the figures.
    pub(super) notes: Vec<String>,
}

/// What was measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct TargetFacts {
    /// Whether it was started for this.
    pub(super) own: bool,
    pub(super) admin: String,
    pub(super) public: String,
}

/// An experiment that was not done, or a part of one.
#[derive(Debug, Serialize)]
pub(super) struct Skipped {
    pub(super) what: String,
    pub(super) why: String,
}

/// How requests spread over the replicas of one ring.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) ring: RingFacts,
    /// What was hashed.
    pub(super) key: String,
    /// Factor of bounded load in force, if there was a bound.
    pub(super) bounded_load: Option<f64>,
    /// Requests that were sent.
    pub(super) sent: u64,
    /// Requests that its replicas answered.
    pub(super) requests: u64,
    pub(super) lost: u64,
    pub(super) seconds: f64,
    pub(super) replicas: Vec<Count>,
    pub(super) summary: Summary,
    /// Largest of the expected counts over the average.
    pub(super) expected_peak_to_average: f64,
    /// Requests that another replica answered than the one that owns their key; `None` where
    /// replicas do not say who they are.
    pub(super) elsewhere: Option<u64>,
    /// Against the shares expected of the ring.
    pub(super) chi_squared_ring: Test,
    /// Against equal shares.
    pub(super) chi_squared_uniform: Test,
    /// For each request the number of who answered it, or 0.
    #[serde(skip)]
    pub(super) answered: Vec<u32>,
}

/// One replica of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Count {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) requests: u64,
    /// Part of all slots.
    pub(super) slot_share: f64,
    /// Part of the keys: what a request is expected to do.
    pub(super) expected_share: f64,
    /// That of the requests that were sent.
    pub(super) expected: f64,
}

impl Spread {
    /// Replicas there were.
    pub(super) fn n(&self) -> usize {
        self.replicas.len()
    }

    /// Whether these are replicas 1 to N.
    pub(super) fn is_of_the_first(&self) -> bool {
        self.replicas.iter().map(|replica| replica.number).eq((1..).take(self.n()))
    }
}

/// One kind of ring, for N from 2 to 6.
#[derive(Debug, Serialize)]
pub(super) struct Sweep {
    pub(super) label: &'static str,
    pub(super) key: &'static str,
    pub(super) ring: RingFacts,
    /// N to the peak-to-average expected of the ring, also where it was not measured.
    pub(super) expected: BTreeMap<u32, f64>,
    pub(super) spreads: Vec<Spread>,
}

/// What A-3 found.
#[derive(Debug, Serialize)]
pub(super) struct Endpoints {
    pub(super) checks: Vec<Check>,
    pub(super) kill: Option<Kill>,
}

/// One request to an endpoint, and whether the answer is the one described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) request: String,
    pub(super) status: u16,
    pub(super) good: bool,
    /// What was to come, where something else came.
    pub(super) problem: Option<String>,
}

/// A replica killed under load. Times are in milliseconds since the kill.
#[derive(Debug, Default, Serialize)]
pub(super) struct Kill {
    pub(super) replica: String,
    pub(super) replacement: Option<String>,
    pub(super) requests_per_second: u32,
    pub(super) requests: u64,
    pub(super) lost: u64,
    /// Until it was out of the choice; none of the three where it was not seen in time.
    pub(super) detected_ms: Option<f64>,
    /// Until its replacement was started.
    pub(super) replacing_ms: Option<f64>,
    /// Until N were ready again.
    pub(super) normal_ms: Option<f64>,
    /// Time that the pool was given for it, in seconds.
    pub(super) limit_seconds: u64,
    /// Why the pool could not be watched to the end.
    pub(super) problem: Option<String>,
    /// Longest time between two good answers from the kill on.
    pub(super) longest_gap_ms: f64,
    /// From the first request to the kill.
    pub(super) killed_at_ms: f64,
    /// Names of the series of the timeline.
    pub(super) series: Vec<String>,
    pub(super) bucket_ms: u32,
    /// For each bucket the good answers by series, then the lost requests.
    pub(super) timeline: Vec<Vec<u32>>,
    /// N in the end, if it could be asked for.
    pub(super) n_after: Option<usize>,
    pub(super) n_before: usize,
}

/// What changes of N move on one kind of ring.
#[derive(Debug, Serialize)]
pub(super) struct Movement {
    pub(super) label: &'static str,
    pub(super) key: &'static str,
    pub(super) steps: Vec<Step>,
    /// After 2 → 6 → 2: requests that another replica answered than at first.
    pub(super) changed_after_return: Option<u64>,
}

/// From N − 1 to N replicas.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) n: u32,
    /// Part of the keys that cannot but move: `1 / n`.
    pub(super) ideal: f64,
    /// Part of the six-digit request ids that move when replica `n` comes, and back when it
    /// goes.
    pub(super) keys: f64,
    pub(super) slots: u32,
    /// The same part among the requests that were sent, where they were.
    pub(super) measured: Option<f64>,
    /// Part that moves when replica 1 of `n` goes.
    pub(super) first_leaves: f64,
}

/// Popular keys.
#[derive(Debug, Serialize)]
pub(super) struct Popular {
    pub(super) keys: usize,
    pub(super) exponent: f64,
    /// Part of the requests that ask for the most popular key.
    pub(super) top_share: f64,
    pub(super) runs: Vec<PopularRun>,
}

/// One of the runs.
#[derive(Debug, Serialize)]
pub(super) struct PopularRun {
    pub(super) spread: Spread,
    /// The largest time-weighted average of requests in flight over the average, as the client
    /// sees them: from sending to the whole answer.
    pub(super) in_flight_peak_to_average: Option<f64>,
}

/// Latency in an open loop. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub(super) requests_per_second: u32,
    pub(super) requests: u64,
    pub(super) lost: u64,
    /// From when a request was due: what waiting for others costs is in it.
    pub(super) from_due: Quantiles,
    /// From when it was sent, for comparison.
    pub(super) from_sent: Quantiles,
    /// Upper end in milliseconds and number, of those from when they were due.
    pub(super) histogram: Vec<(f64, u64)>,
}

/// Quantiles in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
}
