//! Bars in groups, with values on them, marks across them and lines behind.

use super::canvas::{self, Anchor, BOTTOM, Canvas, Colour, FAINT_INK, INK, LEFT, RIGHT, Swatch, TOP, pixels};
use super::scale::Scale;

/// Widest a bar may be, in pixels.
const WIDEST: i32 = 120;

/// A bar chart.
pub(super) struct Bars<'a> {
    pub(super) title: &'a str,
    pub(super) subtitle: &'a str,
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    pub(super) groups: Vec<String>,
    pub(super) series: Vec<Series>,
    /// What the marks are, if there are any.
    pub(super) mark_label: Option<&'a str>,
    pub(super) lines: Vec<Line>,
    /// A value as text.
    pub(super) format: fn(f64) -> String,
}

/// One bar in each group.
pub(super) struct Series {
    pub(super) label: String,
    pub(super) colour: Colour,
    pub(super) values: Vec<Option<f64>>,
    /// What each is compared with.
    pub(super) marks: Vec<Option<f64>>,
}

/// A value in each group that all its bars are compared with.
pub(super) struct Line {
    pub(super) label: String,
    pub(super) values: Vec<f64>,
}

impl Bars<'_> {
    pub(super) fn draw(&self) -> String {
        canvas::svg(self.title, self.subtitle, |canvas| {
            let values =
                self.series.iter().flat_map(|series| series.values.iter().chain(&series.marks)).flatten();
            let lines = self.lines.iter().flat_map(|line| &line.values);
            // Room for the value above the highest bar.
            let max = values.chain(lines).copied().fold(0.0, f64::max) * 1.06;
            let y = Scale::from_zero(max, BOTTOM, TOP);
            canvas.axes(&y, self.y_label, self.x_label);
            canvas.legend(&self.entries());
            for group in 0..self.groups.len() {
                self.group(canvas, &y, group);
            }
        })
    }

    fn entries(&self) -> Vec<(Swatch, String)> {
        let series = self.series.iter().map(|series| (Swatch::Box(series.colour), series.label.clone()));
        let mark = self.mark_label.map(|label| (Swatch::Mark, label.to_owned()));
        let lines = self.lines.iter().map(|line| (Swatch::Dashes, line.label.clone()));
        series.chain(mark).chain(lines).collect()
    }

    fn group(&self, canvas: &Canvas<'_>, y: &Scale, group: usize) {
        let width = (RIGHT - LEFT) / pixels(self.groups.len().max(1));
        let left = LEFT + width * pixels(group);
        let name = canvas::elided(&self.groups[group], canvas::fitting(width - 8, 14));
        canvas.text(&name, (left + width / 2, BOTTOM + 20), 14, INK, Anchor::Middle);
        let bars = pixels(self.series.len().max(1));
        let bar = (width * 4 / 5 / bars).min(WIDEST);
        let first = left + (width - bar * bars) / 2;
        for (series, at) in self.series.iter().zip(0..) {
            if let Some(value) = series.values.get(group).copied().flatten() {
                let from = first + bar * at;
                let mark = series.marks.get(group).copied().flatten();
                let label = Self::bar(canvas, y, (from + 2, from + bar - 2), (value, mark), series.colour);
                self.value(canvas, y, (from + 2, from + bar - 2), (value, label), group);
            }
        }
        for line in &self.lines {
            let at = y.at(line.values[group]);
            canvas.dashes((left + 4, at), (left + width - 4, at), FAINT_INK);
        }
    }

    /// Returns how high it reaches, its mark included.
    fn bar(
        canvas: &Canvas<'_>,
        y: &Scale,
        (from, to): (i32, i32),
        (value, mark): (f64, Option<f64>),
        colour: Colour,
    ) -> i32 {
        let top = y.at(value);
        canvas.fill((from, top), (to, BOTTOM), colour);
        let Some(mark) = mark.map(|mark| y.at(mark)) else { return top };
        let inset = ((to - from) / 8).max(2);
        canvas.mark(from + inset, to - inset, mark);
        top.min(mark)
    }

    /// Above `top`, and clear of the group's lines.
    fn value(
        &self,
        canvas: &Canvas<'_>,
        y: &Scale,
        (from, to): (i32, i32),
        (value, top): (f64, i32),
        group: usize,
    ) {
        let text = (self.format)(value);
        let size = if canvas::text_width(&text, 14) > to - from + 8 { 11 } else { 14 };
        let near = self.lines.iter().map(|line| y.at(line.values[group]));
        let clear = near.filter(|at| (top - 22..=top).contains(at)).min().unwrap_or(top);
        canvas.text(&text, (i32::midpoint(from, to), clear - 12), size, INK, Anchor::Middle);
    }
}
