//! Metrics of the control plane.

use std::fmt;

use super::page::Page;
use crate::admin::pools::PoolView;
use crate::control::{EjectionCause, ExitCause};
use crate::telemetry::Upkeep;
use crate::telemetry::upkeep::Heartbeat;

pub(super) fn write(page: &mut Page<'_>, pools: &[PoolView]) -> fmt::Result {
    let each = |of: fn(&Upkeep) -> u64| pools.iter().map(move |pool| (pool.label(), of(&pool.upkeep)));
    let results = Heartbeat::ALL.map(Heartbeat::as_str);
    let heartbeats = "Heartbeats of replicas, by result; unsent ones failed on this machine";
    let counts = by(pools, |upkeep| Heartbeat::ALL.map(|result| upkeep.heartbeats(result)));
    page.counters_by("heartbeats", heartbeats, "result", results, counts)?;
    // Causes without a restart are included, so that the first one shows as an increase.
    let causes = ExitCause::ALL.map(ExitCause::as_str);
    let restarts = "Replicas started in the place of dead ones, by what those died of";
    let counts = by(pools, |upkeep| {
        let restarts = upkeep.restarts();
        causes.map(|cause| restarts.get(cause).copied().unwrap_or(0))
    });
    page.counters_by("replica_restarts", restarts, "reason", causes, counts)?;
    let causes = EjectionCause::ALL.map(EjectionCause::as_str);
    let ejections = "Replicas ejected for what happened to real requests, by cause";
    page.counters_by("outlier_ejections", ejections, "cause", causes, by(pools, Upkeep::ejections))?;
    let refused = "Replicas that were not ejected, because too few others take requests";
    page.counters("outlier_ejections_refused", refused, each(Upkeep::ejections_refused))?;
    let trials = "Requests of the trials of half-open replicas, by result";
    let results = ["passed", "failed"];
    page.counters_by("outlier_trials", trials, "result", results, by(pools, Upkeep::trials))?;
    page.counters("ring_publications", "Snapshots ever published", each(Upkeep::publications))?;
    page.counters("ring_slots_moved", "Slots that ever changed their owner", each(Upkeep::slots_moved))?;
    let moved = "Share of all keys that changed their replica with the last publication; NaN if that cannot be told, 0 to 1";
    let shares = pools.iter().map(|pool| (pool.label(), pool.upkeep.keys_moved()));
    page.gauges("ring_keys_moved_ratio", moved, shares)?;
    let builds = pools.iter().map(|pool| (pool.label(), pool.upkeep.builds()));
    page.durations_of("ring_build", "Time to build a ring", builds)
}

/// What `of` is for each pool.
fn by<'a, T>(
    pools: &'a [PoolView],
    of: impl Fn(&Upkeep) -> T + 'a,
) -> impl Iterator<Item = (&'a str, T)> + 'a {
    pools.iter().map(move |pool| (pool.name.as_str(), of(&pool.upkeep)))
}
