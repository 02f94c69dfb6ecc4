//! Formats the report for people, as tables.

use std::io::{self, Write};

use super::report::{Move, Report};

/// Length of the bar of a replica that owns all slots.
const BAR: f64 = 60.0;

/// Writes the tables of `report` to `out`.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    write_summary(report, out)?;
    write_shares(report, out)?;
    write_moves(report, out)?;
    write_lookups(report, out)
}

fn write_summary(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{} hash family, {} placement, {} slots, of which request ids reach {}",
        report.family, report.placement, report.slots, report.reachable_slots
    )?;
    if report.placement == "ring" {
        writeln!(out, "{} virtual nodes for each replica, {} probing", report.virtual_nodes, report.probing)?;
        writeln!(out, "longest probe      {} steps", report.longest_probe)?;
    }
    writeln!(out, "replicas           {} of at most {}", report.ids.len(), report.capacity)?;
    writeln!(out, "peak to average    {:.3}", report.peak_to_average)
}

fn write_shares(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{:>10} {:>7} {:>9} {:>8}", "number", "weight", "slots", "share")?;
    for (number, slots) in &report.slots_owned {
        let share = f64::from(*slots) / f64::from(report.slots);
        let weight = report.weights.get(number).copied().unwrap_or_default();
        let bar = "#".repeat((share * BAR).round() as usize);
        let row = format!("{number:>10} {weight:>7} {slots:>9} {:>8} {bar}", percent(share));
        writeln!(out, "{}", row.trim_end())?;
    }
    Ok(())
}

fn write_moves(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let [change, slots, share, ideal, beyond] = ["change", "slots moved", "share", "ideal", "beyond its own"];
    writeln!(out, "\n{change:<17} {slots:>10} {share:>8} {ideal:>8} {beyond:>15}")?;
    match &report.moved.add {
        Some(add) => write_move("add", add, report, out)?,
        None => writeln!(out, "add               does not fit")?,
    }
    report.moved.remove.iter().try_for_each(|remove| write_move("remove", remove, report, out))?;
    let untried = report.ids.len() - report.moved.remove.len();
    if untried > 0 {
        writeln!(out, "(the other {untried} removals were not tried)")?;
    }
    Ok(())
}

fn write_move(what: &str, moved: &Move, report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Move { number, slots, share, ideal_share, beyond_own } = moved;
    let beyond = percent(f64::from(*beyond_own) / f64::from(report.slots));
    let (share, ideal) = (percent(*share), percent(*ideal_share));
    writeln!(out, "{what:<6} {number:>10} {slots:>11} {share:>8} {ideal:>8} {beyond:>15}")
}

fn write_lookups(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.lookups.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{:>20} {:>9} {:>10}", "request id", "slot", "owner")?;
    for (request, slot, owner) in &report.lookups {
        let owner = owner.map_or_else(|| "nobody".to_owned(), |number| number.to_string());
        writeln!(out, "{request:>20} {slot:>9} {owner:>10}")?;
    }
    Ok(())
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
