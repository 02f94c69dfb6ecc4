//! Latency: how many requests took how long, on a logarithmic axis.

use super::canvas::{self, Anchor, BLUE, BOTTOM, Canvas, INK, LEFT, RIGHT, TOP};
use super::scale::Scale;
use super::{Chart, thousands};
use crate::experiment::figures::Latency;

/// Round latencies, in milliseconds.
const TICKS: [f64; 20] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0,
    5_000.0, 10_000.0, 20_000.0,
];

/// The chart.
pub(super) fn latency(latency: &Latency) -> Chart {
    let subtitle = format!(
        "{} requests at {} a second; latency counts from when a request was due",
        thousands(latency.requests),
        thousands(u64::from(latency.requests_per_second))
    );
    let svg = canvas::svg("Latency through the balancer", &subtitle, |canvas| draw(canvas, latency));
    let alt = format!(
        "Histogram of latency: median {}, 99 % within {}, 99.9 % within {}",
        duration(latency.from_due.p50),
        duration(latency.from_due.p99),
        duration(latency.from_due.p999)
    );
    Chart::new("latency.svg", alt, &svg)
}

fn draw(canvas: &Canvas<'_>, latency: &Latency) {
    let bars = &latency.histogram;
    // All bars are equally wide on the logarithmic axis.
    let ratio = bars.windows(2).next().map_or(2.0, |pair| pair[1].0 / pair[0].0);
    let first = bars[0].0 / ratio;
    let steps = (bars[bars.len() - 1].0 / first).ln();
    let x = |ms: f64| {
        let part = ((ms / first).ln() / steps).clamp(0.0, 1.0);
        LEFT + (f64::from(RIGHT - LEFT) * part).round() as i32
    };
    let max = bars.iter().map(|(_, count)| *count as f64).fold(0.0, f64::max);
    let y = Scale::from_zero(max * 1.45, BOTTOM, TOP - 30);
    canvas.axes(&y, "requests", "latency (logarithmic)");
    for (end, count) in bars {
        canvas.fill((x(end / ratio) + 1, y.at(*count as f64)), (x(*end) - 1, BOTTOM), BLUE);
    }
    for tick in TICKS.into_iter().filter(|tick| (first..=bars[bars.len() - 1].0).contains(tick)) {
        canvas.x_tick(x(tick), &duration(tick));
    }
    let due = &latency.from_due;
    let moments = [("50 %", due.p50), ("90 %", due.p90), ("99 %", due.p99), ("99.9 %", due.p999)];
    let moments = || (0_i32..).zip(moments).map(|(row, (part, ms))| (TOP - 26 + row * 20, part, ms));
    for (top, _, ms) in moments() {
        canvas.line(vec![(x(ms), top), (x(ms), BOTTOM)], INK, 1);
        canvas.dot((x(ms), top), 4, INK);
    }
    // Behind the lines, so that none crosses a label.
    for (top, part, ms) in moments() {
        let label = format!("{part} within {}", duration(ms));
        let right = x(ms) + 10 + canvas::text_width(&label, 13) < RIGHT;
        let (at, anchor) = if right { (x(ms) + 10, Anchor::Start) } else { (x(ms) - 10, Anchor::End) };
        canvas.label(&label, (at, top), INK, anchor);
    }
}

/// `250 µs`, `1.2 ms` or `3 s`.
pub(in crate::experiment) fn duration(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{:.0} \u{b5}s", ms * 1_000.0),
        ms if ms < 10.0 => format!("{} ms", trimmed(ms)),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms => format!("{} s", trimmed(ms / 1_000.0)),
    }
}

/// One decimal, unless it is 0.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_have_their_unit() {
        let found = [0.05, 0.25, 1.0, 1.25, 50.0, 1_000.0, 2_500.0].map(duration);
        assert_eq!(found, ["50 µs", "250 µs", "1 ms", "1.2 ms", "50 ms", "1 s", "2.5 s"]);
    }
}
