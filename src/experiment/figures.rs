//! The results, as data: `results.json` has them, and all tables and charts are made of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::machine::Machine;
use super::rings::RingFacts;
use super::stats::{Summary, Test};

/// The results of one run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Results {
    pub(super) version: &'static str,
    /// The command line.
    pub(super) command: String,
    pub(super) seed: u64,
    /// Number of requests of each measurement.
    pub(super) requests_each: u32,
    pub(super) concurrency: u32,
    /// When it began, as RFC 3339.
    pub(super) began: String,
    pub(super) took_seconds: f64,
    pub(super) machine: Machine,
    pub(super) target: TargetFacts,
    /// Total number of requests.
    pub(super) requests: u64,
    /// Number of requests with no response, or a 4xx or 5xx.
    pub(super) lost: u64,
    /// Some of the reasons for losses.
    pub(super) lost_because: Vec<String>,
    pub(super) a1: Option<Spread>,
    pub(super) a2: Option<Vec<Spread>>,
    pub(super) a3: Option<Endpoints>,
    pub(super) a4: Option<Vec<Sweep>>,
    pub(super) movement: Option<Vec<Movement>>,
    pub(super) placements: Option<Vec<Scaling>>,
    pub(super) zipf: Option<Popular>,
    pub(super) latency: Option<Latency>,
    /// Experiments that were not made, and why.
    pub(super) skipped: Vec<Skipped>,
    /// Notes for the reader.
    pub(super) notes: Vec<String>,
}

/// The balancer that was measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct TargetFacts {
    /// Whether it was started for the experiments.
    pub(super) own: bool,
    pub(super) admin: String,
    pub(super) public: String,
}

/// An experiment, or a part of one, that was not made.
#[derive(Debug, Serialize)]
pub(super) struct Skipped {
    pub(super) what: String,
    pub(super) why: String,
}

/// The spread of requests over the replicas of one ring.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) ring: RingFacts,
    /// The routing key.
    pub(super) key: String,
    /// Factor of bounded load; `None` for no bound.
    pub(super) bounded_load: Option<f64>,
    /// Number of requests sent.
    pub(super) sent: u64,
    /// Number of requests that the replicas have handled.
    pub(super) requests: u64,
    pub(super) lost: u64,
    pub(super) seconds: f64,
    pub(super) replicas: Vec<Count>,
    pub(super) summary: Summary,
    /// Largest of the expected counts over the average.
    pub(super) expected_peak_to_average: f64,
    /// Number of requests that another replica handled than the owner of the key; `None` if responses do
    /// not have the replica's name.
    pub(super) elsewhere: Option<u64>,
    /// Test against the shares expected of the ring.
    pub(super) chi_squared_ring: Test,
    /// Test against equal shares.
    pub(super) chi_squared_uniform: Test,
    /// For each request, the number of the replica that handled it, or 0.
    #[serde(skip)]
    pub(super) handled_by: Vec<u32>,
}

/// The requests of one replica.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Count {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) requests: u64,
    /// Share of all slots.
    pub(super) slot_share: f64,
    /// Expected share of requests: its share of the keys.
    pub(super) expected_share: f64,
    /// Expected number of requests.
    pub(super) expected: f64,
}

impl Spread {
    /// Number of replicas.
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

/// A request to an endpoint, and whether the response is the documented one.
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
    /// Longest time between two responses after the kill.
    pub(super) longest_gap_ms: f64,
    /// From the first request to the kill.
    pub(super) killed_at_ms: f64,
    /// Names of the series of the timeline.
    pub(super) series: Vec<String>,
    pub(super) bucket_ms: u32,
    /// For each bucket, the number of responses by series, then of lost requests.
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
    /// After 2 → 6 → 2: number of requests that another replica handled than at first.
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
    /// The largest part that moves when one of the `n` replicas goes: that of the busiest one.
    pub(super) busiest_leaves: f64,
}

/// A placement, of ours or of others, as N grows.
#[derive(Debug, Serialize)]
pub(super) struct Scaling {
    pub(super) label: &'static str,
    /// In ascending N; without those that do not fit.
    pub(super) points: Vec<ScalingPoint>,
}

/// With N replicas.
#[derive(Debug, Serialize)]
pub(super) struct ScalingPoint {
    pub(super) n: u32,
    /// The busiest replica's part of the keys over the average.
    pub(super) peak_to_average: f64,
    /// Largest part of the keys that moves between others when one replica goes.
    pub(super) leaving: f64,
    /// The same when replica `n + 1` comes; `None` if it does not fit.
    pub(super) coming: Option<f64>,
    /// Time of the fastest of some builds, in milliseconds.
    pub(super) build_ms: f64,
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
