//! Charts of the figures, as SVG. Knows figures and drawing, and nothing of how they came about.
//!
//! Each chart brings its own light background, so that it can be read on pages of any colour, and
//! tells series apart by colours that colour-blind readers can tell apart too.

mod bars;
mod canvas;
mod histogram;
mod lines;
mod scale;
mod timeline;

use std::collections::BTreeSet;

use self::bars::{Bars, Line, Series};
pub(super) use self::canvas::escaped;
use self::canvas::{BLUE, Colour, GREEN, ORANGE, PURPLE, SKY};
use super::figures::{Movement, Popular, Results, Scaling, ScalingPoint, Spread, Sweep};

/// One chart.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// Name of its file.
    pub(super) file: &'static str,
    /// What it shows, for those who do not see it.
    pub(super) alt: String,
    pub(super) svg: String,
}

impl Chart {
    /// A drawing with what it shows as its name, for screen readers.
    fn new(file: &'static str, alt: String, svg: &str) -> Self {
        let head = format!("<svg role=\"img\" aria-label=\"{}\" ", escaped(&alt));
        Self { file, alt, svg: svg.replacen("<svg ", &head, 1) }
    }
}

/// Colours of the rings that are compared, and of series in general.
const SERIES: [Colour; 5] = [ORANGE, PURPLE, BLUE, GREEN, SKY];

