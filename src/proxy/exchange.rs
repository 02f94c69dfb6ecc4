//! One request from its head to the last byte of its answer, as it is counted and logged.
//!
//! Decides nothing. The clock is read when the head is complete, when the replica's answer begins,
//! and at the end; and after what is rare.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, Method, Request, Uri, Version};

use super::client::Client;
use super::headers::REQUEST_ID;
use super::progress::Progress;
use super::trace;
use crate::cluster::{Detour, Endpoint, Picked};
use crate::telemetry::Reason;
use crate::telemetry::access::Line;

/// A request under way. It counts when it is dropped, so that one whose client left is counted
/// like any other.
#[derive(Debug)]
pub(crate) struct Exchange {
    client: Rc<Client>,
    began: Instant,
    /// Where the span begins that ends next.
    mark: Instant,
    /// Status of the answer; 0 until there is one.
    status: u16,
    reason: Option<Reason>,
    /// Whether it was counted as having passed over its owner: however often it is tried, it does
    /// so once.
    passed_over: bool,
    /// Whether the answer went out to its end, as far as it was made here.
    whole: bool,
    bytes: u64,
    /// For the access log.
    record: Option<Box<Record>>,
}

/// What only the access log wants to know.
#[derive(Debug)]
struct Record {
    time: SystemTime,
    method: Method,
    uri: Uri,
    version: Version,
    id: Option<HeaderValue>,
    trace_id: Option<trace::TraceId>,
    upstream: Option<Duration>,
    connect: Option<Duration>,
    attempts: u32,
    endpoint: Option<Arc<Endpoint>>,
    slot: Option<u32>,
    spilled: bool,
}

impl Exchange {
    /// A request whose head is complete.
    pub(crate) fn begin<B>(client: Rc<Client>, request: &Request<B>) -> Self {
        let began = Instant::now();
        let record = client.worker.access.is_some().then(|| Box::new(Record::of(request)));
        Self {
            client,
            began,
            mark: began,
            status: 0,
            reason: None,
            passed_over: false,
            whole: false,
            bytes: 0,
            record,
        }
    }

    /// Who sent it.
    pub(crate) fn client(&self) -> &Rc<Client> {
        &self.client
    }

    /// How its connection is getting on.
    pub(crate) fn progress(&self) -> &Rc<Progress> {
        &self.client.progress
    }

    /// It has this `X-Request-Id`, and belongs to this trace.
    pub(crate) fn named(&mut self, id: &HeaderValue, trace_id: Option<trace::TraceId>) {
        if let Some(record) = &mut self.record {
            record.id = Some(id.clone());
            record.trace_id = trace_id;
        }
    }

    /// It goes to this replica.
    pub(crate) fn picked(&mut self, picked: &Picked) {
        if let Some(detour) = picked.detour.filter(|_| !self.passed_over) {
            self.passed_over = true;
            match detour {
                Detour::Full => self.client.worker.recorder.passed_over_full(),
                Detour::Down => self.client.worker.recorder.passed_over_down(),
            }
        }
        if let Some(record) = &mut self.record {
            record.attempts += 1;
            record.slot = Some(picked.slot);
            record.spilled |= picked.detour == Some(Detour::Full);
            record.endpoint = Some(Arc::clone(picked.in_flight.endpoint()));
        }
    }

    /// It is tried again, from now on.
    pub(crate) fn retried(&mut self) {
        self.client.worker.recorder.retried();
        self.mark = Instant::now();
    }

    /// A connection to the replica was made.
    pub(crate) fn connected(&mut self) {
        let took = self.lap();
        self.client.worker.recorder.connected(took);
        if let Some(record) = &mut self.record {
            record.connect = Some(took);
        }
    }

    /// The head of the replica's answer is there.
    pub(crate) fn answered_by(&mut self, endpoint: &Endpoint, status: u16) {
        let after = self.lap();
        endpoint.answered(status);
        self.client.worker.recorder.upstream(after);
        if let Some(record) = &mut self.record {
            record.upstream = Some(after);
        }
    }

    /// An answer with this status begins.
    pub(crate) fn answers(&mut self, status: u16) {
        self.status = status;
        self.client.worker.recorder.answered(status);
    }

    /// It gets no whole answer from a replica.
    pub(crate) fn failed(&mut self, reason: Reason) {
        self.reason = Some(reason);
    }

    /// A part of the body goes out.
    pub(crate) fn sends(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The answer is out to its last byte.
    pub(crate) fn complete(&mut self) {
        self.whole = true;
    }

    /// The time since the mark, which moves to now.
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.mark);
        self.mark = now;
        took
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let total = self.began.elapsed();
        let worker = &self.client.worker;
        if !self.whole && self.reason.is_none() {
            // What is still under way when the time for a stop is over is cut off by us.
            self.reason = Some(if worker.is_closing() { Reason::Stopped } else { Reason::ClientGone });
        }
        worker.recorder.ended(total, self.bytes);
        if let Some(reason) = self.reason {
            worker.recorder.failed(reason);
        }
        if let (Some(record), Some(access)) = (&self.record, &worker.access) {
            let client = self.client.peer.ip().to_canonical();
            access.borrow_mut().write(&record.line(client, self, total));
        }
        self.client.progress.request_ended();
    }
}

impl Record {
    fn of<B>(request: &Request<B>) -> Self {
        Self {
            time: SystemTime::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            id: request.headers().get(REQUEST_ID).cloned(),
            trace_id: trace::of(request.headers()),
            upstream: None,
            connect: None,
            attempts: 0,
            endpoint: None,
            slot: None,
            spilled: false,
        }
    }

    /// Path and query; of a `CONNECT` whom it asks for.
    fn target(&self) -> &str {
        match (self.uri.path_and_query(), self.uri.authority()) {
            (Some(target), _) => target.as_str(),
            (None, authority) => authority.map_or("/", |authority| authority.as_str()),
        }
    }

    fn line<'a>(&'a self, client: IpAddr, exchange: &Exchange, duration: Duration) -> Line<'a> {
        Line {
            time: self.time,
            request_id: self.id.as_ref().map_or("".into(), |id| String::from_utf8_lossy(id.as_bytes())),
            trace_id: self.trace_id.as_ref().map_or("", trace::TraceId::as_str),
            client,
            method: self.method.as_str(),
            path: self.target(),
            version: if self.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
            status: exchange.status,
            bytes: exchange.bytes,
            duration,
            upstream: self.upstream,
            connect: self.connect,
            attempts: self.attempts,
            replica: self.endpoint.as_ref().map_or("", |endpoint| &endpoint.name),
            slot: self.slot,
            spilled: self.spilled,
            reason: exchange.reason.map_or("", Reason::code),
        }
    }
}
