//! The report as sections of text, tables and charts, however they are shown. Pure.

use std::collections::BTreeSet;

use super::explain;
use crate::experiment::chart::thousands;
use crate::experiment::figures::{
    Endpoints, Latency, Movement, Popular, Quantiles, Results, Scaling, ScalingPoint, Spread, Step, Sweep,
};
use crate::experiment::options::Experiment;
use crate::experiment::stats::{ChiSquared, Test};

/// A whole report.
#[derive(Debug)]
pub(super) struct Document {
    /// The command line that asks for the same again.
    pub(super) command: String,
    /// Facts about the run, each with its name.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) sections: Vec<Section>,
}

/// One experiment.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub(super) title: String,
    /// Before the charts.
    pub(super) lead: Vec<String>,
    /// Files of the charts.
    pub(super) charts: Vec<&'static str>,
    pub(super) tables: Vec<Table>,
    /// Behind all.
    pub(super) remarks: Vec<String>,
}

/// A table; the first column is text, the others are figures.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// For each row a part of 1, which a terminal shows as a bar.
    pub(super) bars: Vec<f64>,
}

/// The report on these figures.
pub(super) fn of(results: &Results) -> Document {
    let mut sections = Vec::new();
    sections.extend(results.a1.as_ref().map(a1));
    sections.extend(results.a2.as_deref().map(a2));
    sections.extend(results.a3.as_ref().map(a3));
    sections.extend(results.a4.as_deref().map(a4));
    sections.extend(results.movement.as_deref().map(movement));
    sections.extend(results.placements.as_deref().map(placements));
    sections.extend(results.zipf.as_ref().map(zipf));
    sections.extend(results.latency.as_ref().map(latency));
    if !results.skipped.is_empty() {
        let lines = results.skipped.iter().map(|skipped| format!("{}: {}.", skipped.what, skipped.why));
        sections.push(Section { title: "Skipped".into(), lead: lines.collect(), ..Section::default() });
    }
    if !results.notes.is_empty() {
        sections.push(Section { title: "Notes".into(), lead: results.notes.clone(), ..Section::default() });
    }
    Document { command: results.command.clone(), facts: facts(results), sections }
}

fn facts(results: &Results) -> Vec<(&'static str, String)> {
    let machine = &results.machine;
    let cpu = machine.cpu.clone().unwrap_or_else(|| machine.architecture.to_owned());
    let kernel = machine.kernel.clone().unwrap_or_default();
    let build = if machine.debug_build { "debug" } else { "release" };
    let lost = match results.lost {
        0 => "none lost".to_owned(),
        lost => format!("{} lost ({})", thousands(lost), results.lost_because.join("; ")),
    };
    let target = if results.target.own {
        "a balancer started for this, with replicas as processes".to_owned()
    } else {
        format!("the balancer at {} (requests to {})", results.target.admin, results.target.public)
    };
    vec![
        ("Measured", target),
        ("Requests", format!("{} in {:.1} s, {lost}", thousands(results.requests), results.took_seconds)),
        (
            "Each",
            format!(
                "{} requests over {} connections at a time, seed {}",
                thousands(u64::from(results.requests_each)),
                results.concurrency,
                results.seed
            ),
        ),
        ("Machine", format!("{} \u{d7} {cpu}, {} {kernel}", machine.cpus, machine.os)),
        ("Version", format!("{} ({build} build), {}", results.version, results.began)),
    ]
}

/// A section that begins with what the experiment asks, and goes on with `lead`.
fn section(experiment: Experiment, lead: Vec<String>) -> Section {
    let lead = std::iter::once(experiment.purpose().to_owned()).chain(lead).collect();
    Section { title: experiment.title().to_owned(), lead, ..Section::default() }
}

fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

fn a1(spread: &Spread) -> Section {
    let largest = spread.summary.max.max(1) as f64;
    let rows = spread.replicas.iter().map(|replica| {
        vec![
            replica.name.clone(),
            thousands(replica.requests),
            percent(replica.requests as f64 / spread.requests.max(1) as f64),
            percent(replica.expected_share),
            percent(replica.slot_share),
        ]
    });
    let table = Table {
        head: head(&["Replica", "Requests", "Seen", "Expected", "Slots"]),
        rows: rows.collect(),
        bars: spread.replicas.iter().map(|replica| replica.requests as f64 / largest).collect(),
    };
    Section {
        charts: vec!["a1.svg"],
        tables: vec![table],
        remarks: vec![
            format!(
                "Peak-to-average {:.3}; {:.3} is expected of this ring.",
                spread.summary.peak_to_average, spread.expected_peak_to_average
            ),
            test("the shares expected of this ring", spread.chi_squared_ring, explain::verdict),
            test("equal shares", spread.chi_squared_uniform, |p_value| explain::unevenness(spread, p_value)),
        ],
        ..section(Experiment::A1, explain::spreads(std::slice::from_ref(spread)))
    }
}

