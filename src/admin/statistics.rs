//! Statistics of the last second, for readers of the journal.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Sources;
use crate::control::{Control, View};
use crate::telemetry::Totals;

const PERIOD: Duration = Duration::from_secs(1);

/// Sends statistics to the journal's readers once a second, while it is polled.
pub(super) async fn publish(control: &Control, sources: &Sources) {
    let mut before = Sample::take(&control.view(), sources);
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        let view = control.view();
        let now = Sample::take(&view, sources);
        sources.observer.journal.tell("stats", &now.since(&before, &view));
        before = now;
    }
}

/// The counters at one moment.
struct Sample {
    at: Instant,
    totals: Totals,
    /// Number of requests by id of the endpoint.
    requests: HashMap<u64, u64>,
}

/// The statistics of one period.
#[derive(Debug, PartialEq, Serialize)]
struct Statistics<'a> {
    version: u64,
    requests: u64,
    requests_per_second: f64,
    errors_per_second: f64,
    retries_per_second: f64,
    spills_per_second: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    in_flight: u64,
    connections: u64,
    replicas: Vec<ReplicaStats<'a>>,
}

#[derive(Debug, PartialEq, Serialize)]
struct ReplicaStats<'a> {
    number: u32,
    name: &'a str,
    state: &'static str,
    note: &'a str,
    weight: u8,
    slots: u32,
    share: f64,
    in_flight: u64,
    requests: u64,
    requests_per_second: f64,
}

impl Sample {
    fn take(view: &View, sources: &Sources) -> Self {
        let endpoints = view.replicas.iter().filter_map(|replica| replica.endpoint.as_ref());
        Self {
            at: Instant::now(),
            totals: sources.traffic.totals(),
            requests: endpoints.map(|endpoint| (endpoint.id, endpoint.requests())).collect(),
        }
    }

    /// The statistics since `before`, with the replicas of `view`.
    fn since<'a>(&self, before: &Self, view: &'a View) -> Statistics<'a> {
        let seconds = (self.at - before.at).as_secs_f64().max(f64::EPSILON);
        let rate = |now: u64, then: u64| rounded(now.saturating_sub(then) as f64 / seconds);
        let (now, then) = (&self.totals, &before.totals);
        let durations = now.total.since(&then.total);
        let milliseconds = |q| durations.quantile(q).map(|seconds| rounded(seconds * 1e3));
        let replicas = view.replicas.iter().map(|replica| {
            let id = replica.endpoint.as_ref().map(|endpoint| endpoint.id);
            let count = |sample: &Self| id.and_then(|id| sample.requests.get(&id)).copied().unwrap_or(0);
            ReplicaStats {
                number: replica.number,
                name: &replica.name,
                state: replica.state.as_str(),
                note: &replica.note,
                weight: replica.weight,
                slots: replica.slots,
                share: replica.share,
                in_flight: replica.endpoint.as_ref().map_or(0, |endpoint| endpoint.in_flight()),
                requests: count(self),
                requests_per_second: rate(count(self), count(before)),
            }
        });
        Statistics {
            version: view.version,
            requests: now.responded(),
            requests_per_second: rate(now.responded(), then.responded()),
            errors_per_second: rate(now.errors(), then.errors()),
            retries_per_second: rate(now.retries, then.retries),
            spills_per_second: rate(now.full, then.full),
            p50_ms: milliseconds(0.5),
            p99_ms: milliseconds(0.99),
            in_flight: view.load.in_flight(),
            connections: now.open(),
            replicas: replicas.collect(),
        }
    }
}

/// Rounded to a thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
