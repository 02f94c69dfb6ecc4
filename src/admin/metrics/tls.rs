//! Metrics of the TLS listener.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::page::Page;
use crate::telemetry::{Handshake, HandshakeFailure, Totals};
use crate::tls::Certificates;

pub(super) fn write(page: &mut Page<'_>, totals: &Totals, certificates: &Certificates) -> fmt::Result {
    page.counters(
        "tls_handshakes",
        "TLS sessions made with clients, by version, and whether an earlier session was resumed",
        Handshake::ALL.iter().zip(totals.handshakes).map(|(handshake, count)| {
            (vec![("version", handshake.version()), ("resumed", handshake.resumed())], count)
        }),
    )?;
    page.counters(
        "tls_handshake_failures",
        "TLS handshakes that failed, by reason",
        HandshakeFailure::ALL
            .iter()
            .zip(totals.handshake_failures)
            .map(|(failure, count)| (vec![("reason", failure.code())], count)),
    )?;
    let reports = certificates.reports();
    let since_epoch =
        |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    page.gauges(
        "tls_certificate_expiry_timestamp_seconds",
        "When a certificate in force expires, in seconds since 1970",
        reports.iter().map(|report| (vec![("certificate", &*report.source)], since_epoch(report.not_after))),
    )?;
    page.gauges(
        "tls_certificate_stale",
        "1 where the files of a certificate have become bad, so that the one before is still in force",
        reports.iter().map(|report| {
            (vec![("certificate", &*report.source)], f64::from(u8::from(report.problem.is_some())))
        }),
    )
}
