//! Latency at a fixed rate.
//!
//! An open loop: requests are due at regular times, and the latency of a request is measured from then.
//! So a stall shows in every request that it delays, and not only in those already sent ("coordinated
//! omission").

use std::time::Duration;

use hdrhistogram::Histogram;

use super::error::Error;
use super::figures::{Latency, Quantiles};
use super::load::{self, Outcome, Plan, Record, Records};
use super::session::Session;

/// Requests per second.
const RATE: u32 = 1_000;

const REPLICAS: usize = 3;

/// Largest latency of the histogram, in microseconds; a request is lost after 10 s.
const MAX_MICROS: u64 = 60_000_000;

/// Bars of the histogram for each doubling of the latency.
const BARS_PER_DOUBLING: f64 = 4.0;

/// Measures the latency.
pub(super) async fn run(session: &Session<'_>) -> Result<Latency, Error> {
    session.use_ring(None).await?;
    match session.pool.resize(REPLICAS).await {
        // Any number of replicas is enough.
        Err(error) if error.is_refusal() => {}
        resized => drop(resized?),
    }
    let plan = Plan { rate: Some(RATE), ..session.plan(session.ids()) };
    let records = session.count(load::run(plan, &session.progress).await)?;
    let from_due = histogram(&records, |record| record.done.saturating_sub(record.due));
    let from_sent = histogram(&records, |record| record.done.saturating_sub(record.sent));
    Ok(Latency {
        requests_per_second: RATE,
        requests: records.all.len() as u64,
        lost: records.lost,
        from_due: quantiles(&from_due),
        from_sent: quantiles(&from_sent),
        histogram: bars(&from_due),
    })
}

fn histogram(records: &Records, latency: impl Fn(&Record) -> Duration) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, MAX_MICROS, 3).expect("1 to a minute, 3 digits");
    for record in records.all.iter().filter(|record| record.outcome != Outcome::Lost) {
        histogram.saturating_record(latency(record).as_micros().max(1) as u64);
    }
    histogram
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    let at = |quantile| ms(histogram.value_at_quantile(quantile));
    Quantiles {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: ms(histogram.max()),
        mean: histogram.mean() / 1_000.0,
    }
}

/// The bars of the chart, on a logarithmic scale, from the first that is not empty to the last.
fn bars(histogram: &Histogram<u64>) -> Vec<(f64, u64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let bar = |micros: u64| ((micros.max(1) as f64).log2() * BARS_PER_DOUBLING).floor() as i32;
    let (first, last) = (bar(histogram.min()), bar(histogram.max()));
    let mut counts = vec![0; (last - first + 1) as usize];
    for value in histogram.iter_recorded() {
        let at = bar(value.value_iterated_to()).clamp(first, last) - first;
        counts[at as usize] += value.count_at_value();
    }
    let end = |bar: i32| 2_f64.powf(f64::from(bar + 1) / BARS_PER_DOUBLING) / 1_000.0;
    (first..).map(end).zip(counts).collect()
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(latencies: &[(u64, u64)]) -> Records {
        let record = |&(waited, took): &(u64, u64)| Record {
            index: 0,
            due: Duration::ZERO,
            sent: Duration::from_micros(waited),
            done: Duration::from_micros(waited + took),
            outcome: Outcome::Unnamed,
        };
        Records { all: latencies.iter().map(record).collect(), ..Records::default() }
    }

    #[test]
    fn waiting_for_others_counts_from_when_it_was_due() {
        // One request takes 100 ms, and the 99 behind it, one due each millisecond, wait for it.
        let held_up: Vec<_> = (0..100).map(|index| ((100 - index) * 1_000, 200)).collect();
        let records = records(&held_up);
        let due = quantiles(&histogram(&records, |record| record.done.saturating_sub(record.due)));
        let sent = quantiles(&histogram(&records, |record| record.done.saturating_sub(record.sent)));
        assert!((50.0..52.0).contains(&due.p50) && due.p99 > 98.0, "{due:?}");
        assert!((0.19..0.21).contains(&sent.p99), "{sent:?}");
    }

    #[test]
    fn bars_hold_every_request() {
        let bars = bars(&histogram(&records(&[(0, 1), (0, 300), (0, 310), (0, 9_000_000)]), |r| r.done));
        assert_eq!(bars.iter().map(|(_, count)| count).sum::<u64>(), 4);
        assert!(bars.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(bars.first().is_some_and(|bar| bar.1 == 1) && bars.last().is_some_and(|bar| bar.1 == 1));
        assert_eq!(super::bars(&histogram(&Records::default(), |r| r.done)), []);
    }
}
