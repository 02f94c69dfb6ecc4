//! The progress bar: on a terminal, on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::options::{Experiment, Options};
use super::rings::variants;
use super::spread::REPLICA_COUNTS;

const TEMPLATE: &str = "{msg:32} {wide_bar:.cyan/blue} {human_pos} requests, {eta} to go";

/// A bar for the requests of all experiments. Not drawn if standard error is no terminal.
pub(super) fn bar(options: &Options) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(expected(options)), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// About how many requests there will be.
fn expected(options: &Options) -> u64 {
    let sizes = REPLICA_COUNTS.count() as u64;
    let rings = variants(options.family).len() as u64;
    let each = u64::from(options.requests);
    let of = |experiment: &Experiment| match experiment {
        Experiment::A1 | Experiment::Latency => each,
        Experiment::A2 => sizes * each,
        // Two seconds at 1,000 a second.
        Experiment::A3 => 2_000,
        Experiment::A4 => rings * sizes * each,
        Experiment::Movement => rings * each,
        Experiment::Placements => 0,
        Experiment::Zipf => 2 * each,
    };
    options.experiments.iter().map(of).sum()
}
