//! Metrics of the data plane.

use std::fmt;

use super::page::Page;
use crate::admin::pools::PoolView;
use crate::cluster::Load;
use crate::telemetry::traffic::{CLASSES, RefusedConnection};
use crate::telemetry::{GrpcCode, Reason, Totals};

pub(super) fn write(
    page: &mut Page<'_>,
    totals: &Totals,
    connection_limit: u64,
    pools: &[PoolView],
) -> fmt::Result {
    let of_pools = |page: &mut Page<'_>, name: &str, help: &str, value: fn(&Load) -> u64| {
        page.gauges(name, help, pools.iter().map(|pool| (pool.label(), value(&pool.view.load) as f64)))
    };
    page.counters(
        "requests",
        "Responses begun on the public listener, by class of status",
        CLASSES.iter().zip(totals.responses).map(|(class, count)| (vec![("class", *class)], count)),
    )?;
    page.counters(
        "request_failures",
        "Requests without a whole response from a replica, by reason",
        Reason::ALL
            .iter()
            .zip(totals.reasons)
            .map(|(reason, count)| (vec![("reason", reason.code())], count)),
    )?;
    page.counters(
        "grpc_requests",
        "Calls of gRPC that are over, by status",
        GrpcCode::ALL.iter().zip(totals.calls).map(|(code, count)| (vec![("code", code.name())], count)),
    )?;
    let total = "Time from the head of a request to the last byte of its response";
    page.durations("request_duration", total, &totals.total)?;
    let upstream = "Time from sending a request to the head of the replica's response";
    page.durations("upstream_duration", upstream, &totals.upstream)?;
    page.durations("connect_duration", "Time to connect to a replica", &totals.connect)?;
    page.counter("response_body_bytes", "Bytes of the bodies of responses", totals.bytes)?;
    of_pools(page, "requests_in_flight", "Requests that are being forwarded to replicas", Load::in_flight)?;
    page.counter("retries", "Attempts at a request after one that failed", totals.retries)?;
    of_pools(page, "retries_in_flight", "Retries that are under way", Load::retries)?;
    let allowed = "Retries that may be under way: the budget";
    of_pools(page, "retries_allowed", allowed, Load::retries_allowed)?;
    let waiting = "Requests that wait for room at a replica (--max-requests-per-replica)";
    of_pools(page, "requests_queued", waiting, Load::queued)?;
    page.counter("queued_requests", "Requests that have ever waited for room at a replica", totals.queued)?;
    page.counters(
        "spills",
        "Requests that passed over the owner of their slot, by what it was: full (bounded load, or its cap), down, or warming (slow start)",
        [(vec![("owner", "full")], totals.full), (vec![("owner", "down")], totals.down), (vec![("owner", "warming")], totals.warming)],
    )?;
    page.gauge("tunnels", "Tunnels of upgraded requests that are open", totals.open_tunnels() as f64)?;
    page.counter("tunnels_opened", "Tunnels of upgraded requests ever opened", totals.tunnels_opened)?;
    page.counters(
        "tunnel_bytes",
        "Bytes that passed through tunnels, by where they went: to the replica or to the client",
        [(vec![("to", "replica")], totals.tunnel_sent), (vec![("to", "client")], totals.tunnel_received)],
    )?;
    page.gauge("connections", "Connections of clients that are open", totals.open() as f64)?;
    let limit = "Connections of clients that there may be; more wait to be accepted";
    page.gauge("connections_max", limit, connection_limit as f64)?;
    page.counter("connections_accepted", "Connections of clients ever accepted", totals.accepted)?;
    page.counters(
        "connections_refused",
        "Connections closed before anything on them was served, by reason",
        RefusedConnection::ALL
            .iter()
            .zip(totals.refused)
            .map(|(why, count)| (vec![("reason", why.code())], count)),
    )?;
    page.counter("connections_http2", "Connections of clients that spoke HTTP/2", totals.http2)
}
