//! The certificates of the TLS listener: read at the start, and again when their files change.

use std::time::Duration;

use serde_json::json;

use super::Error;
use crate::telemetry::Journal;
use crate::tls::{Acceptor, CertificateError, TlsConfig};

/// How often the files are looked at. Polled, because what renews certificates replaces links, folders
/// or mounts, of which the kernel's notices tell one way or another.
const LOOK: Duration = Duration::from_secs(5);

/// Reads all certificates, if TLS is spoken.
///
/// # Errors
/// One cannot be used.
pub(super) fn load(config: &TlsConfig, is_spoken: bool) -> Result<Option<Acceptor>, Error> {
    if is_spoken { Ok(Acceptor::load(config)?) } else { Ok(None) }
}

/// Ticks each time that files are looked at.
pub(super) fn ticking() -> tokio::time::Interval {
    let mut interval = tokio::time::interval(LOOK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

/// Reads files again that change, for as long as the balancer runs.
pub(super) async fn watch(acceptor: Acceptor, journal: Journal) {
    let mut interval = ticking();
    loop {
        interval.tick().await;
        if let Some(problems) = acceptor.refresh() {
            tell(&acceptor, &problems, &journal);
        }
    }
}

/// Says what came of reading the files again.
pub(super) fn tell(acceptor: &Acceptor, problems: &[CertificateError], journal: &Journal) {
    for problem in problems {
        let what = if problem.is_of_staple() {
            "nothing new from the authority goes out with a certificate"
        } else {
            "certificate not reloaded, the one before stays in force"
        };
        tracing::error!(%problem, "{what}");
        let message = format!("{what}: {problem}");
        journal.record("config", &json!({"message": message, "needs_restart": [], "needs_new_replicas": []}));
    }
    if problems.is_empty() {
        let certificates = acceptor.certificates().reports().len();
        tracing::info!(certificates, "certificates read again");
        let facts =
            json!({"message": "certificates read again", "needs_restart": [], "needs_new_replicas": []});
        journal.record("config", &facts);
    }
}
