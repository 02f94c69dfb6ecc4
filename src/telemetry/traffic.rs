//! Counters of the data plane: one set for each worker, so that counting a request takes no lock
//! and shares no cache line; who reads them adds them up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::histogram::{Durations, Histogram};
use super::{GrpcCode, Handshake, HandshakeFailure, Reason, Tally};

/// Classes of responses: `1xx` to `5xx`, by the first digit of the status, and what is none of them. A
/// client is to take such a status for a 5xx (RFC 9110, section 15); here it is told apart, because
/// no correct server sends one.
pub const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// Why a connection is closed before anything on it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedConnection {
    /// Its client has as many as it may.
    PerClient,
    /// It does not begin as the PROXY protocol says.
    ProxyProtocol,
}

impl RefusedConnection {
    /// All there are, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::PerClient, Self::ProxyProtocol];

    /// The code, which dashboards may rely on.
    pub fn code(self) -> &'static str {
        match self {
            Self::PerClient => "per-client",
            Self::ProxyProtocol => "proxy-protocol",
        }
    }
}

/// The counters of one worker.
#[derive(Debug, Default)]
struct Shard {
    responses: [Tally; CLASSES.len()],
    reasons: [Tally; Reason::ALL.len()],
    calls: [Tally; GrpcCode::ALL.len()],
    retries: Tally,
    full: Tally,
    queued: Tally,
    down: Tally,
    warming: Tally,
    accepted: Tally,
    closed: Tally,
    refused: [Tally; RefusedConnection::ALL.len()],
    http2: Tally,
    handshakes: [Tally; Handshake::ALL.len()],
    handshake_failures: [Tally; HandshakeFailure::ALL.len()],
    bytes: Tally,
    tunnels_opened: Tally,
    tunnels_closed: Tally,
    tunnel_sent: Tally,
    tunnel_received: Tally,
    total: Histogram,
    upstream: Histogram,
    connect: Histogram,
}

/// The counters of all workers.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    shards: Arc<Mutex<Vec<Arc<Shard>>>>,
    limit: Arc<AtomicU64>,
}

/// The writing end of one worker's counters. Not `Clone`: each counter has one writer.
#[derive(Debug)]
pub struct Recorder(Arc<Shard>);

impl Traffic {
    /// Counters for one more worker.
    pub fn recorder(&self) -> Recorder {
        let shard = Arc::<Shard>::default();
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&shard));
        Recorder(shard)
    }

    /// Notes how many connections of clients there may be.
    pub fn limit_connections(&self, limit: usize) {
        self.limit.store(limit as u64, Ordering::Relaxed);
    }

    /// How many connections of clients there may be, once that is known.
    pub fn connection_limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// All added up, as of now.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.iter().for_each(|shard| totals.include(shard));
        totals
    }
}

impl Recorder {
    /// A response was begun with this status.
    #[inline]
    pub fn responded(&self, status: u16) {
        // The first digit less one; what is below 100 or above 599 is in the last class.
        let class = usize::from(status / 100).wrapping_sub(1).min(CLASSES.len() - 1);
        self.0.responses[class].add(1);
    }

    /// A request is over, after `total` since its head was complete; `bytes` of its response's body
    /// went out.
    #[inline]
    pub fn ended(&self, total: Duration, bytes: u64) {
        self.0.total.record(total);
        self.0.bytes.add(bytes);
    }

    /// The head of a replica's response came `after` the request was sent.
    #[inline]
    pub fn upstream(&self, after: Duration) {
        self.0.upstream.record(after);
    }

    /// A connection to a replica took this long.
    pub fn connected(&self, took: Duration) {
        self.0.connect.record(took);
    }

    /// A request got no whole response from a replica.
    pub fn failed(&self, reason: Reason) {
        self.0.reasons[reason as usize].add(1);
    }

    /// A call of gRPC is over, with this status.
    pub fn called(&self, code: GrpcCode) {
        self.0.calls[code as usize].add(1);
    }

    /// A request is tried again.
    pub fn retried(&self) {
        self.0.retries.add(1);
    }

    /// A request waits for room at a replica.
    pub fn queued(&self) {
        self.0.queued.add(1);
    }

    /// The owner of a request's slot was passed over: it had its share of the load.
    pub fn passed_over_full(&self) {
        self.0.full.add(1);
    }

    /// The owner of a request's slot was passed over: it was down, or had failed at the request.
    pub fn passed_over_down(&self) {
        self.0.down.add(1);
    }

    /// The owner of a request's slot was passed over: it had just come.
    pub fn passed_over_warming(&self) {
        self.0.warming.add(1);
    }

    /// A client has connected.
    pub fn accepted(&self) {
        self.0.accepted.add(1);
    }

    /// It speaks HTTP/2.
    pub fn speaks_http2(&self) {
        self.0.http2.add(1);
    }

    /// It has made a TLS session.
    pub fn handshake(&self, handshake: Handshake) {
        self.0.handshakes[handshake.number()].add(1);
    }

    /// It has failed to.
    pub fn handshake_failed(&self, why: HandshakeFailure) {
        self.0.handshake_failures[why as usize].add(1);
    }

    /// Its connection has ended.
    pub fn closed(&self) {
        self.0.closed.add(1);
    }

    /// A connection is closed before anything on it is served.
    pub fn connection_refused(&self, why: RefusedConnection) {
        self.0.refused[why as usize].add(1);
    }

    /// A tunnel has begun.
    pub fn tunnel_opened(&self) {
        self.0.tunnels_opened.add(1);
    }

    /// It has ended.
    pub fn tunnel_closed(&self) {
        self.0.tunnels_closed.add(1);
    }

