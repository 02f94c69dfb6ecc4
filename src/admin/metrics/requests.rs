//! Metrics of the data plane.

use std::fmt;

use super::page::{Labels, Page};
use crate::admin::pools::PoolView;
use crate::cluster::Load;
use crate::telemetry::requests::CLASSES;
use crate::telemetry::{GrpcCode, Reason, RequestTotals, Totals};

/// What was counted, by pools.
pub(super) struct Requests<'a> {
    pools: &'a [PoolView],
    /// Of requests that reached no pool, which have an empty label.
    of_none: &'a RequestTotals,
    of_pools: Vec<(&'a str, &'a RequestTotals)>,
}

impl<'a> Requests<'a> {
    pub(super) fn new(totals: &'a Totals, pools: &'a [PoolView]) -> Self {
        let of_pools = pools.iter().map(|pool| pool.name.as_str()).zip(&totals.pools).collect();
        Self { pools, of_none: &totals.no_pool, of_pools }
    }

    pub(super) fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "Responses begun on the public listener, by class of status";
        page.counters_by("requests", help, "class", CLASSES, self.all(|totals| totals.responses))?;
        let codes: [_; Reason::ALL.len()] = std::array::from_fn(|index| Reason::ALL[index].code());
        let help = "Requests without a whole response from a replica, by reason";
        page.counters_by("request_failures", help, "reason", codes, self.all(|totals| totals.reasons))?;
        let codes: [_; GrpcCode::ALL.len()] = std::array::from_fn(|index| GrpcCode::ALL[index].name());
        let help = "Calls of gRPC that are over, by status";
        page.counters_by("grpc_requests", help, "code", codes, self.all(|totals| totals.calls))?;
        let help = "Time from the head of a request to the last byte of its response";
        page.durations_of("request_duration", help, self.all(|totals| &totals.total).map(labelled))?;
        let help = "Time from sending a request to the head of the replica's response";
        page.durations_of("upstream_duration", help, self.each(|totals| &totals.upstream).map(labelled))?;
        let connect = self.each(|totals| &totals.connect).map(labelled);
        page.durations_of("connect_duration", "Time to connect to a replica", connect)?;
        let bytes = self.all(|totals| totals.bytes).map(labelled);
        page.counters("response_body_bytes", "Bytes of the bodies of responses", bytes)?;
        let help = "Requests that are being forwarded to replicas";
        page.gauges("requests_in_flight", help, self.now(Load::in_flight))?;
        let help = "Attempts at a request after one that failed";
        page.counters("retries", help, self.each(|totals| totals.retries).map(labelled))?;
        page.gauges("retries_in_flight", "Retries that are under way", self.now(Load::retries))?;
        let help = "Retries that may be under way: the budget";
        page.gauges("retries_allowed", help, self.now(Load::retries_allowed))?;
        let help = "Requests that wait for room at a replica (--max-requests-per-replica)";
        page.gauges("requests_queued", help, self.now(Load::queued))?;
        let help = "Requests that have ever waited for room at a replica";
        page.counters("queued_requests", help, self.each(|totals| totals.queued).map(labelled))?;
        let owners = ["full", "down", "warming"];
        let spills = self.each(|totals| [totals.full, totals.down, totals.warming]);
        let help = "Requests that passed over the owner of their slot, by what it was: full (bounded load, or its cap), down, or warming (slow start)";
        page.counters_by("spills", help, "owner", owners, spills)?;
        let open = self.each(|totals| totals.open_tunnels() as f64).map(labelled);
        page.gauges("tunnels", "Tunnels of upgraded requests that are open", open)?;
        let opened = self.each(|totals| totals.tunnels_opened).map(labelled);
        page.counters("tunnels_opened", "Tunnels of upgraded requests ever opened", opened)?;
        let bytes = self.each(|totals| [totals.tunnel_sent, totals.tunnel_received]);
        let help = "Bytes that passed through tunnels, by where they went: to the replica or to the client";
        page.counters_by("tunnel_bytes", help, "to", ["replica", "client"], bytes)
    }

    /// What `of` is for each pool.
    fn each<T>(&self, of: impl Fn(&'a RequestTotals) -> T) -> impl Iterator<Item = (&'a str, T)> {
        self.of_pools.iter().map(move |&(pool, totals)| (pool, of(totals)))
    }

    /// The same, and before it what it is for requests that reached no pool.
    fn all<T>(&self, of: impl Fn(&'a RequestTotals) -> T) -> impl Iterator<Item = (&'a str, T)> {
        std::iter::once(("", of(self.of_none))).chain(self.each(of))
    }

    /// How it is now in each pool.
    fn now(&self, value: fn(&Load) -> u64) -> impl Iterator<Item = (Labels<'a>, f64)> {
        self.pools.iter().map(move |pool| (pool.label(), value(&pool.view.load) as f64))
    }
}

/// A value with the label of its pool.
fn labelled<T>((pool, value): (&str, T)) -> (Labels<'_>, T) {
    (vec![("pool", pool)], value)
}
