//! The audit log: one log line and one journal entry for each request to change the cluster, whatever
//! its outcome.

use std::net::SocketAddr;
use std::time::Instant;

use http::StatusCode;
use http::request::Parts;
use serde::Serialize;

use super::text::truncated;
use crate::telemetry::Journal;

/// Longest description of a request or change, in bytes; a body may have thousands of names.
const MAX_DESCRIPTION: usize = 2048;

/// The record of one request. Written when dropped, so that requests whose client left before the
/// response are included.
#[derive(Debug)]
pub(super) struct AuditRecord {
    peer: SocketAddr,
    request: String,
    /// The change, once the body is parsed.
    change: Option<String>,
    status: Option<StatusCode>,
    began: Instant,
    journal: Journal,
    /// Whether the request passed the access checks.
    admitted: bool,
}

/// The journal entry.
#[derive(Serialize)]
struct Entry<'a> {
    peer: SocketAddr,
    request: &'a str,
    change: Option<&'a str>,
    outcome: &'static str,
    status: Option<u16>,
}

impl AuditRecord {
    /// A record of a request that begins now.
    pub(super) fn begin(peer: SocketAddr, head: &Parts, journal: Journal) -> Self {
        let request = truncated(format!("{} {}", head.method, head.uri.path()), MAX_DESCRIPTION);
        Self { peer, request, change: None, status: None, began: Instant::now(), journal, admitted: false }
    }

    /// The request passed the access checks. Only then it gets a journal entry, so that other senders
    /// cannot fill the journal.
    pub(super) fn admit(&mut self) {
        self.admitted = true;
    }

    /// Adds the change that the body asks for.
    pub(super) fn set_change(&mut self, change: String) {
        self.change = Some(truncated(change, MAX_DESCRIPTION));
    }

    /// The response has this status.
    pub(super) fn finish(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for AuditRecord {
    fn drop(&mut self) {
        let outcome = match self.status {
            Some(status) if status.is_success() => "done",
            Some(_) => "refused",
            None => "the client left before the answer",
        };
        let status = self.status.map(|status| status.as_u16());
        tracing::info!(
            target: "audit",
            audit = true,
            peer = %self.peer,
            // A text, which each format of the log quotes and escapes itself, and once.
            request = self.request.as_str(),
            change = self.change.as_deref().unwrap_or("none"),
            status,
            outcome,
            duration_ms = self.began.elapsed().as_millis() as u64,
            "admin request for a change"
        );
        let (peer, request, change) = (self.peer, &*self.request, self.change.as_deref());
        if self.admitted {
            self.journal.record("change", &Entry { peer, request, change, outcome, status });
        }
    }
}
