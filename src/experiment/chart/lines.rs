//! how the load of a replica falls with N, and how far replicas lie apart.

use super::canvas::{
    self, Anchor, BLUE, BOTTOM, Canvas, FAINT_INK, INK, LEFT, ORANGE, RIGHT, SKY, Swatch, TOP, pixels,
};
use super::scale::Scale;
use super::{Chart, thousands, whole};
use crate::experiment::figures::Spread;

/// The chart.
pub(super) fn a2(spreads: &[Spread]) -> Chart {
    let sent = spreads[0].sent;
    let peaks = spreads.iter().map(|spread| spread.summary.peak_to_average);
    let subtitle = format!(
        "{} requests for each N; the busiest replica has at most {:.3} times the average",
        thousands(sent),
        peaks.fold(0.0, f64::max)
    );
    let svg = canvas::svg("Requests for a replica, by number of replicas", &subtitle, |canvas| {
        let max = spreads.iter().map(|spread| spread.summary.max as f64).fold(0.0, f64::max) * 1.06;
        let y = Scale::from_zero(max, BOTTOM, TOP);
        canvas.axes(&y, "requests for a replica", "replicas (N)");
        canvas.legend(&[
            (Swatch::Box(BLUE), "average".to_owned()),
            (Swatch::Box(SKY), "standard deviation".to_owned()),
            (Swatch::Box(ORANGE), "least and most".to_owned()),
            (Swatch::Dashes, format!("ideal: {}/N", thousands(sent))),
        ]);
        let width = (RIGHT - LEFT) / pixels(spreads.len());
        let x = |index: usize| first(width) + width * pixels(index);
        ideal(canvas, &y, spreads, width);
        for (index, spread) in spreads.iter().enumerate() {
            point(canvas, &y, x(index), spread);
        }
    });
    Chart::new(
        "a2.svg",
        format!("Averages by N, with least and most, beside the ideal curve: {subtitle}"),
        &svg,
    )
}

/// Where the first point is: left of the middle of its column, because its label is right of it.
fn first(width: i32) -> i32 {
    LEFT + width * 2 / 5
}

/// The curve that the averages lie on if nothing is lost.
fn ideal(canvas: &Canvas<'_>, y: &Scale, spreads: &[Spread], width: i32) {
    /// Pieces between two values of N.
    const PIECES: u32 = 12;
    let requests = spreads[0].sent as f64;
    for (index, pair) in spreads.windows(2).enumerate() {
        let (from, to) = (pair[0].n() as f64, pair[1].n() as f64);
        let at = |piece: u32| {
            let part = f64::from(piece) / f64::from(PIECES);
            let x = f64::from(first(width) + width * pixels(index)) + f64::from(width) * part;
            (x.round() as i32, y.at(requests / (from + (to - from) * part)))
        };
        for piece in (0..PIECES).step_by(2) {
            canvas.line(vec![at(piece), at(piece + 1)], FAINT_INK, 2);
        }
    }
}

fn point(canvas: &Canvas<'_>, y: &Scale, x: i32, spread: &Spread) {
    let summary = &spread.summary;
    let (high, low) = (y.at(summary.max as f64), y.at(summary.min as f64));
    let deviation = |sign: f64| y.at(summary.average + sign * summary.standard_deviation);
    canvas.fill((x - 9, deviation(1.0)), (x + 9, deviation(-1.0)), SKY);
    canvas.line(vec![(x, high), (x, low)], ORANGE, 3);
    for end in [high, low] {
        canvas.line(vec![(x - 13, end), (x + 13, end)], ORANGE, 3);
    }
    canvas.dot((x, y.at(summary.average)), 6, BLUE);
    canvas.x_tick(x, &spread.n().to_string());
    let apart = format!("{} \u{2013} {}", whole(summary.min as f64), whole(summary.max as f64));
    canvas.text(&whole(summary.average), (x + 22, high - 24), 15, INK, Anchor::Start);
    canvas.text(&apart, (x + 22, high - 6), 12, FAINT_INK, Anchor::Start);
}
