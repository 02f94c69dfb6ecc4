//! Draws lines, boxes and text on an SVG, and the parts that all charts share.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, IntoFont, RGBColor, ShapeStyle};

use super::scale::Scale;

/// A colour of a chart.
pub(super) type Colour = RGBColor;

// Of the palette of M. Okabe and K. Ito, which readers with any kind of colour vision can tell apart.
pub(super) const BLUE: Colour = RGBColor(0, 114, 178);
pub(super) const ORANGE: Colour = RGBColor(230, 159, 0);
pub(super) const GREEN: Colour = RGBColor(0, 158, 115);
pub(super) const PURPLE: Colour = RGBColor(204, 121, 167);
pub(super) const SKY: Colour = RGBColor(86, 180, 233);
pub(super) const RED: Colour = RGBColor(213, 94, 0);

pub(super) const INK: Colour = RGBColor(31, 35, 40);
pub(super) const FAINT_INK: Colour = RGBColor(89, 99, 110);
const GRID: Colour = RGBColor(226, 230, 234);
const BORDER: Colour = RGBColor(208, 215, 222);
const PAPER: Colour = RGBColor(255, 255, 255);

/// Size of every chart, in pixels of its own; pages scale it.
pub(super) const WIDTH: i32 = 960;
pub(super) const HEIGHT: i32 = 500;

/// Where the data is drawn.
pub(super) const LEFT: i32 = 86;
pub(super) const RIGHT: i32 = WIDTH - 28;
pub(super) const TOP: i32 = 128;
pub(super) const BOTTOM: i32 = HEIGHT - 70;

const MARGIN: i32 = 24;

/// How wide a character is for each pixel of a font's size, about; for placing legends.
const CHARACTER: f64 = 0.56;

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// What a legend shows beside a label.
#[derive(Clone, Copy, Debug)]
pub(super) enum Swatch {
    Box(Colour),
    Dashes,
    Mark,
}

/// A chart that is being drawn.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws a chart with what all charts have, and the rest by `draw`.
pub(super) fn svg(title: &str, subtitle: &str, draw: impl FnOnce(&Canvas<'_>)) -> String {
    let mut text = String::new();
    {
        let size = (WIDTH as u32, HEIGHT as u32);
        let canvas = Canvas { area: SVGBackend::with_string(&mut text, size).into_drawing_area() };
        canvas.fill((0, 0), (WIDTH, HEIGHT), PAPER);
        canvas.outline((0, 0), (WIDTH - 1, HEIGHT - 1), BORDER);
        canvas.heading(title);
        canvas.text(subtitle, (MARGIN, 58), 14, FAINT_INK, Anchor::Start);
        draw(&canvas);
    }
    text
}

/// `text`, or its beginning and an ellipsis where it has more than `most` characters.
pub(super) fn elided(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}\u{2026}", kept.trim_end())
}

/// As many characters as a text of `size` may have to be no wider than `width`, one at least.
pub(super) fn fitting(width: i32, size: u32) -> usize {
    (f64::from(width.max(0)) / (CHARACTER * f64::from(size))).max(1.0) as usize
}

/// `text` as an attribute of XML, or as text of HTML.
pub(in crate::experiment) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