fn test(against: &str, test: Test, verdict: impl Fn(f64) -> String) -> String {
    match test {
        Test::Done(ChiSquared { statistic, degrees_of_freedom, p_value }) => format!(
            "Chi-squared against {against}: {statistic:.2} with {degrees_of_freedom} degrees of freedom, \
             p {}: {}",
            explain::probability(p_value),
            verdict(p_value)
        ),
        Test::Not { why } => format!("Chi-squared against {against}: {why}."),
    }
}

fn a2(spreads: &[Spread]) -> Section {
    let rows = spreads.iter().map(|spread| {
        let summary = &spread.summary;
        vec![
            spread.n().to_string(),
            thousands(summary.average.round() as u64),
            thousands(summary.min),
            thousands(summary.max),
            format!("{:.0}", summary.standard_deviation),
            format!("{:.3}", summary.peak_to_average),
            format!("{:.3}", spread.expected_peak_to_average),
        ]
    });
    let columns = ["N", "Average", "Least", "Most", "Std. deviation", "Peak-to-average", "Expected"];
    let largest = spreads.iter().map(|spread| spread.summary.average).fold(1.0, f64::max);
    let table = Table {
        head: head(&columns),
        rows: rows.collect(),
        bars: spreads.iter().map(|spread| spread.summary.average / largest).collect(),
    };
    let lead = explain::spreads(spreads);
    Section { charts: vec!["a2.svg"], tables: vec![table], ..section(Experiment::A2, lead) }
}

fn a3(a3: &Endpoints) -> Section {
    let good = a3.checks.iter().filter(|check| check.good).count();
    let answered = format!("{good} of {} requests to endpoints were answered as described.", a3.checks.len());
    let mut section = section(Experiment::A3, vec![answered]);
    if let Some(kill) = &a3.kill {
        section.lead.push(explain::kill(kill));
        section.charts.push("a3.svg");
        let row = |what: &str, figure: String| vec![what.to_owned(), figure];
        let moment = |at: Option<f64>| {
            at.map_or_else(|| format!("not within {} s", kill.limit_seconds), |ms| format!("{ms:.1} ms"))
        };
        section.tables.push(Table {
            head: head(&["After the kill", "Figure"]),
            rows: vec![
                row("out of the choice", moment(kill.detected_ms)),
                row("replacement started", moment(kill.replacing_ms)),
                row("all ready again", moment(kill.normal_ms)),
                row("longest gap between two answers", format!("{:.1} ms", kill.longest_gap_ms)),
                row("requests lost", format!("{} of {}", kill.lost, thousands(kill.requests))),
                row("replicas in the end", kill.n_after.map_or("unknown".to_owned(), |n| n.to_string())),
            ],
            bars: Vec::new(),
        });
    }
    let rows = a3.checks.iter().map(|check| {
        let verdict = check.problem.clone().unwrap_or_else(|| "as described".to_owned());
        vec![check.request.clone(), check.status.to_string(), verdict]
    });
    let checks =
        Table { head: head(&["Request", "Status", "Answer"]), rows: rows.collect(), bars: Vec::new() };
    section.tables.push(checks);
    section
}

fn a4(sweeps: &[Sweep]) -> Section {
    let sizes: Vec<u32> =
        sweeps.first().map(|sweep| sweep.expected.keys().copied().collect()).unwrap_or_default();
    let mut columns = vec!["Ring".to_owned(), "Slots reached".to_owned()];
    columns.extend(sizes.iter().map(|n| format!("N = {n}")));
    let row = |sweep: &Sweep, cell: &dyn Fn(u32) -> Option<f64>| {
        let reached = format!(
            "{} of {}",
            thousands(sweep.ring.reachable_slots.into()),
            thousands(sweep.ring.slots.into())
        );
        let mut row = vec![sweep.label.to_owned(), reached];
        let figure = |value: Option<f64>| value.map_or("\u{2013}".to_owned(), |value| format!("{value:.2}"));
        row.extend(sizes.iter().map(|n| figure(cell(*n))));
        row
    };
    let measured = |sweep: &Sweep| {
        let of = |n: u32| sweep.spreads.iter().find(|spread| spread.n() == n as usize);
        row(sweep, &|n| of(n).map(|spread| spread.summary.peak_to_average))
    };
    let expected = |sweep: &Sweep| row(sweep, &|n| sweep.expected.get(&n).copied());
    let seen = Table { head: columns.clone(), rows: sweeps.iter().map(measured).collect(), bars: Vec::new() };
    columns[0] = String::from("Ring (expected)");
    let foretold = Table { head: columns, rows: sweeps.iter().map(expected).collect(), bars: Vec::new() };
    Section {
        charts: vec!["a4.svg"],
        tables: vec![seen, foretold],
        remarks: explain::rings(sweeps),
        ..section(
            Experiment::A4,
            vec![
                "The share of the busiest replica relative to the average share; 1 is perfectly even. First \
                 what was measured, then what is expected of each ring for all six-digit request ids."
                    .to_owned(),
            ],
        )
    }
}