/// All charts that there are figures for.
pub(super) fn all(results: &Results) -> Vec<Chart> {
    let kill = results.a3.as_ref().and_then(|a3| a3.kill.as_ref());
    let placements = results.placements.as_deref();
    [
        results.a1.as_ref().map(a1),
        results.a2.as_deref().filter(|spreads| !spreads.is_empty()).map(lines::a2),
        kill.map(timeline::a3),
        results.a4.as_deref().filter(|sweeps| !sweeps.is_empty()).map(a4),
        results.movement.as_deref().filter(|found| !found.is_empty()).map(movement),
        placements.map(|found| scaling(&EVENNESS, found)),
        placements.map(|found| scaling(&STRAYS, found)),
        results.zipf.as_ref().map(zipf),
        results.latency.as_ref().filter(|latency| !latency.histogram.is_empty()).map(histogram::latency),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn a1(spread: &Spread) -> Chart {
    let summary = &spread.summary;
    let subtitle = format!(
        "{} requests, peak-to-average {:.3} (expected of this ring: {:.3})",
        thousands(spread.requests),
        summary.peak_to_average,
        spread.expected_peak_to_average
    );
    let svg = Bars {
        title: &format!("Requests for each of {} replicas", spread.n()),
        subtitle: &subtitle,
        x_label: "replica",
        y_label: "requests",
        groups: spread.replicas.iter().map(|replica| replica.name.clone()).collect(),
        series: vec![Series {
            label: "measured".to_owned(),
            colour: BLUE,
            values: spread.replicas.iter().map(|replica| Some(replica.requests as f64)).collect(),
            marks: spread.replicas.iter().map(|replica| Some(replica.expected)).collect(),
        }],
        mark_label: Some("expected"),
        lines: vec![Line { label: "equal shares".to_owned(), values: vec![summary.average; spread.n()] }],
        format: whole,
    }
    .draw();
    Chart::new("a1.svg", format!("Bar chart: {subtitle}"), &svg)
}

fn a4(sweeps: &[Sweep]) -> Chart {
    let sizes: Vec<usize> = sweeps[0].spreads.iter().map(Spread::n).collect();
    let series = sweeps.iter().zip(SERIES).map(|(sweep, colour)| Series {
        label: sweep.label.to_owned(),
        colour,
        values: sweep.spreads.iter().map(|spread| Some(spread.summary.peak_to_average)).collect(),
        marks: sweep.spreads.iter().map(|spread| Some(spread.expected_peak_to_average)).collect(),
    });
    let svg = Bars {
        title: "The busiest replica relative to the average, by ring",
        subtitle: &format!(
            "{} requests for each bar, the same request ids for all; 1 is perfectly even",
            thousands(sweeps[0].spreads.first().map_or(0, |spread| spread.requests))
        ),
        x_label: "replicas (N)",
        y_label: "peak-to-average",
        groups: sizes.iter().map(|n| format!("N = {n}")).collect(),
        series: series.collect(),
        mark_label: Some("expected"),
        lines: vec![Line { label: "perfectly even".to_owned(), values: vec![1.0; sizes.len()] }],
        format: |value| format!("{value:.2}"),
    }
    .draw();
    let worst = |sweep: &Sweep| {
        let peaks = sweep.spreads.iter().map(|spread| spread.summary.peak_to_average);
        format!("{} up to {:.2}", sweep.label, peaks.fold(0.0, f64::max))
    };
    let worst: Vec<String> = sweeps.iter().map(worst).collect();
    Chart::new("a4.svg", format!("Bar chart of peak-to-average by N: {}", worst.join("; ")), &svg)
}

fn movement(found: &[Movement]) -> Chart {
    let steps = &found[0].steps;
    let series = found.iter().zip(SERIES).map(|(movement, colour)| Series {
        label: movement.label.to_owned(),
        colour,
        values: movement.steps.iter().map(|step| Some(step.busiest_leaves * 100.0)).collect(),
        marks: movement.steps.iter().map(|step| Some(step.keys * 100.0)).collect(),
    });
    let svg = Bars {
        title: "Keys that get another replica when one of N comes or goes for good",
        subtitle: "bars: the busiest one; marks: the newest one; part of all six-digit request ids",
        x_label: "replicas",
        y_label: "% of the keys",
        groups: steps.iter().map(|step| format!("{} \u{21c4} {}", step.n - 1, step.n)).collect(),
        series: series.collect(),
        mark_label: Some("the newest"),
        lines: vec![Line {
            label: "ideal: 1/N".to_owned(),
            values: steps.iter().map(|step| step.ideal * 100.0).collect(),
        }],
        format: |value| format!("{value:.1}"),
    }
    .draw();
    let most = |movement: &Movement| {
        let parts = movement.steps.iter().map(|step| step.busiest_leaves * 100.0);
        format!("{} up to {:.1} %", movement.label, parts.fold(0.0, f64::max))
    };
    let most: Vec<String> = found.iter().map(most).collect();
    let alt = format!(
        "Bar chart: the part of the keys that moves when the busiest of N replicas goes, beside the ideal \
         1/N: {}",
        most.join("; ")
    );
    Chart::new("movement.svg", alt, &svg)
}

/// A chart of one figure of each placement, by N.
struct ScalingChart {
    file: &'static str,
    title: &'static str,
    subtitle: &'static str,
    y_label: &'static str,
    figure: fn(&ScalingPoint) -> f64,
    format: fn(f64) -> String,
}

const EVENNESS: ScalingChart = ScalingChart {
    file: "evenness.svg",
    title: "How much more the busiest replica has than the average",
    subtitle: "keys, with equal weights",
    y_label: "% above the average",
    figure: |point| (point.peak_to_average - 1.0) * 100.0,
    format: |value| format!("{value:.1}"),
};

const STRAYS: ScalingChart = ScalingChart {
    file: "strays.svg",
    title: "Keys that move between the others when one of N replicas goes",
    subtitle: "the most of four that go, each on its own; the keys of the one that goes are not counted",
    y_label: "% of all keys",
    figure: |point| point.leaving * 100.0,
    format: |value| if value < 0.005 { "0".to_owned() } else { format!("{value:.2}") },
};

fn scaling(chart: &ScalingChart, found: &[Scaling]) -> Chart {
    let &ScalingChart { file, title, subtitle, y_label, figure, format } = chart;
    let counts: BTreeSet<u32> =
        found.iter().flat_map(|scaling| &scaling.points).map(|point| point.n).collect();
    let value = |scaling: &Scaling, n: u32| scaling.points.iter().find(|point| point.n == n).map(figure);
    let series = found.iter().zip(SERIES).map(|(scaling, colour)| Series {
        label: scaling.label.to_owned(),
        colour,
        values: counts.iter().map(|&n| value(scaling, n)).collect(),
        marks: vec![None; counts.len()],
    });
    let svg = Bars {
        title,
        subtitle,
        x_label: "replicas",
        y_label,
        groups: counts.iter().map(ToString::to_string).collect(),
        series: series.collect(),
        mark_label: None,
        lines: Vec::new(),
        format,
    }
    .draw();
    let most = |scaling: &Scaling| {
        let most = scaling.points.iter().map(figure).fold(0.0, f64::max);
        format!("{} up to {most:.2} %", scaling.label)
    };
    let most: Vec<String> = found.iter().map(most).collect();
    Chart::new(file, format!("Bar chart. {title}: {}", most.join("; ")), &svg)
}

fn zipf(popular: &Popular) -> Chart {
    let colours = [ORANGE, BLUE];
    let label = |bound: Option<f64>| match bound {
        None => "no bound".to_owned(),
        Some(factor) => format!("bounded load, factor {factor}"),
    };
    let series = popular.runs.iter().zip(colours).map(|(run, colour)| Series {
        label: label(run.spread.bounded_load),
        colour,
        values: run.spread.replicas.iter().map(|replica| Some(replica.requests as f64)).collect(),
        marks: vec![None; run.spread.n()],
    });
    let first = &popular.runs[0].spread;
    let peaks: Vec<String> = popular
        .runs
        .iter()
        .map(|run| format!("{}: {:.2}", label(run.spread.bounded_load), run.spread.summary.peak_to_average))
        .collect();
    let svg = Bars {
        title: "Popular keys: requests served by each replica",
        subtitle: &format!(
            "{} keys, exponent {}, the first asked for by {:.1} %. Peak-to-average \u{2013} {}",
            thousands(popular.keys as u64),
            popular.exponent,
            popular.top_share * 100.0,
            peaks.join("; ")
        ),
        x_label: "replica",
        y_label: "requests",
        groups: first.replicas.iter().map(|replica| replica.name.clone()).collect(),
        series: series.collect(),
        mark_label: None,
        lines: vec![Line {
            label: "equal shares".to_owned(),
            values: vec![first.summary.average; first.n()],
        }],
        format: whole,
    }
    .draw();
    let alt = format!("Bar chart of requests with popular keys; peak-to-average {}", peaks.join(", "));
    Chart::new("zipf.svg", alt, &svg)
}

/// A count, with separators.
fn whole(value: f64) -> String {
    thousands(value.round() as u64)
}

/// `12,345`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn digits_stand_in_groups_of_three() {
        let found = [0, 999, 1_000, 65_539, 1_234_567].map(thousands);
        assert_eq!(found, ["0", "999", "1,000", "65,539", "1,234,567"]);
    }
}
