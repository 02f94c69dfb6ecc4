//! requests for each replica over time, and the moments of a kill.

use super::canvas::{
    self, Anchor, BLUE, BOTTOM, Canvas, Colour, FAINT_INK, GREEN, INK, LEFT, ORANGE, PURPLE, RED, RIGHT, SKY,
    Swatch, TOP,
};
use super::scale::Scale;
use super::{Chart, thousands};
use crate::experiment::figures::Kill;

const COLOURS: [Colour; 5] = [BLUE, SKY, ORANGE, GREEN, PURPLE];

/// Characters of a name in the legend, of which there are two rows.
const LONGEST: usize = 20;

/// Milliseconds between two labels of the horizontal axis.
const TICK_MS: f64 = 250.0;

/// The chart.
pub(super) fn a3(kill: &Kill) -> Chart {
    let subtitle = format!(
        "{} requests a second, {} in all, {} lost; longest gap between two answers {:.0} ms",
        thousands(kill.requests_per_second.into()),
        thousands(kill.requests),
        kill.lost,
        kill.longest_gap_ms
    );
    let svg = canvas::svg(
        &format!("'{}' is killed under load", canvas::elided(&kill.replica, 40)),
        &subtitle,
        |canvas| {
            let tallest = kill.timeline.iter().map(|bucket| bucket.iter().sum::<u32>()).max().unwrap_or(1);
            // Room above for the moments.
            let y = Scale::from_zero(f64::from(tallest) * 1.6, BOTTOM, TOP);
            canvas.axes(&y, &format!("answers per {} ms", kill.bucket_ms), "milliseconds since the kill");
            canvas.legend(&legend(kill));
            let buckets = whole_buckets(kill);
            let span = buckets.len() as f64 * f64::from(kill.bucket_ms);
            let x = |ms: f64| LEFT + (f64::from(RIGHT - LEFT) * ms / span).round() as i32;
            for (bucket, counts) in buckets.iter().enumerate() {
                let begin = bucket as f64 * f64::from(kill.bucket_ms);
                stack(canvas, &y, (x(begin), x(begin + f64::from(kill.bucket_ms))), counts);
            }
            for since in ticks(kill, span) {
                canvas.x_tick(x(kill.killed_at_ms + since), &format!("{since:.0}"));
            }
            moments(canvas, kill, x);
        },
    );
    Chart::new("a3.svg", format!("Timeline of a replica killed under load: {subtitle}"), &svg)
}

/// Without the last bucket, in which the load ended, unless something was lost there.
fn whole_buckets(kill: &Kill) -> &[Vec<u32>] {
    match kill.timeline.split_last() {
        Some((last, whole)) if last.last() == Some(&0) && !whole.is_empty() => whole,
        _ => &kill.timeline,
    }
}

fn legend(kill: &Kill) -> Vec<(Swatch, String)> {
    let series = kill.series.iter().enumerate().map(|(index, name)| {
        let shown = canvas::elided(name, LONGEST);
        let name = match name {
            name if *name == kill.replica => format!("{shown} (killed)"),
            name if Some(name) == kill.replacement.as_ref() => format!("{shown} (its replacement)"),
            _ => shown,
        };
        (Swatch::Box(colour(index, false)), name)
    });
    series.chain([(Swatch::Box(RED), "lost".to_owned())]).collect()
}

fn colour(index: usize, lost: bool) -> Colour {
    if lost { RED } else { COLOURS[index % COLOURS.len()] }
}

/// Labels of the horizontal axis, from the first at or after the beginning.
fn ticks(kill: &Kill, span: f64) -> Vec<f64> {
    let before = (kill.killed_at_ms / TICK_MS).floor() as i32;
    let after = ((span - kill.killed_at_ms).max(0.0) / TICK_MS).floor() as i32;
    // Some ten labels at most.
    let every = (before + after) / 12 + 1;
    let multiples = (-before / every)..=(after / every);
    multiples.map(|multiple| f64::from(multiple * every) * TICK_MS).collect()
}

fn stack(canvas: &Canvas<'_>, y: &Scale, (from, to): (i32, i32), counts: &[u32]) {
    let mut sum = 0;
    for (index, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (bottom, top) = (y.at(f64::from(sum)), y.at(f64::from(sum + count)));
        canvas.fill((from, top), ((to - 1).max(from + 1), bottom), colour(index, index + 1 == counts.len()));
        sum += count;
    }
}

fn moments(canvas: &Canvas<'_>, kill: &Kill, x: impl Fn(f64) -> i32) {
    let seen = [
        (kill.detected_ms, "out of the choice"),
        (kill.replacing_ms, "replacement started"),
        (kill.normal_ms, "all ready again"),
    ];
    let label = |(since, what): (Option<f64>, &str)| Some((since?, format!("{what} after {:.0} ms", since?)));
    let killed = std::iter::once((0.0, "killed".to_owned()));
    let moments: Vec<(f64, String)> = killed.chain(seen.into_iter().filter_map(label)).collect();
    let moments = || (0_i32..).zip(&moments).map(|(row, moment)| (row, TOP + 6 + row * 20, moment));
    for (_, y, (since, _)) in moments() {
        let at = x(kill.killed_at_ms + since);
        canvas.line(vec![(at, y), (at, BOTTOM)], INK, 1);
        canvas.dot((at, y), 4, INK);
    }
    // Behind the lines, so that none crosses a label.
    for (row, y, (since, label)) in moments() {
        let at = x(kill.killed_at_ms + since);
        let right = at < i32::midpoint(LEFT, RIGHT) + 100;
        let (at, anchor) = if right { (at + 10, Anchor::Start) } else { (at - 10, Anchor::End) };
        canvas.label(label, (at, y), if row == 0 { INK } else { FAINT_INK }, anchor);
    }
}