fn movement(found: &[Movement]) -> Section {
    let steps = found.first().map(|movement| &movement.steps[..]).unwrap_or_default();
    let table = |name: &str, column: &dyn Fn(&Step) -> String, figures: &[(&str, Figure)]| {
        let mut columns = vec![name.to_owned()];
        columns.extend(steps.iter().map(column));
        let mut ideal = vec!["ideal: 1/N".to_owned()];
        ideal.extend(steps.iter().map(|step| percent(step.ideal)));
        let mut rows = vec![ideal];
        for movement in found {
            for (what, figure) in figures {
                let cells: Vec<Option<f64>> = movement.steps.iter().map(figure).collect();
                if cells.iter().any(Option::is_some) {
                    let cell = |part: Option<f64>| part.map_or("\u{2013}".to_owned(), percent);
                    rows.push(
                        std::iter::once(format!("{}{what}", movement.label))
                            .chain(cells.into_iter().map(cell))
                            .collect(),
                    );
                }
            }
        }
        Table { head: columns, rows, bars: Vec::new() }
    };
    let fewer = |step: &Step| format!("{} \u{2192} {}", step.n, step.n - 1);
    let more = |step: &Step| format!("{} \u{2192} {}", step.n - 1, step.n);
    Section {
        charts: vec!["movement.svg"],
        tables: vec![
            table("The busiest leaves", &fewer, &[("", |step| Some(step.busiest_leaves))]),
            table(
                "The newest comes",
                &more,
                &[("", |step| Some(step.keys)), (", of the requests sent", |step| step.measured)],
            ),
        ],
        ..section(Experiment::Movement, explain::movement(found))
    }
}

/// A part of the keys, where it is known.
type Figure = fn(&Step) -> Option<f64>;

fn placements(found: &[Scaling]) -> Section {
    let counts: BTreeSet<u32> =
        found.iter().flat_map(|scaling| &scaling.points).map(|point| point.n).collect();
    let table = |name: &str, cell: &dyn Fn(&ScalingPoint) -> Option<String>| {
        let row = |scaling: &Scaling| {
            let cells = counts.iter().map(|&n| {
                let point = scaling.points.iter().find(|point| point.n == n);
                point.and_then(cell).unwrap_or_else(|| "\u{2013}".to_owned())
            });
            std::iter::once(scaling.label.to_owned()).chain(cells).collect()
        };
        let columns = counts.iter().map(|n| format!("N = {n}"));
        Table {
            head: std::iter::once(name.to_owned()).chain(columns).collect(),
            rows: found.iter().map(row).collect(),
            bars: Vec::new(),
        }
    };
    Section {
        charts: vec!["evenness.svg", "strays.svg"],
        tables: vec![
            table("Peak-to-average", &|point| Some(format!("{:.3}", point.peak_to_average))),
            table("One goes: others' keys that move", &|point| Some(percent(point.leaving))),
            table("One comes: others' keys that move", &|point| point.coming.map(percent)),
            table("Build", &|point| Some(format!("{:.2} ms", point.build_ms))),
        ],
        ..section(Experiment::Placements, explain::placements())
    }
}

fn zipf(popular: &Popular) -> Section {
    let rows = popular.runs.iter().map(|run| {
        let spread = &run.spread;
        vec![
            spread.bounded_load.map_or("off".to_owned(), |factor| factor.to_string()),
            thousands(spread.summary.min),
            thousands(spread.summary.max),
            format!("{:.3}", spread.summary.peak_to_average),
            format!("{:.3}", spread.expected_peak_to_average),
            run.in_flight_peak_to_average.map_or("\u{2013}".to_owned(), |peak| format!("{peak:.3}")),
            spread.elsewhere.map_or("\u{2013}".to_owned(), thousands),
        ]
    });
    let columns =
        ["Bound", "Least", "Most", "Peak-to-average", "If owners served", "In flight", "Not at the owner"];
    let table = Table { head: head(&columns), rows: rows.collect(), bars: Vec::new() };
    Section {
        charts: vec!["zipf.svg"],
        tables: vec![table],
        ..section(Experiment::Zipf, explain::zipf(popular))
    }
}

fn latency(latency: &Latency) -> Section {
    let row = |what: &str, q: &Quantiles| {
        let mut row = vec![what.to_owned()];
        row.extend([q.p50, q.p90, q.p99, q.p999, q.max].map(|ms| format!("{ms:.2} ms")));
        row
    };
    let table = Table {
        head: head(&["Counted from", "50 %", "90 %", "99 %", "99.9 %", "Longest"]),
        rows: vec![row("when it was due", &latency.from_due), row("when it was sent", &latency.from_sent)],
        bars: Vec::new(),
    };
    Section {
        charts: vec!["latency.svg"],
        tables: vec![table],
        ..section(Experiment::Latency, explain::latency(latency))
    }
}
