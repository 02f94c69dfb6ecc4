//! TLS to replicas: made at the start, and its files read again when they change.

use serde_json::json;

use super::Error;
use super::certificates::ticking;
use crate::config::Config;
use crate::telemetry::Journal;
use crate::tls::{CertificateError, Connector};

/// What makes sessions with replicas, if they speak TLS.
///
/// # Errors
/// A file cannot be used.
pub(super) fn load(config: &Config) -> Result<Option<Connector>, Error> {
    config.upstream_tls.as_ref().map(Connector::load).transpose().map_err(Error::UpstreamTls)
}

/// Reads files again that change, for as long as the balancer runs.
pub(super) async fn watch(connector: Connector, journal: Journal) {
    let mut interval = ticking();
    loop {
        interval.tick().await;
        if let Some(outcome) = connector.refresh() {
            tell(outcome, &journal);
        }
    }
}

/// Says what came of reading the files again.
pub(super) fn tell(outcome: Result<(), CertificateError>, journal: &Journal) {
    let message = match outcome {
        Ok(()) => {
            tracing::info!("TLS to replicas: files read again");
            "TLS to replicas: files read again".to_owned()
        }
        Err(problem) => {
            tracing::error!(%problem, "TLS to replicas not reloaded: what was before stays in force");
            format!("TLS to replicas not reloaded, what was before stays in force: {problem}")
        }
    };
    journal.record("config", &json!({"message": message, "needs_restart": [], "needs_new_replicas": []}));
}
