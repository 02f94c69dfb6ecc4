//! A deploy in words. All text in them comes from the network and is made plain.

use std::time::Duration;

use crate::client::{DeployReport, DeployedNumber, Experience, plain};

/// That it has begun.
pub(super) fn begun(report: &DeployReport) -> String {
    let (from, to) = (plain(&report.from), plain(&report.to));
    match report.state.as_str() {
        "reverting" => format!("taking {to} back: {from} takes over again"),
        "aborted" | "reverted" => end(report),
        "preparing" => {
            format!("deploying {to} in the place of {from} to {}, once its image is there", numbers(report))
        }
        _ => format!("deploying {to} in the place of {from} to {}", numbers(report)),
    }
}

/// How many numbers it is about.
fn numbers(report: &DeployReport) -> String {
    let all = match report.numbers.len() {
        1 => "1 number".to_owned(),
        count => format!("{count} numbers"),
    };
    match report.canary {
        Some(canary) if (canary as usize) < report.numbers.len() => format!("{canary} of {all}"),
        _ => all,
    }
}

/// A line for each change between two looks.
pub(super) fn changes(before: &DeployReport, now: &DeployReport) -> Vec<String> {
    let mut lines = Vec::new();
    for number in &now.numbers {
        let step =
            before.numbers.iter().find(|other| other.number == number.number).map(|number| &number.step);
        if step != Some(&number.step) {
            lines.extend(step_of(number, now));
        }
    }
    if before.state != now.state {
        lines.extend(state_of(now));
    }
    lines
}

fn step_of(number: &DeployedNumber, report: &DeployReport) -> Option<String> {
    let DeployedNumber { number, step, serving, beside } = number;
    let (from, to, serving) = (plain(&report.from), plain(&report.to), plain(serving));
    let (beside, stops_first) = (beside.as_deref().map(plain), report.order == "stop-first");
    let told = match (step.as_str(), beside) {
        ("starting", _) if stops_first => {
            format!("the replica of {from} has to go first; '{serving}' of {to} follows")
        }
        ("judging", _) if stops_first => format!("'{serving}' of {to} serves it"),
        ("reverted", _) if stops_first => {
            format!("the replica of {to} has to go; '{serving}' of {from} follows")
        }
        ("starting", Some(beside)) => format!("'{beside}' of {to} starts beside '{serving}'"),
        ("starting", None) => format!("{to} starts beside '{serving}'"),
        ("judging", Some(beside)) => format!("{to} takes over from {from}: '{serving}' from '{beside}'"),
        ("judging", None) => format!("{to} takes over from {from}: '{serving}'"),
        ("passed", _) => format!("{to} has passed"),
        ("reverted", _) => format!("'{serving}' of {from} has it again"),
        _ => return None,
    };
    Some(format!("number {number}: {told}"))
}

fn state_of(report: &DeployReport) -> Option<String> {
    match report.state.as_str() {
        "judging" => {
            let under_test = report.numbers.iter().filter(|number| number.step == "judging").count();
            Some(format!("judging {under_test} of {}", numbers(report)))
        }
        "reverting" => Some(format!("reverting: {}", reason(report))),
        _ => None,
    }
}

fn reason(report: &DeployReport) -> String {
    if report.reason.is_empty() { "no reason is known".to_owned() } else { plain(&report.reason) }
}

/// What became of it, and how long it took.
pub(super) fn end(report: &DeployReport) -> String {
    let (to, took) = (plain(&report.to), took(report));
    match report.state.as_str() {
        "succeeded" => format!("deployed {to} to {} in {took}", numbers(report)),
        "waiting" => format!(
            "{to} is on {} after {took}, and waits: 'ringherd deploy --promote' deploys it to all, \
             'ringherd deploy --abort' takes it back",
            numbers(report)
        ),
        _ if report.numbers.iter().all(|number| number.step == "pending") => {
            format!("{to} was not deployed, and nothing has changed: {}", reason(report))
        }
        "aborted" => format!("{to} was taken back after {took}, as asked for: {}", left(report)),
        _ => format!("{to} was taken back after {took}, {}: {}", left(report), reason(report)),
    }
}

/// What is on which numbers after a deploy was taken back.
fn left(report: &DeployReport) -> String {
    let (from, to) = (plain(&report.from), plain(&report.to));
    match report.numbers.iter().filter(|number| number.step == "passed").count() {
        0 => format!("{from} is on all numbers again"),
        kept => format!("{to} is still on {kept} of {}", numbers(report)),
    }
}

/// To a tenth of a second.
fn took(report: &DeployReport) -> String {
    let tenths = (report.took_seconds.clamp(0.0, 1e9) * 10.0).round() as u64;
    humantime::format_duration(Duration::from_millis(tenths * 100)).to_string()
}

/// The lines of `ringherd deploy --status`.
pub(super) fn status(report: &DeployReport) -> Vec<String> {
    let (from, to) = (plain(&report.from), plain(&report.to));
    let mut lines = vec![format!(
        "deploy {}: {from} -> {to}, {} after {}",
        report.id,
        plain(&report.state),
        took(report)
    )];
    if !report.reason.is_empty() {
        let at = report.failed.as_ref().map_or_else(String::new, |name| format!(" (at '{}')", plain(name)));
        lines.push(format!("reason: {}{at}", reason(report)));
    }
    if let Some(canary) = report.canary {
        lines.push(format!("canary: {canary} of {} numbers", report.numbers.len()));
    }
    lines.push(experience(&from, &report.old));
    lines.push(experience(&to, &report.new));
    for DeployedNumber { number, step, serving, beside } in &report.numbers {
        let beside =
            beside.as_ref().map_or_else(String::new, |beside| format!(", '{}' beside it", plain(beside)));
        lines.push(format!("number {number}: {}, served by '{}'{beside}", plain(step), plain(serving)));
    }
    lines
}

fn experience(revision: &str, experience: &Experience) -> String {
    let Experience { requests, errors, p99_seconds } = *experience;
    let share = if requests == 0 { 0.0 } else { errors as f64 / requests as f64 * 100.0 };
    let p99 = p99_seconds.map_or_else(|| "unknown".to_owned(), |seconds| format!("{:.1} ms", seconds * 1e3));
    format!("{revision}: {requests} requests, {errors} failed ({share:.2} %), 99 % within {p99}")
}

/// The last lines of what a replica wrote, below a message.
pub(super) fn log(name: &str, log: &str, most: usize) -> String {
    let lines: Vec<_> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(most)..];
    let mut text = format!("\n\nthe last lines that '{}' wrote:", plain(name));
    for line in last {
        text.push_str("\n  ");
        text.push_str(&plain(&line.replace('\t', "    ")));
    }
    text
}
