//! Counters of the data plane: one set for each worker, so that counting a request takes no lock
//! and shares no cache line; who reads them adds them up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::requests::{RequestCounters, RequestTotals, add_up};
use super::{Handshake, HandshakeFailure, Tally};

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
#[derive(Debug)]
struct Shard {
    /// Of the requests that reach no pool, and then of those of each pool.
    requests: Box<[RequestCounters]>,
    accepted: Tally,
    closed: Tally,
    refused: [Tally; RefusedConnection::ALL.len()],
    http2: Tally,
    handshakes: [Tally; Handshake::ALL.len()],
    handshake_failures: [Tally; HandshakeFailure::ALL.len()],
}

/// The counters of all workers.
#[derive(Clone, Debug)]
pub struct Traffic {
    pools: usize,
    shards: Arc<Mutex<Vec<Arc<Shard>>>>,
    limit: Arc<AtomicU64>,
}

/// The writing end of one worker's counters. Not `Clone`: each counter has one writer.
#[derive(Debug)]
pub struct Recorder(Arc<Shard>);

impl Default for Traffic {
    /// For the one pool that there is without others.
    fn default() -> Self {
        Self::of_pools(1)
    }
}

impl Traffic {
    /// Counters for so many pools.
    pub fn of_pools(pools: usize) -> Self {
        Self { pools, shards: Arc::default(), limit: Arc::default() }
    }

    /// Counters for one more worker.
    pub fn recorder(&self) -> Recorder {
        let shard = Arc::new(Shard::of_pools(self.pools));
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
        let mut totals = Totals { pools: vec![RequestTotals::default(); self.pools], ..Totals::default() };
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.iter().for_each(|shard| totals.include(shard));
        totals
    }
}

impl Shard {
    fn of_pools(pools: usize) -> Self {
        Self {
            requests: (0..=pools).map(|_| RequestCounters::default()).collect(),
            accepted: Tally::default(),
            closed: Tally::default(),
            refused: Default::default(),
            http2: Tally::default(),
            handshakes: Default::default(),
            handshake_failures: Default::default(),
        }
    }
}

impl Recorder {
    /// Those of the requests of the pool of this index; of those that reach no pool without one.
    #[inline]
    pub fn requests(&self, pool: Option<usize>) -> &RequestCounters {
        let index = pool.map_or(0, |pool| pool + 1);
        self.0.requests.get(index).unwrap_or(&self.0.requests[0])
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
}

/// The counters of all workers at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// Those of requests that reached no pool.
    pub no_pool: RequestTotals,
    /// Those of the requests of each pool.
    pub pools: Vec<RequestTotals>,
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
}

impl Totals {
    fn include(&mut self, shard: &Shard) {
        let parts = std::iter::once(&mut self.no_pool).chain(&mut self.pools);
        parts.zip(&shard.requests).for_each(|(part, counters)| *part += counters.totals());
        add_up(&mut self.handshakes, shard.handshakes.iter().map(Tally::get));
        add_up(&mut self.handshake_failures, shard.handshake_failures.iter().map(Tally::get));
        add_up(&mut self.refused, shard.refused.iter().map(Tally::get));
        // In this order, so that no connection is counted as closed before it was accepted.
        self.closed += shard.closed.get();
        self.accepted += shard.accepted.get();
        self.http2 += shard.http2.get();
    }

    /// Those of all requests.
    pub fn all(&self) -> RequestTotals {
        let mut all = self.no_pool.clone();
        self.pools.iter().for_each(|pool| all += pool.clone());
        all
    }

    /// Connections of clients that are open.
    pub fn open(&self) -> u64 {
        self.accepted.saturating_sub(self.closed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::Reason;

    #[test]
    fn workers_are_added_up() {
        let traffic = Traffic::of_pools(2);
        for recorder in [traffic.recorder(), traffic.recorder()] {
            recorder.accepted();
            let first = recorder.requests(Some(0));
            first.responded(204);
            first.responded(503);
            first.responded(99);
            first.responded(600);
            first.failed(Reason::NoReplica);
            first.passed_over_full();
            first.ended(Duration::from_millis(3), 10);
            first.tunnel_opened();
            first.tunnel_opened();
            first.tunnel_closed();
            first.tunnelled(4, 5);
            recorder.requests(Some(1)).responded(301);
            recorder.requests(None).responded(404);
        }
        let totals = traffic.totals();
        let first = &totals.pools[0];
        assert_eq!(first.responses, [0, 2, 0, 0, 2, 4], "99 and 600 are in no class of RFC 9110");
        assert_eq!(first.reasons[Reason::NoReplica as usize], 2);
        assert_eq!((first.responded(), first.errors(), totals.open()), (8, 6, 2));
        assert_eq!((first.full, first.down, first.bytes, first.total.count()), (2, 0, 20, 2));
        assert_eq!((first.tunnels_opened, first.open_tunnels()), (4, 2));
        assert_eq!((first.tunnel_sent, first.tunnel_received), (8, 10));
        assert_eq!((totals.pools[1].responses[2], totals.no_pool.responses[3]), (2, 2));
        let all = totals.all();
        assert_eq!((all.responses, all.total.count()), ([0, 2, 2, 2, 2, 4], 2));
    }
}
