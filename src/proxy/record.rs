//! One request as it is counted and logged. Decides nothing.
//!
//! The clock is read when the head is complete, when the response begins, and at the end; and after
//! what is rare.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, Method, Request, Uri, Version};

use super::headers::REQUEST_ID;
use super::trace;
use super::worker::Worker;
use crate::cluster::{Detour, Endpoint, Picked};
use crate::telemetry::access::Line;
use crate::telemetry::{Reason, Recorder, RequestCounters};

/// What is known of a request under way, for counters and access log.
#[derive(Debug)]
pub(crate) struct RequestRecord {
    began: Instant,
    /// Where the span begins that ends next.
    mark: Instant,
    /// Status of the response; 0 until there is one.
    status: u16,
    reason: Option<Reason>,
    /// Whether it was counted as having passed over its owner: that counts once, however often the
    /// request is tried.
    passed_over: bool,
    bytes: u64,
    /// Bytes that went to the replica through the tunnel that it has become.
    sent: Option<u64>,
    /// `X-Request-Id`.
    id: Option<HeaderValue>,
    /// Where it came from, if that is not the peer.
    client: Option<IpAddr>,
    /// Index of the pool that it goes to, once that is known.
    pool: Option<usize>,
    log: Option<Box<LogRecord>>,
}

/// What only the access log needs.
#[derive(Debug)]
struct LogRecord {
    time: SystemTime,
    method: Method,
    uri: Uri,
    version: Version,
    trace_id: Option<trace::TraceId>,
    upstream: Option<Duration>,
    connect: Option<Duration>,
    attempts: u32,
    pool: Option<Arc<str>>,
    endpoint: Option<Arc<Endpoint>>,
    slot: Option<u32>,
    spilled: bool,
}

impl RequestRecord {
    /// The record of a request whose head is complete; with what the access log needs if it is
    /// `logged`.
    pub(crate) fn begin<B>(request: &Request<B>, logged: bool) -> Self {
        let began = Instant::now();
        Self {
            began,
            mark: began,
            status: 0,
            reason: None,
            passed_over: false,
            bytes: 0,
            sent: None,
            id: if logged { request.headers().get(REQUEST_ID).cloned() } else { None },
            client: None,
            pool: None,
            log: logged.then(|| Box::new(LogRecord::of(request))),
        }
    }

    /// It has this `X-Request-Id`, and belongs to this trace.
    pub(crate) fn identify(&mut self, id: HeaderValue, trace_id: Option<trace::TraceId>) {
        self.id = Some(id);
        if let Some(log) = &mut self.log {
            log.trace_id = trace_id;
        }
    }

    /// Its `X-Request-Id`, where it has one.
    pub(crate) fn id(&self) -> Option<&HeaderValue> {
        self.id.as_ref()
    }

    /// It came from this client, through a trusted proxy.
    pub(crate) fn came_from(&mut self, client: IpAddr) {
        self.client = Some(client);
    }

    /// It goes to the pool of this index.
    pub(crate) fn goes_to(&mut self, pool: usize) {
        self.pool = Some(pool);
    }

