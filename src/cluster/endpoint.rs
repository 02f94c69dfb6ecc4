//! A replica as the data plane sees it: an address, whether it may be picked, and its counters.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam::utils::CachePadded;

use super::load::{Load, RetryPermit};

/// One incarnation of a replica. Shared by successive snapshots, so that its counters and its
/// health survive a rebuild of the ring; a replacement is a new endpoint with the old number.
#[derive(Debug)]
pub struct Endpoint {
    /// Unique among all endpoints of this process, never re-used: keys the connection pools.
    pub id: u64,
    /// Name shown to users.
    pub name: String,
    /// Number on the ring.
    pub number: u32,
    /// Where it takes requests.
    pub address: SocketAddr,
    /// What it is called, with its port: its host name where others run it, else its address.
    pub host: Arc<str>,
    load: Arc<Load>,
    /// Set once, when it drains.
    leaves: OnceLock<Instant>,
    hot: CachePadded<Hot>,
}

/// The id of the next endpoint. One counter for the process: endpoints of different pools never
/// share a connection. Relaxed: all that matters is that no two get the same.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What changes per request, on a cache line of its own.
#[derive(Debug, Default)]
struct Hot {
    /// Requests ever begun, and those of them that have ended. The difference is in flight: one
    /// counter less to change for each request than with one for that.
    begun: AtomicU64,
    ended: AtomicU64,
    /// By the first digit of the status, less one; the last for what is no status.
    responses: [AtomicU64; 6],
    /// Requests, and responses under way, that failed at it.
    failures: AtomicU64,
    down: AtomicBool,
}

impl Endpoint {
    /// An endpoint that may be picked, with all counters at zero.
    pub fn new(name: String, number: u32, address: SocketAddr, load: Arc<Load>) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let (leaves, hot) = (OnceLock::new(), CachePadded::default());
        Self { id, name, number, address, host: address.to_string().into(), load, leaves, hot }
    }

    /// The same, called `host`.
    #[must_use]
    pub fn called(mut self, host: Arc<str>) -> Self {
        self.host = host;
        self
    }

    /// Whether requests may be sent to it. Relaxed: a reader that sees the old value for some
    /// nanoseconds is a reader that came a little earlier.
    pub fn is_up(&self) -> bool {
        !self.hot.down.load(Ordering::Relaxed)
    }

    /// Lets requests go to it, or not. For the supervisor.
    pub fn set_up(&self, up: bool) {
        let was_down = self.hot.down.swap(!up, Ordering::Relaxed);
        if !up && !was_down {
            self.load.ejected();
        }
    }

    /// It is in no snapshot any more, and is stopped at this time at the latest. For the supervisor.
    pub fn leave(&self, until: Instant) {
        // It leaves once; what is still under way keeps to the first time.
        let _ = self.leaves.set(until);
    }

    /// When it is stopped at the latest, if it is to be.
    pub fn leaves(&self) -> Option<Instant> {
        self.leaves.get().copied()
    }

    /// Requests being forwarded to it at this moment.
    pub fn in_flight(&self) -> u64 {
        // Acquire pairs with the Release of `InFlight::drop`: who reads zero while draining
        // also sees everything the last request did. It also keeps the order of the two loads: what
        // has begun is read last, so that it is never less than what has ended, and a request that
        // is in flight at both loads is never missed.
        let ended = self.hot.ended.load(Ordering::Acquire);
        self.hot.begun.load(Ordering::Relaxed).saturating_sub(ended)
    }

    /// Requests ever forwarded to it.
    pub fn requests(&self) -> u64 {
        self.hot.begun.load(Ordering::Relaxed)
    }

    /// Responses it gave, by class: `1xx` to `5xx`, and those with a status outside of these.
    pub fn responses(&self) -> [u64; 6] {
        self.hot.responses.each_ref().map(|responses| responses.load(Ordering::Relaxed))
    }

    /// Counts a response with this status.
    pub fn responded(&self, status: u16) {
        // The first digit less one, and 5 for all that is below 100 or above 599.
        let class = usize::from(status / 100).wrapping_sub(1).min(5);
        self.hot.responses[class].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests, and responses under way, that failed at it.
    pub fn failures(&self) -> u64 {
        self.hot.failures.load(Ordering::Relaxed)
    }

    /// Counts one of those.
    pub fn failed(&self) {
        self.hot.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests in flight to all endpoints that share this one's [`Load`].
    pub fn total_in_flight(&self) -> u64 {
        self.load.in_flight()
    }

    /// How often one of all endpoints that share this one's [`Load`] was taken out of the choice.
    pub fn ejections(&self) -> u64 {
        self.load.ejections()
    }

    /// Takes a retry out of the budget of all endpoints that share this one's [`Load`].
    pub fn try_retry(&self) -> Option<RetryPermit> {
        self.load.try_retry()
    }

    /// Counts a request as in flight until the guard drops.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.hot.begun.fetch_add(1, Ordering::Relaxed);
        self.load.enter();
        InFlight { endpoint: Arc::clone(self) }
    }
}

/// Keeps one request counted as in flight on its endpoint.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
}

impl InFlight {
    /// Where the request goes.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.hot.ended.fetch_add(1, Ordering::Release);
        self.endpoint.load.leave();
    }
}
