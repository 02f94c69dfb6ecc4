//! Counters of requests: one set for each pool and worker, and one for the requests of a worker that reach no pool.

use std::ops::AddAssign;
use std::time::Duration;

use super::histogram::{Durations, Histogram};
use super::{GrpcCode, Reason, Tally};

/// Classes of responses: `1xx` to `5xx`, by the first digit of the status, and what is none of them. A
/// client is to take such a status for a 5xx (RFC 9110, section 15); here it is told apart, because
/// no correct server sends one.
pub const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// The counters. Each has one writer: the worker.
#[derive(Debug, Default)]
pub struct RequestCounters {
    responses: [Tally; CLASSES.len()],
    reasons: [Tally; Reason::ALL.len()],
    calls: [Tally; GrpcCode::ALL.len()],
    retries: Tally,
    full: Tally,
    queued: Tally,
    down: Tally,
    warming: Tally,
    bytes: Tally,
    tunnels_opened: Tally,
    tunnels_closed: Tally,
    tunnel_sent: Tally,
    tunnel_received: Tally,
    total: Histogram,
    upstream: Histogram,
    connect: Histogram,
}

impl RequestCounters {
    /// A response was begun with this status.
    #[inline]
    pub fn responded(&self, status: u16) {
        // The first digit less one; what is below 100 or above 599 is in the last class.
        let class = usize::from(status / 100).wrapping_sub(1).min(CLASSES.len() - 1);
        self.responses[class].add(1);
    }

    /// A request is over, after `total` since its head was complete; `bytes` of its response's body
    /// went out.
    #[inline]
    pub fn ended(&self, total: Duration, bytes: u64) {
        self.total.record(total);
        self.bytes.add(bytes);
    }

    /// The head of a replica's response came `after` the request was sent.
    #[inline]
    pub fn upstream(&self, after: Duration) {
        self.upstream.record(after);
    }

    /// A connection to a replica took this long.
    pub fn connected(&self, took: Duration) {
        self.connect.record(took);
    }

    /// A request got no whole response from a replica.
    pub fn failed(&self, reason: Reason) {
        self.reasons[reason as usize].add(1);
    }

    /// A call of gRPC is over, with this status.
    pub fn called(&self, code: GrpcCode) {
        self.calls[code as usize].add(1);
    }

    /// A request is tried again.
    pub fn retried(&self) {
        self.retries.add(1);
    }

    /// A request waits for room at a replica.
    pub fn queued(&self) {
        self.queued.add(1);
    }

    /// The owner of a request's slot was passed over: it had its share of the load.
    pub fn passed_over_full(&self) {
        self.full.add(1);
    }

    /// The owner of a request's slot was passed over: it was down, or had failed at the request.
    pub fn passed_over_down(&self) {
        self.down.add(1);
    }

    /// The owner of a request's slot was passed over: it had just come.
    pub fn passed_over_warming(&self) {
        self.warming.add(1);
    }

    /// A tunnel has begun.
    pub fn tunnel_opened(&self) {
        self.tunnels_opened.add(1);
    }

    /// It has ended.
    pub fn tunnel_closed(&self) {
        self.tunnels_closed.add(1);
    }

    /// So many bytes of a tunnel were sent to its replica, and received from it.
    pub fn tunnelled(&self, sent: usize, received: usize) {
        self.tunnel_sent.add(sent as u64);
        self.tunnel_received.add(received as u64);
    }

    /// All of them, as of now.
    pub(super) fn totals(&self) -> RequestTotals {
        // The end of a tunnel before its beginning, so that none is counted as closed before it was opened.
        let tunnels_closed = self.tunnels_closed.get();
        RequestTotals {
            responses: self.responses.each_ref().map(Tally::get),
            reasons: self.reasons.each_ref().map(Tally::get),
            calls: self.calls.each_ref().map(Tally::get),
            retries: self.retries.get(),
            queued: self.queued.get(),
            full: self.full.get(),
            down: self.down.get(),
            warming: self.warming.get(),
            bytes: self.bytes.get(),
            tunnels_opened: self.tunnels_opened.get(),
            tunnels_closed,
            tunnel_sent: self.tunnel_sent.get(),
            tunnel_received: self.tunnel_received.get(),
            total: Durations::of(&self.total),
            upstream: Durations::of(&self.upstream),
            connect: Durations::of(&self.connect),
        }
    }
}

/// The counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RequestTotals {
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

impl RequestTotals {
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

impl AddAssign for RequestTotals {
    fn add_assign(&mut self, other: Self) {
        add_up(&mut self.responses, other.responses);
        add_up(&mut self.reasons, other.reasons);
        add_up(&mut self.calls, other.calls);
        self.retries += other.retries;
        self.queued += other.queued;
        self.full += other.full;
        self.down += other.down;
        self.warming += other.warming;
        self.bytes += other.bytes;
        self.tunnels_opened += other.tunnels_opened;
        self.tunnels_closed += other.tunnels_closed;
        self.tunnel_sent += other.tunnel_sent;
        self.tunnel_received += other.tunnel_received;
        self.total += other.total;
        self.upstream += other.upstream;
        self.connect += other.connect;
    }
}

/// Adds each to that of the same place.
pub(super) fn add_up(sums: &mut [u64], numbers: impl IntoIterator<Item = u64>) {
    for (sum, number) in sums.iter_mut().zip(numbers) {
        *sum += number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_in_order_and_have_codes_of_their_own() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(Reason::ALL[..index].iter().all(|other| other.code() != reason.code()));
        }
    }
}
