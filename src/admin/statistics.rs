//! Statistics of the last second, for readers of the journal, and of the last two minutes, for who comes
//! late.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::Sources;
use super::pools::{PoolView, Pools};
use crate::control::DeployView;
use crate::telemetry::{RequestTotals, Totals};

const PERIOD: Duration = Duration::from_secs(1);

/// Seconds that are kept.
const KEPT: usize = 120;

/// The last two minutes, second by second, of all pools together and of each. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct History(Arc<Mutex<Kept>>);

/// By the names of pools; those of all without one.
type Kept = HashMap<Option<String>, VecDeque<Figures>>;

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
    /// All that is kept of the pool of this name, or of all pools, the oldest first.
    pub(super) fn seconds(&self, pool: Option<&str>) -> Vec<Figures> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&pool.map(str::to_owned)).into_iter().flatten().cloned().collect()
    }

    fn push(&self, statistics: &Statistics<'_>) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let of_pools = statistics.pools.iter().map(|pool| (Some(pool.name.to_owned()), &pool.rates));
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (pool, rates) in std::iter::once((None, &statistics.rates)).chain(of_pools) {
            let seconds = kept.entry(pool).or_default();
            if seconds.len() == KEPT {
                seconds.pop_front();
            }
            seconds.push_back(rates.second(time));
        }
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
        sources.journal.tell("stats", &statistics);
        history.push(&statistics);
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
    /// Of the first pool.
    version: u64,
    #[serde(flatten)]
    rates: Rates,
    in_flight: u64,
    connections: u64,
    /// Those of all pools.
    replicas: Vec<ReplicaStats<'a>>,
    pools: Vec<PoolStats<'a>>,
}

/// What was counted of requests: of all, or of those of a pool.
#[derive(Debug, PartialEq, Serialize)]
struct Rates {
    requests: u64,
    requests_per_second: f64,
    errors_per_second: f64,
    retries_per_second: f64,
    spills_per_second: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

#[derive(Debug, PartialEq, Serialize)]
struct PoolStats<'a> {
    name: &'a str,
    version: u64,
    replicas: usize,
    ready: usize,
    in_flight: u64,
    #[serde(flatten)]
    rates: Rates,
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
    pool: &'a str,
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
        let all = |pool: &'a PoolView| pool.view.replicas.iter().map(move |replica| (pool, replica));
        let replicas = pools.iter().flat_map(all).map(|(pool, replica)| {
            let id = replica.endpoint.as_ref().map(|endpoint| endpoint.id);
            let count = |sample: &Self| id.and_then(|id| sample.requests.get(&id)).copied().unwrap_or(0);
            ReplicaStats {
                pool: &pool.name,
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
                requests_per_second: rate(count(self), count(before), seconds),
            }
        });
        let none = RequestTotals::default();
        let of_pool = |(index, PoolView { name, view, .. }): (usize, &'a PoolView)| {
            let [now, then] = [self, before].map(|sample| sample.totals.pools.get(index).unwrap_or(&none));
            PoolStats {
                name,
                version: view.version,
                replicas: view.replicas.len(),
                ready: view.ready(),
                in_flight: view.load.in_flight(),
                rates: Rates::since(now, then, seconds),
                deploy: view.deploy.as_deref().map(DeployStats::from),
            }
        };
        Statistics {
            version: pools.first().map_or(0, |pool| pool.view.version),
            rates: Rates::since(&self.totals.all(), &before.totals.all(), seconds),
            in_flight: pools.iter().map(|pool| pool.view.load.in_flight()).sum(),
            connections: self.totals.open(),
            replicas: replicas.collect(),
            pools: pools.iter().enumerate().map(of_pool).collect(),
        }
    }
}

impl Rates {
    fn since(now: &RequestTotals, then: &RequestTotals, seconds: f64) -> Self {
        let durations = now.total.since(&then.total);
        let milliseconds = |q| durations.quantile(q).map(|seconds| rounded(seconds * 1e3));
        Self {
            requests: now.responded(),
            requests_per_second: rate(now.responded(), then.responded(), seconds),
            errors_per_second: rate(now.errors(), then.errors(), seconds),
            retries_per_second: rate(now.retries, then.retries, seconds),
            spills_per_second: rate(now.full, then.full, seconds),
            p50_ms: milliseconds(0.5),
            p99_ms: milliseconds(0.99),
        }
    }

    fn second(&self, time: u64) -> Figures {
        Figures {
            time,
            requests_per_second: self.requests_per_second,
            errors_per_second: self.errors_per_second,
            p50_ms: self.p50_ms,
            p99_ms: self.p99_ms,
        }
    }
}

/// How many there were in a second.
fn rate(now: u64, then: u64, seconds: f64) -> f64 {
    rounded(now.saturating_sub(then) as f64 / seconds)
}

impl From<&DeployView> for DeployStats {
    fn from(view: &DeployView) -> Self {
        Self { id: view.id, state: view.state.as_str() }
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
    fn two_minutes_are_kept_of_all_and_of_each_pool_the_oldest_first() {
        let history = History::default();
        let rates = |requests_per_second| {
            let none = RequestTotals::default();
            Rates { requests_per_second, ..Rates::since(&none, &none, 1.0) }
        };
        let push = |second: u32| {
            let of_pool = PoolStats {
                name: "web",
                version: 1,
                replicas: 0,
                ready: 0,
                in_flight: 0,
                rates: rates(f64::from(second)),
                deploy: None,
            };
            history.push(&Statistics {
                version: 1,
                rates: rates(f64::from(2 * second)),
                in_flight: 0,
                connections: 0,
                replicas: Vec::new(),
                pools: vec![of_pool],
            });
        };
        assert_eq!(history.seconds(None), []);
        (0..KEPT as u32 + 5).for_each(push);
        for (pool, times) in [(None, 2.0), (Some("web"), 1.0)] {
            let seconds = history.seconds(pool);
            let ends = [seconds[0].requests_per_second, seconds[KEPT - 1].requests_per_second];
            assert_eq!((seconds.len(), ends), (KEPT, [5.0 * times, 124.0 * times]));
        }
        assert_eq!(history.seconds(Some("api")), []);
    }
}
