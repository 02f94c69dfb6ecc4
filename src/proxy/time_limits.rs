//! The time limits of the data plane, and what a deadline becomes.

use std::cell::Cell;
use std::time::Duration;

use super::ProxyConfig;

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

/// The time limits of the data plane, in milliseconds. In cells, so that a reload changes them in
/// place and each is read by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// For the head of a request.
    pub(super) header: Cell<Millis>,
    /// Between two requests.
    pub(super) keep_alive: Cell<Millis>,
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
    /// Those of `config`.
    pub(crate) fn new(config: &ProxyConfig) -> Self {
        let limits = Self::default();
        limits.set(config);
        limits
    }

    /// From now on those of `config`.
    pub(crate) fn set(&self, config: &ProxyConfig) {
        let millis = |limit: Duration| limit.as_millis().try_into().unwrap_or(Millis::MAX);
        self.header.set(millis(config.header_timeout));
        self.keep_alive.set(millis(config.keep_alive));
        self.connect.set(millis(config.connect_timeout));
        self.response.set(millis(config.response_timeout));
        self.body.set(millis(config.body_timeout));
        self.replica.set(millis(config.wait_for_replica));
        self.stream.set(millis(config.stream_timeout));
        self.room.set(millis(config.queue_timeout));
    }
}

pub(super) fn after(now: Millis, limit: Millis) -> Timer {
    Timer::At(now.saturating_add(limit))
}
