//! Counts the calls of the engine and their durations. One set of counters for the process: a
//! balancer has one engine, and calls are rare.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use super::CallError;
use crate::telemetry::histogram::{Durations, Histogram};

/// The values of the label `result`.
const RESULTS: [&str; 4] = ["ok", "unreachable", "refused", "failed"];

static STATS: LazyLock<Mutex<CallStats>> = LazyLock::new(Mutex::default);

#[derive(Debug, Default)]
struct CallStats {
    by_result: BTreeMap<&'static str, u64>,
    durations: Histogram,
}

/// Counts a call that began at `began`, and returns its outcome.
pub(super) fn counted<T>(began: Instant, outcome: Result<T, CallError>) -> Result<T, CallError> {
    let result = match &outcome {
        Ok(_) => "ok",
        Err(CallError::Unreachable(_)) => "unreachable",
        Err(CallError::Refused { .. }) => "refused",
        Err(CallError::Failed(_)) => "failed",
    };
    let mut stats = STATS.lock().unwrap_or_else(PoisonError::into_inner);
    *stats.by_result.entry(result).or_default() += 1;
    // The lock makes this thread the only writer.
    stats.durations.record(began.elapsed());
    outcome
}

/// Number of calls by result, including results with none, and their durations.
pub fn call_stats() -> (BTreeMap<&'static str, u64>, Durations) {
    let stats = STATS.lock().unwrap_or_else(PoisonError::into_inner);
    let durations = Durations::of(&stats.durations);
    let by_result = RESULTS.iter().map(|result| (*result, stats.by_result.get(result).copied().unwrap_or(0)));
    (by_result.collect(), durations)
}
