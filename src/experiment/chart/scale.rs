//! From values to pixels, and which values are worth a line.

/// A linear scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    max: f64,
    step: f64,
    from: i32,
    to: i32,
}

impl Scale {
    /// From 0, at pixel `from`, to a round value of at least `max`, at pixel `to`.
    pub(super) fn from_zero(max: f64, from: i32, to: i32) -> Self {
        let step = round_step(max.max(f64::MIN_POSITIVE) / 5.0);
        Self { max: (max / step).ceil().max(1.0) * step, step, from, to }
    }

    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> i32 {
        self.from + (f64::from(self.to - self.from) * value / self.max).round() as i32
    }

    /// Values worth a line, from 0 to the largest.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let count = (self.max / self.step).round() as u32;
        (0..=count).map(|index| f64::from(index) * self.step).collect()
    }

    /// Such a value in words: as many decimals as the step has.
    pub(super) fn label(&self, value: f64) -> String {
        if self.step >= 1.0 && self.step.fract() == 0.0 {
            return super::thousands(value.round() as u64);
        }
        let decimals = (-self.step.log10()).ceil().max(1.0) as usize;
        let decimals =
            if (self.step * 10_f64.powf(decimals as f64)).fract() > 1e-9 { decimals + 1 } else { decimals };
        format!("{value:.decimals$}")
    }
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= least * 0.999_999);
    step.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        for (max, last, count) in
            [(3_459.0, 4_000.0, 5), (4.9, 5.0, 6), (1.0, 1.0, 6), (52.0, 60.0, 4), (0.003, 0.003, 4)]
        {
            let ticks = Scale::from_zero(max, 100, 0).ticks();
            assert!((ticks.last().unwrap() - last).abs() < last * 1e-6, "{max}: {ticks:?}");
            assert_eq!(ticks.len(), count, "{max}: {ticks:?}");
        }
    }

    #[test]
    fn labels_have_the_decimals_of_the_step() {
        let labels = |max| {
            let scale = Scale::from_zero(max, 100, 0);
            scale.ticks().iter().map(|&tick| scale.label(tick)).collect::<Vec<_>>()
        };
        assert_eq!(labels(4_000.0), ["0", "1,000", "2,000", "3,000", "4,000"]);
        assert_eq!(labels(1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    }

    #[test]
    fn values_map_onto_pixels() {
        let scale = Scale::from_zero(10.0, 400, 100);
        assert_eq!([0.0, 5.0, 10.0].map(|value| scale.at(value)), [400, 250, 100]);
    }
}
