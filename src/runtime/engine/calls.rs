//! How often the engine is called, and how long that takes. One set of counters for the process:
//! a balancer has one engine, and calls are rare.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use super::raw::CallError;
use crate::telemetry::histogram::{Durations, Histogram};

/// What can become of a call.
const RESULTS: [&str; 4] = ["ok", "unreachable", "refused", "failed"];

static CALLS: LazyLock<Mutex<Calls>> = LazyLock::new(Mutex::default);

#[derive(Debug, Default)]
struct Calls {
    by_result: BTreeMap<&'static str, u64>,
    durations: Histogram,
}

/// Counts a call that began at `began`; passes on what became of it.
pub(super) fn counted<T>(began: Instant, outcome: Result<T, CallError>) -> Result<T, CallError> {
    let result = match &outcome {
        Ok(_) => "ok",
        Err(CallError::Unreachable(_)) => "unreachable",
        Err(CallError::Refused { .. }) => "refused",
        Err(CallError::Failed(_)) => "failed",
    };
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    *calls.by_result.entry(result).or_default() += 1;
    // The lock makes this thread the only writer.
    calls.durations.record(began.elapsed());
    outcome
}

/// Calls so far by result, those included that never came, and how long they took.
pub fn calls() -> (BTreeMap<&'static str, u64>, Durations) {
    let calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut durations = Durations::default();
    durations.include(&calls.durations);
    let by_result = RESULTS.iter().map(|result| (*result, calls.by_result.get(result).copied().unwrap_or(0)));
    (by_result.collect(), durations)
}
