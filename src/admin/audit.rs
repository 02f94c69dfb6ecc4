//! One log line, and one entry of the journal, for each attempt to change the cluster, whatever
//! became of it.

use std::net::SocketAddr;
use std::time::Instant;

use http::StatusCode;
use http::request::Parts;
use serde::Serialize;

use super::text::shortened;
use crate::telemetry::Journal;

/// Longest description of one, in bytes; a body may hold thousands of names.
const MAX_DESCRIPTION: usize = 2048;

/// What is known of an attempt. Logged when dropped, so that one whose client went away before
/// the answer is not missing.
#[derive(Debug)]
pub(super) struct Attempt {
    peer: SocketAddr,
    request: String,
    /// What was asked for, once that is known.
    change: Option<String>,
    status: Option<StatusCode>,
    began: Instant,
    journal: Journal,
    /// Whether the sender may ask for anything.
    admitted: bool,
}

/// One in the journal.
#[derive(Serialize)]
struct Facts<'a> {
    peer: SocketAddr,
    request: &'a str,
    change: Option<&'a str>,
    outcome: &'static str,
    status: Option<u16>,
}

impl Attempt {
    /// An attempt that begins now.
    pub(super) fn begin(peer: SocketAddr, head: &Parts, journal: Journal) -> Self {
        let request = shortened(format!("{} {}", head.method, head.uri.path()), MAX_DESCRIPTION);
        Self { peer, request, change: None, status: None, began: Instant::now(), journal, admitted: false }
    }

    /// Its sender may ask for changes. Only then it is one for the journal: strangers must not
    /// fill that.
    pub(super) fn admit(&mut self) {
        self.admitted = true;
    }

    /// Adds what the body asks for.
    pub(super) fn asks_for(&mut self, change: String) {
        self.change = Some(shortened(change, MAX_DESCRIPTION));
    }

    /// Ends with an answer.
    pub(super) fn end(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Attempt {
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
            // Debug, because names and paths of refused requests may hold anything.
            request = ?self.request,
            change = self.change.as_deref().unwrap_or("none"),
            status,
            outcome,
            duration_ms = self.began.elapsed().as_millis() as u64,
            "admin request for a change"
        );
        let (peer, request, change) = (self.peer, &*self.request, self.change.as_deref());
        if self.admitted {
            self.journal.record("change", &Facts { peer, request, change, outcome, status });
        }
    }
}