// A string takes all that is drawn: no call below can fail.
impl Canvas<'_> {
    /// A filled box.
    pub(super) fn fill(&self, from: (i32, i32), to: (i32, i32), colour: Colour) {
        let _ = self.area.draw(&Rectangle::new([from, to], colour.filled()));
    }

    /// An empty box.
    pub(super) fn outline(&self, from: (i32, i32), to: (i32, i32), colour: Colour) {
        let _ = self.area.draw(&Rectangle::new([from, to], colour.stroke_width(1)));
    }

    /// A line through points.
    pub(super) fn line(&self, points: Vec<(i32, i32)>, colour: Colour, width: u32) {
        let style: ShapeStyle = colour.stroke_width(width);
        let _ = self.area.draw(&PathElement::new(points, style));
    }

    /// A dashed line.
    pub(super) fn dashes(&self, from: (i32, i32), to: (i32, i32), colour: Colour) {
        const DASH: f64 = 6.0;
        const GAP: f64 = 5.0;
        let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
        let length = dx.hypot(dy);
        let at = |way: f64| {
            let part = way.min(length) / length.max(1.0);
            (from.0 + (dx * part).round() as i32, from.1 + (dy * part).round() as i32)
        };
        let mut way = 0.0;
        while way < length {
            self.line(vec![at(way), at(way + DASH)], colour, 2);
            way += DASH + GAP;
        }
    }

    /// A filled circle.
    pub(super) fn dot(&self, at: (i32, i32), radius: i32, colour: Colour) {
        let _ = self.area.draw(&Circle::new(at, radius, colour.filled()));
    }

    /// A short bar across a column: something beside what the column shows.
    pub(super) fn mark(&self, from: i32, to: i32, y: i32) {
        self.fill((from, y - 3), (to, y + 2), PAPER);
        self.fill((from, y - 2), (to, y + 1), INK);
    }

    /// Text whose vertical middle is at the point; `size` in pixels.
    pub(super) fn text(&self, text: &str, at: (i32, i32), size: u32, colour: Colour, anchor: Anchor) {
        let horizontal = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        // The backend divides by the same factor.
        let font = ("sans-serif", f64::from(size) * 1.24).into_font();
        let style = font.color(&colour).pos(Pos::new(horizontal, VPos::Center));
        let _ = self.area.draw_text(text, &style, at);
    }

    /// Text on a patch of paper, so that what is behind it does not disturb.
    pub(super) fn label(&self, text: &str, at: (i32, i32), colour: Colour, anchor: Anchor) {
        const SIZE: u32 = 13;
        let width = text_width(text, SIZE) + 4;
        let left = match anchor {
            Anchor::Start => at.0 - 2,
            Anchor::Middle => at.0 - width / 2,
            Anchor::End => at.0 - width + 2,
        };
        self.fill((left, at.1 - 8), (left + width, at.1 + 8), PAPER);
        self.text(text, at, SIZE, colour, anchor);
    }

    fn heading(&self, text: &str) {
        let font = ("sans-serif", 20.0 * 1.24).into_font().style(plotters::style::FontStyle::Bold);
        let style = font.color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        let _ = self.area.draw_text(text, &style, (MARGIN, 32));
    }

    fn upright(&self, text: &str, at: (i32, i32)) {
        let font = ("sans-serif", 13.0 * 1.24).into_font().transform(FontTransform::Rotate270);
        let style = font.color(&FAINT_INK).pos(Pos::new(HPos::Center, VPos::Center));
        let _ = self.area.draw_text(text, &style, at);
    }

    /// What the series are, in a row or two below the title.
    pub(super) fn legend(&self, entries: &[(Swatch, String)]) {
        const SIZE: u32 = 13;
        let (mut x, mut y) = (MARGIN, 88);
        for (swatch, label) in entries {
            let width = 22 + text_width(label, SIZE);
            if x + width > RIGHT {
                (x, y) = (MARGIN, y + 20);
            }
            match swatch {
                Swatch::Box(colour) => self.fill((x, y - 6), (x + 14, y + 6), *colour),
                Swatch::Dashes => self.dashes((x - 4, y), (x + 18, y), FAINT_INK),
                Swatch::Mark => self.mark(x - 2, x + 16, y),
            }
            self.text(label, (x + 22, y), SIZE, INK, Anchor::Start);
            x += width + 22;
        }
    }

    /// Horizontal lines with their values, and what both axes show.
    pub(super) fn axes(&self, y: &Scale, y_label: &str, x_label: &str) {
        for tick in y.ticks() {
            let at = y.at(tick);
            self.line(vec![(LEFT, at), (RIGHT, at)], GRID, 1);
            self.text(&y.label(tick), (LEFT - 10, at), 13, FAINT_INK, Anchor::End);
        }
        self.line(vec![(LEFT, BOTTOM), (RIGHT, BOTTOM)], FAINT_INK, 1);
        self.upright(y_label, (20, i32::midpoint(TOP, BOTTOM)));
        self.text(x_label, (i32::midpoint(LEFT, RIGHT), HEIGHT - 22), 13, FAINT_INK, Anchor::Middle);
    }

    /// A value below the horizontal axis.
    pub(super) fn x_tick(&self, x: i32, label: &str) {
        self.line(vec![(x, BOTTOM), (x, BOTTOM + 5)], FAINT_INK, 1);
        self.text(label, (x, BOTTOM + 18), 13, INK, Anchor::Middle);
    }
}

/// A small number, to reckon with pixels.
pub(super) fn pixels(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// How wide a text is, about.
pub(super) fn text_width(text: &str, size: u32) -> i32 {
    (text.chars().count() as f64 * CHARACTER * f64::from(size)).ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_elided_to_fit() {
        assert_eq!(elided("Server 1", 8), "Server 1");
        assert_eq!(elided("Server 12", 8), "Server\u{2026}");
        let name = elided(&"x".repeat(63), fitting(100, 14));
        assert!(text_width(&name, 14) <= 100 && name.ends_with('\u{2026}'), "{name}");
    }
}
