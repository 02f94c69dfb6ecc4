//! Metrics of the control plane, and of the balancer as a whole.

use std::fmt;

use super::page::Page;
use crate::admin::Sources;
use crate::control::{EjectionCause, ExitCause};
use crate::runtime::engine;
use crate::telemetry::upkeep::Heartbeat;

pub(super) fn write(page: &mut Page<'_>, sources: &Sources) -> fmt::Result {
    let upkeep = &sources.observer.upkeep;
    page.counters(
        "heartbeats",
        "Heartbeats of replicas, by result; unsent ones failed on this machine",
        Heartbeat::ALL.map(|result| (vec![("result", result.as_str())], upkeep.heartbeats(result))),
    )?;
    // Causes without a restart are included, so that the first one shows as an increase.
    let restarts = upkeep.restarts();
    page.counters(
        "replica_restarts",
        "Replicas started in the place of dead ones, by what those died of",
        ExitCause::ALL.map(|cause| {
            let reason = cause.as_str();
            (vec![("reason", reason)], restarts.get(reason).copied().unwrap_or(0))
        }),
    )?;
    page.counters(
        "outlier_ejections",
        "Replicas ejected for what happened to real requests, by cause",
        EjectionCause::ALL
            .iter()
            .zip(upkeep.ejections())
            .map(|(cause, n)| (vec![("cause", cause.as_str())], n)),
    )?;
    page.counter(
        "outlier_ejections_refused",
        "Replicas that were not ejected, because too few others take requests",
        upkeep.ejections_refused(),
    )?;
    page.counters(
        "outlier_trials",
        "Requests of the trials of half-open replicas, by result",
        ["passed", "failed"].iter().zip(upkeep.trials()).map(|(result, n)| (vec![("result", *result)], n)),
    )?;
    page.counter("ring_publications", "Snapshots ever published", upkeep.publications())?;
    page.counter("ring_slots_moved", "Slots that ever changed their owner", upkeep.slots_moved())?;
    let moved = "Share of all keys that changed their replica with the last publication; NaN if that cannot be told, 0 to 1";
    page.gauge("ring_keys_moved_ratio", moved, upkeep.keys_moved())?;
    page.durations("ring_build", "Time to build a ring", &upkeep.builds())?;
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
