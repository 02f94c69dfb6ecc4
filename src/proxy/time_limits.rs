//! The time limits of the data plane, and what a deadline becomes.

use std::cell::Cell;
use std::time::Duration;

use super::{PoolConfig, ProxyConfig};
use crate::routes::Timeouts;

/// Milliseconds since the worker started.
pub(crate) type Millis = u64;

/// What becomes of the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// It stays as it is.
    Keep,
    /// There is none.
    Off,
    /// It is at this time.
    At(Millis),
}

/// The time limits of a client's connection, in milliseconds. In cells, so that a reload changes them in
/// place and each is read by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientLimits {
    /// For the head of a request.
    pub(super) header: Cell<Millis>,
    /// Between two requests.
    pub(super) keep_alive: Cell<Millis>,
    /// For a pause within a body.
    pub(super) body: Cell<Millis>,
}

impl ClientLimits {
    /// Those of `config`.
    pub(crate) fn new(config: &ProxyConfig) -> Self {
        let limits = Self::default();
        limits.set(config);
        limits
    }

    /// From now on those of `config`.
    pub(crate) fn set(&self, config: &ProxyConfig) {
        self.header.set(millis(config.header_timeout));
        self.keep_alive.set(millis(config.keep_alive));
        self.body.set(millis(config.body_timeout));
    }
}

/// The same of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// For connecting to a replica.
    pub(super) connect: Cell<Millis>,
    /// From the end of a request to the head of its response.
    pub(super) response: Cell<Millis>,
    /// For a pause within a body.
    pub(super) body: Cell<Millis>,
    /// For a replica that is about to take requests.
    pub(super) replica: Cell<Millis>,
    /// For room at a replica.
    pub(super) room: Cell<Millis>,
    /// For a pause within a stream of events, or of a tunnel.
    pub(super) stream: Cell<Millis>,
}

impl Limits {
    /// From now on those of requests to a pool.
    pub(crate) fn set(&self, pool: &PoolConfig, of_clients: &ProxyConfig) {
        self.connect.set(millis(pool.connect_timeout));
        self.response.set(millis(pool.response_timeout));
        self.body.set(millis(of_clients.body_timeout));
        self.replica.set(millis(pool.wait_for_replica));
        self.stream.set(millis(pool.stream_timeout));
        self.room.set(millis(pool.queue_timeout));
    }

    /// The same with those of a route in their place.
    pub(crate) fn with(&self, timeouts: Timeouts) -> Self {
        let limits = self.clone();
        if let Some(response) = timeouts.response {
            limits.response.set(millis(response));
        }
        if let Some(stream) = timeouts.stream {
            limits.stream.set(millis(stream));
        }
        limits
    }
}

fn millis(limit: Duration) -> Millis {
    limit.as_millis().try_into().unwrap_or(Millis::MAX)
}

pub(super) fn after(now: Millis, limit: Millis) -> Timer {
    Timer::At(now.saturating_add(limit))
}
