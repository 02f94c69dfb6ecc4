//! Statistics of the last second, for readers of the journal, and of the last two minutes, for who comes
//! late.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::Sources;
use super::pools::{PoolView, Pools};
use crate::control::DeployView;
use crate::telemetry::Totals;

const PERIOD: Duration = Duration::from_secs(1);

/// Seconds that are kept.
const KEPT: usize = 120;

/// The last two minutes, second by second. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct History(Arc<Mutex<VecDeque<Figures>>>);

/// What is kept of a second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Its end, in milliseconds since the Unix epoch.
    time: u64,
    requests_per_second: f64,
    errors_per_second: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl History {
    /// All that is kept, the oldest first.
    pub(super) fn seconds(&self) -> Vec<Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn push(&self, second: Figures) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(second);
    }
}

/// Sends statistics to the journal's readers once a second, and keeps them in `history`, while it is
/// polled.
pub(super) async fn publish(pools: &Pools, sources: &Sources, history: &History) {
    let mut before = Sample::take(&pools.views(), sources);
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        let views = pools.views();
        let now = Sample::take(&views, sources);
        let statistics = now.since(&before, &views);
        sources.observer.journal.tell("stats", &statistics);
        history.push(statistics.second());
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
    /// Those of the first pool.
    replicas: Vec<ReplicaStats<'a>>,
    pools: Vec<PoolStats<'a>>,
}

#[derive(Debug, PartialEq, Serialize)]
struct PoolStats<'a> {
    name: &'a str,
    replicas: usize,
    ready: usize,
    in_flight: u64,
    requests: u64,
    requests_per_second: f64,
    /// The deploy that is under way, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    deploy: Option<DeployStats>,
}

/// A deploy, as far as it tells whether there is something new to ask for.
#[derive(Debug, PartialEq, Serialize)]
struct DeployStats {
    id: u64,
    state: &'static str,
}

#[derive(Debug, PartialEq, Serialize)]
struct ReplicaStats<'a> {
    number: u32,
    name: &'a str,
    state: &'static str,
    note: &'a str,
    revision: &'a str,
    weight: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    drained_from: Option<u8>,
    slots: u32,
    share: f64,
    in_flight: u64,
    requests: u64,
    requests_per_second: f64,
}

impl Sample {
    fn take(pools: &[PoolView], sources: &Sources) -> Self {
        let replicas = pools.iter().flat_map(|pool| pool.view.replicas.iter());
        let endpoints = replicas.filter_map(|replica| replica.endpoint.as_ref());
        Self {
            at: Instant::now(),
            totals: sources.traffic.totals(),
            requests: endpoints.map(|endpoint| (endpoint.id, endpoint.requests())).collect(),
        }
    }

    /// The statistics since `before`, with `pools` as they are.
    fn since<'a>(&self, before: &Self, pools: &'a [PoolView]) -> Statistics<'a> {
        let seconds = (self.at - before.at).as_secs_f64().max(f64::EPSILON);
        let rate = |now: u64, then: u64| rounded(now.saturating_sub(then) as f64 / seconds);
        let (now, then) = (&self.totals, &before.totals);
        let durations = now.total.since(&then.total);
        let milliseconds = |q| durations.quantile(q).map(|seconds| rounded(seconds * 1e3));
        let first = pools.first().into_iter().flat_map(|pool| pool.view.replicas.iter());
        let replicas = first.map(|replica| {
            let id = replica.endpoint.as_ref().map(|endpoint| endpoint.id);
            let count = |sample: &Self| id.and_then(|id| sample.requests.get(&id)).copied().unwrap_or(0);
            ReplicaStats {
                number: replica.number,
                name: &replica.name,
                state: replica.state.as_str(),
                note: &replica.note,
                revision: replica.revision.shown(),
                weight: replica.weight,
                drained_from: replica.drained_from,
                slots: replica.slots,
                share: replica.share,
                in_flight: replica.endpoint.as_ref().map_or(0, |endpoint| endpoint.in_flight()),
                requests: count(self),
                requests_per_second: rate(count(self), count(before)),
            }
        });
        let of_pool = |PoolView { name, view }: &'a PoolView| {
            let endpoints = view.replicas.iter().filter_map(|replica| replica.endpoint.as_ref());
            let sum = |sample: &Self| {
                endpoints.clone().filter_map(|endpoint| sample.requests.get(&endpoint.id)).sum::<u64>()
            };
            PoolStats {
                name,
                replicas: view.replicas.len(),
                ready: view.ready(),
                in_flight: view.load.in_flight(),
                requests: sum(self),
                requests_per_second: rate(sum(self), sum(before)),
                deploy: view.deploy.as_deref().map(DeployStats::from),
            }
        };
        Statistics {
            version: pools.first().map_or(0, |pool| pool.view.version),
            requests: now.responded(),
            requests_per_second: rate(now.responded(), then.responded()),
            errors_per_second: rate(now.errors(), then.errors()),
            retries_per_second: rate(now.retries, then.retries),
            spills_per_second: rate(now.full, then.full),
            p50_ms: milliseconds(0.5),
            p99_ms: milliseconds(0.99),
            in_flight: pools.iter().map(|pool| pool.view.load.in_flight()).sum(),
            connections: now.open(),
            replicas: replicas.collect(),
            pools: pools.iter().map(of_pool).collect(),
        }
    }
}

impl From<&DeployView> for DeployStats {
    fn from(view: &DeployView) -> Self {
        Self { id: view.id, state: view.state.as_str() }
    }
}

impl Statistics<'_> {
    fn second(&self) -> Figures {
        Figures {
            time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            requests_per_second: self.requests_per_second,
            errors_per_second: self.errors_per_second,
            p50_ms: self.p50_ms,
            p99_ms: self.p99_ms,
        }
    }
}

/// Rounded to a thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_minutes_are_kept_the_oldest_first() {
        let history = History::default();
        let second = |time| Figures {
            time,
            requests_per_second: 0.0,
            errors_per_second: 0.0,
            p50_ms: None,
            p99_ms: None,
        };
        assert_eq!(history.seconds(), []);
        (0..KEPT as u64 + 5).for_each(|time| history.push(second(time)));
        let seconds = history.seconds();
        assert_eq!((seconds.len(), &seconds[0], seconds.last()), (KEPT, &second(5), Some(&second(124))));
    }
}
