//! Metrics of the balancer as a whole.

use std::fmt;

use super::page::Page;
use crate::admin::Sources;
use crate::runtime::engine;

pub(super) fn write(page: &mut Page<'_>, sources: &Sources) -> fmt::Result {
    let (calls, durations) = engine::call_stats();
    page.counters(
        "engine_calls",
        "Calls of the container engine, by result",
        calls.into_iter().map(|(result, count)| (vec![("result", result)], count)),
    )?;
    page.durations("engine_call_duration", "Time that calls of the container engine took", &durations)?;
    if let Some(losses) = &sources.losses {
        page.counters(
            "access_log_lost_lines",
            "Lines of the access log that were lost: too many waited, or they could not be written",
            [(vec![("why", "waiting")], losses.dropped()), (vec![("why", "writing")], losses.failed())],
        )?;
    }
    page.info("build", "What is running", &vec![("version", env!("CARGO_PKG_VERSION"))])
}
