//! Metrics of the connections of clients.

use std::fmt;

use super::page::Page;
use crate::telemetry::{RefusedConnection, Totals};

pub(super) fn write(page: &mut Page<'_>, totals: &Totals, connection_limit: u64) -> fmt::Result {
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