    /// So many bytes of a tunnel were sent to its replica, and received from it.
    pub fn tunnelled(&self, sent: usize, received: usize) {
        self.0.tunnel_sent.add(sent as u64);
        self.0.tunnel_received.add(received as u64);
    }
}

/// The counters of all workers at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// Responses begun, by class, in the order of [`CLASSES`].
    pub responses: [u64; CLASSES.len()],
    /// Requests without a whole response from a replica, in the order of [`Reason::ALL`].
    pub reasons: [u64; Reason::ALL.len()],
    /// Calls of gRPC, in the order of [`GrpcCode::ALL`].
    pub calls: [u64; GrpcCode::ALL.len()],
    /// Attempts that followed a failed one.
    pub retries: u64,
    /// Requests that have waited for room at a replica.
    pub queued: u64,
    /// Requests that passed over an owner that had its share of the load.
    pub full: u64,
    /// Requests that passed over an owner that was down, or had failed at them.
    pub down: u64,
    /// Requests that passed over an owner that had just come.
    pub warming: u64,
    /// Connections accepted from clients.
    pub accepted: u64,
    /// Those that have ended.
    pub closed: u64,
    /// Connections that were closed before anything on them was served, in the order of
    /// [`RefusedConnection::ALL`].
    pub refused: [u64; RefusedConnection::ALL.len()],
    /// Those that spoke HTTP/2.
    pub http2: u64,
    /// TLS sessions made, in the order of [`Handshake::ALL`].
    pub handshakes: [u64; Handshake::ALL.len()],
    /// TLS handshakes that failed, in the order of [`HandshakeFailure::ALL`].
    pub handshake_failures: [u64; HandshakeFailure::ALL.len()],
    /// Bytes of response bodies.
    pub bytes: u64,
    /// Tunnels ever begun.
    pub tunnels_opened: u64,
    /// Those that have ended.
    pub tunnels_closed: u64,
    /// Bytes that tunnels sent to replicas.
    pub tunnel_sent: u64,
    /// Bytes that tunnels received from replicas.
    pub tunnel_received: u64,
    /// From a request's head to the last byte of its response.
    pub total: Durations,
    /// From sending a request to the head of its response.
    pub upstream: Durations,
    /// Of connecting to replicas.
    pub connect: Durations,
}

impl Totals {
    fn include(&mut self, shard: &Shard) {
        add_up(&mut self.responses, &shard.responses);
        add_up(&mut self.reasons, &shard.reasons);
        add_up(&mut self.calls, &shard.calls);
        add_up(&mut self.handshakes, &shard.handshakes);
        add_up(&mut self.handshake_failures, &shard.handshake_failures);
        add_up(&mut self.refused, &shard.refused);
        self.retries += shard.retries.get();
        self.full += shard.full.get();
        self.queued += shard.queued.get();
        self.down += shard.down.get();
        self.warming += shard.warming.get();
        // In this order, so that no connection is counted as closed before it was accepted.
        self.closed += shard.closed.get();
        self.accepted += shard.accepted.get();
        self.http2 += shard.http2.get();
        self.bytes += shard.bytes.get();
        self.tunnels_closed += shard.tunnels_closed.get();
        self.tunnels_opened += shard.tunnels_opened.get();
        self.tunnel_sent += shard.tunnel_sent.get();
        self.tunnel_received += shard.tunnel_received.get();
        self.total.include(&shard.total);
        self.upstream.include(&shard.upstream);
        self.connect.include(&shard.connect);
    }

    /// Connections of clients that are open.
    pub fn open(&self) -> u64 {
        self.accepted.saturating_sub(self.closed)
    }

    /// Tunnels that are open.
    pub fn open_tunnels(&self) -> u64 {
        self.tunnels_opened.saturating_sub(self.tunnels_closed)
    }

    /// Responses begun, of all classes.
    pub fn responded(&self) -> u64 {
        self.responses.iter().sum()
    }

    /// Responses of the class 5xx or of none, and those of replicas that broke off.
    pub fn errors(&self) -> u64 {
        self.responses[4] + self.responses[5] + self.reasons[Reason::ResponseCut as usize]
    }
}

fn add_up(sums: &mut [u64], tallies: &[Tally]) {
    for (sum, tally) in sums.iter_mut().zip(tallies) {
        *sum += tally.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_added_up() {
        let traffic = Traffic::default();
        for recorder in [traffic.recorder(), traffic.recorder()] {
            recorder.accepted();
            recorder.responded(204);
            recorder.responded(503);
            recorder.responded(99);
            recorder.responded(600);
            recorder.failed(Reason::NoReplica);
            recorder.passed_over_full();
            recorder.ended(Duration::from_millis(3), 10);
            recorder.tunnel_opened();
            recorder.tunnel_opened();
            recorder.tunnel_closed();
            recorder.tunnelled(4, 5);
        }
        let totals = traffic.totals();
        assert_eq!(totals.responses, [0, 2, 0, 0, 2, 4], "99 and 600 are in no class of RFC 9110");
        assert_eq!(totals.reasons[Reason::NoReplica as usize], 2);
        assert_eq!((totals.responded(), totals.errors(), totals.open()), (8, 6, 2));
        assert_eq!((totals.full, totals.down, totals.bytes, totals.total.count()), (2, 0, 20, 2));
        assert_eq!((totals.tunnels_opened, totals.open_tunnels()), (4, 2));
        assert_eq!((totals.tunnel_sent, totals.tunnel_received), (8, 10));
    }

    #[test]
    fn reasons_are_numbered_in_order_and_have_codes_of_their_own() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(Reason::ALL[..index].iter().all(|other| other.code() != reason.code()));
        }
    }
}
