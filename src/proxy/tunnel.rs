//! A tunnel: what a request becomes when its replica has taken the upgrade it offers. It owns both
//! streams, the request with its record, and its place among those in flight at the replica.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;

use super::pipe::{Broken, Pipe};
use super::request::{ActiveRequest, End};
use super::timeline::{Expiry, Input};
use super::transport::Transport;
use super::upstream::{Lease, UpgradedStream};
use super::worker::Worker;
use crate::cluster::InFlight;
use crate::telemetry::{Reason, RequestCounters};

/// A tunnel that begins as soon as the client's stream is free of HTTP.
#[derive(Debug)]
pub(crate) struct Tunnel {
    request: ActiveRequest,
    in_flight: InFlight,
    lease: Lease,
}

/// The sides of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Replica,
}

/// Counts a tunnel as open until it drops.
struct Open {
    worker: Rc<Worker>,
    /// Index of its pool.
    pool: usize,
}

impl Open {
    fn new(worker: Rc<Worker>, pool: usize) -> Self {
        let open = Self { worker, pool };
        open.counters().tunnel_opened();
        open
    }

    fn counters(&self) -> &RequestCounters {
        self.worker.recorder.requests(Some(self.pool))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counters().tunnel_closed();
    }
}

impl Tunnel {
    /// That of a request whose replica, at the other end of `lease`, has responded with 101.
    pub(crate) fn new(request: ActiveRequest, in_flight: InFlight, lease: Lease) -> Self {
        Self { request, in_flight, lease }
    }

    /// Passes on what comes from either side, until both have ended or one must not go on. `early` is
    /// what the client sent behind its request.
    pub(crate) async fn run<T: Transport>(self, mut client: T, early: Bytes) {
        let Self { request, in_flight, lease } = self;
        // Its connection has ended with the 101; if not so, the request ends as aborted.
        let Ok(Some(upgraded)) = request.within(pin!(lease.into_stream())).await else { return };
        let UpgradedStream { transport: mut replica, early: first } = upgraded;
        let worker = Rc::clone(&request.connection().worker);
        request.record().becomes_tunnel(&worker.recorder);
        request.on(Input::Tunnel);
        let registered = worker.tunnels.register(request.state(), in_flight.endpoint());
        let open = Open::new(Rc::clone(&worker), request.pool().index);
        let (mut up, mut down) = (Pipe::new(early), Pipe::new(first));
        let mut broken = None;
        let mut breaks = |side: Side| {
            broken.get_or_insert(side);
        };
        let ended = poll_fn(|cx| {
            let polled_up = up.poll(cx, &mut client, &mut replica);
            let polled_down = down.poll(cx, &mut replica, &mut client);
            let ((moved_up, sent), (moved_down, received)) = (up.progress(), down.progress());
            if moved_up || moved_down {
                request.on(Input::TunnelBytes);
                request.record().passes(sent, received);
                open.counters().tunnelled(sent, received);
            }
            // What can be read no more has been reset, and the other side is not to wait. What takes no
            // more may have said something before.
            let is_over = match (polled_up, polled_down) {
                (Poll::Ready(Err(Broken::Source)), _) => {
                    breaks(Side::Client);
                    true
                }
                (_, Poll::Ready(Err(Broken::Source))) => {
                    breaks(Side::Replica);
                    true
                }
                (up, down) => {
                    if up == Poll::Ready(Err(Broken::Target)) {
                        breaks(Side::Replica);
                    }
                    if down == Poll::Ready(Err(Broken::Target)) {
                        breaks(Side::Client);
                    }
                    up.is_ready() && down.is_ready()
                }
            };
            if is_over {
                return Poll::Ready(None);
            }
            request.register(cx.waker());
            request.expired().map_or(Poll::Pending, |expiry| Poll::Ready(Some(expiry)))
        })
        .await;
        let reason = match (ended, broken) {
            (Some(Expiry::TunnelEnds), _) => Some(Reason::TunnelDrained),
            (Some(_), _) => Some(Reason::TunnelIdle),
            (None, Some(Side::Client)) => Some(Reason::ClientGone),
            (None, Some(Side::Replica)) => Some(Reason::TunnelReset),
            (None, None) => None,
        };
        if let Some(reason) = reason {
            request.record().failed(reason);
        }
        // Whoever has read its line in the access log finds that it is not open any more, nor under way at its replica.
        drop((open, registered, in_flight));
        request.end(if reason.is_none() { End::Complete } else { End::Aborted });
    }
}
