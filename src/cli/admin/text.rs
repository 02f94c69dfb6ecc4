//! Formats responses for people. All text in them comes from the network and is made plain.

use std::fmt::Write;

use serde_json::Value;

use crate::client::{LogPiece, ReplicaReport, RingReport, Url, plain};

/// The output of `ringherd status`.
pub(super) fn status(url: &Url, report: &RingReport) -> String {
    let ready = report.replicas.iter().filter(|replica| replica.state == "ready").count();
    let noun = if report.replicas.len() == 1 { "replica" } else { "replicas" };
    let mut text = format!("{url}: {} {noun}, {ready} ready\n", report.replicas.len());
    text.push_str(&ring(report));
    if let Some(outage) = &report.outage {
        let _ = writeln!(text, "replicas can neither be added nor removed: {}", plain(outage));
    }
    if !report.replicas.is_empty() {
        text.push('\n');
        text.push_str(&table(&report.replicas));
    }
    text
}

/// The line with the parameters of the ring.
pub(super) fn ring(report: &RingReport) -> String {
    let bound = report.bounded_load.map_or_else(|| "off".to_owned(), |factor| factor.to_string());
    let text = format!(
        "ring version {}: {} family, {} placement, {} probing, {} slots, {} virtual nodes, \
         peak to average {:.3}\nkey {}, bounded load {bound}",
        report.version,
        report.family,
        report.placement,
        report.probing,
        report.slots,
        report.virtual_nodes,
        report.peak_to_average,
        report.key,
    );
    // Made plain line by line, because the newlines are ours.
    text.lines().map(|line| plain(line) + "\n").collect()
}

/// The output for a response of `/add` or `/rm`.
pub(super) fn replicas(json: &Value) -> String {
    let names = json["message"]["replicas"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<_> = names.map(plain).collect();
    match names.len() {
        0 => "there are no replicas now\n".to_owned(),
        1 => format!("there is 1 replica now: {}\n", names[0]),
        count => format!("there are {count} replicas now: {}\n", names.join(", ")),
    }
}

/// The output for a response to a change of weight.
pub(super) fn weight(replica: &ReplicaReport) -> String {
    let share = percent(replica.share);
    format!("'{}' has weight {} and owns {share} of the slots\n", plain(&replica.name), replica.weight)
}

/// The message of a response.
pub(super) fn message(json: &Value) -> String {
    plain(json["message"].as_str().unwrap_or("done")) + "\n"
}

/// The output of a replica.
pub(super) fn log(text: &str) -> String {
    text.lines().map(|line| plain_line(line) + "\n").collect()
}

/// The next of the output of a replica.
pub(super) fn log_piece(piece: &LogPiece) -> String {
    match piece {
        LogPiece::Line(line) => plain_line(line) + "\n",
        LogPiece::Dropped(count) => {
            format!("({count} lines are lost here: they came faster than they were read)\n")
        }
    }
}

/// Tabs are harmless, and those of programs have a meaning.
fn plain_line(line: &str) -> String {
    line.split('\t').map(plain).collect::<Vec<_>>().join("\t")
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

const HEADINGS: [&str; 11] = [
    "number",
    "name",
    "state",
    "weight",
    "share",
    "in flight",
    "requests",
    "address",
    "instance",
    "revision",
    "note",
];

/// Columns of numbers, which are aligned right.
const NUMBERS: [usize; 5] = [0, 3, 4, 5, 6];

/// The column of revisions, which is there only if there is more to say than that nothing was deployed.
const REVISION: usize = 9;

/// The revision without a name.
const BASE: &str = "base";

fn table(replicas: &[ReplicaReport]) -> String {
    let rows: Vec<[String; 11]> =
        std::iter::once(HEADINGS.map(str::to_owned)).chain(replicas.iter().map(row)).collect();
    let has_revisions = replicas.iter().any(|replica| !["", BASE].contains(&replica.revision.as_str()));
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in
            row.iter().enumerate().filter(|(column, _)| has_revisions || *column != REVISION)
        {
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let _ = if NUMBERS.contains(&column) {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(replica: &ReplicaReport) -> [String; 11] {
    [
        replica.number.to_string(),
        plain(&replica.name),
        plain(&replica.state),
        replica.weight.to_string(),
        percent(replica.share),
        replica.in_flight.to_string(),
        replica.requests.to_string(),
        replica.address.map_or_else(|| "-".to_owned(), |address| address.to_string()),
        plain(&replica.instance),
        plain(&replica.revision),
        plain(&replica.note),
    ]
}