    /// The counters of the requests that go where it goes.
    #[inline]
    pub(crate) fn counters<'a>(&self, recorder: &'a Recorder) -> &'a RequestCounters {
        recorder.requests(self.pool)
    }

    /// Its route leads to the pool of this name.
    pub(crate) fn routed(&mut self, pool: &Arc<str>) {
        if let Some(log) = &mut self.log {
            log.pool = Some(Arc::clone(pool));
        }
    }

    /// It goes to this replica.
    pub(crate) fn picked(&mut self, picked: &Picked, recorder: &Recorder) {
        if let Some(detour) = picked.detour.filter(|_| !self.passed_over) {
            self.passed_over = true;
            let counters = self.counters(recorder);
            match detour {
                Detour::Full => counters.passed_over_full(),
                Detour::Down => counters.passed_over_down(),
                Detour::Warming => counters.passed_over_warming(),
            }
        }
        if let Some(log) = &mut self.log {
            log.attempts += 1;
            log.slot = Some(picked.slot);
            log.spilled |= picked.detour == Some(Detour::Full);
            log.endpoint = Some(Arc::clone(picked.in_flight.endpoint()));
        }
    }

    /// It is tried again, from now on.
    pub(crate) fn retried(&mut self, recorder: &Recorder) {
        self.counters(recorder).retried();
        self.mark = Instant::now();
    }

    /// A connection to the replica was made.
    pub(crate) fn connected(&mut self, recorder: &Recorder) {
        let took = self.lap();
        self.counters(recorder).connected(took);
        if let Some(log) = &mut self.log {
            log.connect = Some(took);
        }
    }

    /// The head of the replica's response is there.
    pub(crate) fn upstream_responded(&mut self, endpoint: &Endpoint, status: u16, recorder: &Recorder) {
        let after = self.lap();
        endpoint.responded(status, after);
        self.counters(recorder).upstream(after);
        if let Some(log) = &mut self.log {
            log.upstream = Some(after);
        }
    }

    /// A response with this status begins.
    pub(crate) fn responds(&mut self, status: u16, recorder: &Recorder) {
        self.status = status;
        self.counters(recorder).responded(status);
    }

    /// Whether the response has a status that says that nobody could serve it.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.status, 502..=504)
    }

    /// It gets no whole response from a replica.
    pub(crate) fn failed(&mut self, reason: Reason) {
        self.reason = Some(reason);
    }

    /// The status of its response; 0 if there was none.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Why it got none, if so.
    pub(crate) fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// A part of the response's body goes out.
    pub(crate) fn sends(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// It becomes a tunnel. Its response is over, and counted: how long a tunnel is used says nothing of
    /// how fast anything was.
    pub(crate) fn becomes_tunnel(&mut self, recorder: &Recorder) {
        self.counters(recorder).ended(self.began.elapsed(), 0);
        self.sent = Some(0);
    }

    /// So many bytes pass through its tunnel: sent to the replica, and received from it.
    pub(crate) fn passes(&mut self, sent: usize, received: usize) {
        self.sent = self.sent.map(|before| before + sent as u64);
        self.bytes += received as u64;
    }

    /// Counts it, and writes its line in the access log.
    pub(crate) fn finish(&mut self, worker: &Worker, peer: SocketAddr) {
        let total = self.began.elapsed();
        let counters = self.counters(&worker.recorder);
        if self.sent.is_none() {
            counters.ended(total, self.bytes);
        }
        if let Some(reason) = self.reason {
            counters.failed(reason);
        }
        if let (Some(log), Some(access)) = (&self.log, &worker.access) {
            let client = self.client.unwrap_or_else(|| peer.ip().to_canonical());
            access.borrow_mut().write(&log.line(self, client, total));
        }
    }

    /// Counts something that was refused with `status` before it was a request, and writes its line, in
    /// which nothing is known of it.
    pub(crate) fn refused(worker: &Worker, peer: SocketAddr, status: u16, reason: Option<Reason>) {
        let counters = worker.recorder.requests(None);
        counters.responded(status);
        if let Some(reason) = reason {
            counters.failed(reason);
        }
        if let Some(access) = &worker.access {
            access.borrow_mut().write(&Line {
                time: SystemTime::now(),
                request_id: "".into(),
                trace_id: "",
                client: peer.ip().to_canonical(),
                method: "-",
                path: "-",
                version: "HTTP/1.1",
                status,
                bytes: 0,
                sent: None,
                duration: Duration::ZERO,
                upstream: None,
                connect: None,
                attempts: 0,
                pool: "",
                replica: "",
                slot: None,
                spilled: false,
                reason: reason.map_or("", Reason::code),
            });
        }
    }

    /// The time since the mark, which moves to now.
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.mark);
        self.mark = now;
        took
    }
}

impl LogRecord {
    fn of<B>(request: &Request<B>) -> Self {
        Self {
            time: SystemTime::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            trace_id: trace::of(request.headers()),
            upstream: None,
            connect: None,
            attempts: 0,
            pool: None,
            endpoint: None,
            slot: None,
            spilled: false,
        }
    }

    /// Path and query; of a `CONNECT` the authority it asks for.
    fn target(&self) -> &str {
        match (self.uri.path_and_query(), self.uri.authority()) {
            (Some(target), _) => target.as_str(),
            (None, authority) => authority.map_or("/", |authority| authority.as_str()),
        }
    }

    fn line<'a>(&'a self, record: &'a RequestRecord, client: IpAddr, duration: Duration) -> Line<'a> {
        Line {
            time: self.time,
            request_id: record.id.as_ref().map_or("".into(), |id| String::from_utf8_lossy(id.as_bytes())),
            trace_id: self.trace_id.as_ref().map_or("", trace::TraceId::as_str),
            client,
            method: self.method.as_str(),
            path: self.target(),
            version: match self.version {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            },
            status: record.status,
            bytes: record.bytes,
            sent: record.sent,
            duration,
            upstream: self.upstream,
            connect: self.connect,
            attempts: self.attempts,
            pool: self.pool.as_deref().unwrap_or_default(),
            replica: self.endpoint.as_ref().map_or("", |endpoint| &endpoint.name),
            slot: self.slot,
            spilled: self.spilled,
            reason: record.reason.map_or("", Reason::code),
        }
    }
}
