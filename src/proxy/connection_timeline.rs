//! The timeline of a connection from a client: its deadline while no request is under way on it. Pure,
//! like that of a request.

use super::time_limits::ClientLimits;
use super::timeline::{Millis, Timer, after};

/// How long an idle connection is kept when the balancer stops: a request may be on its way, and
/// closing at once would lose it.
const LINGER: Millis = 250;

/// How long a client that goes on sending after its last response may pause, and how long it may go on.
/// The response is on its way to it meanwhile.
const UNREAD_PAUSE: Millis = 5_000;
const UNREAD_TIME: Millis = 30_000;

/// Something that happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionInput {
    /// It was accepted.
    Accepted,
    /// It speaks HTTP/2: any number of requests at a time, and between them bytes that begin none.
    Http2,
    /// Bytes came.
    BytesRead,
    /// The head of a request is complete.
    RequestBegan,
    /// A request is over; a part of the next one may have come already.
    RequestEnded {
        /// Whether it has.
        has_more: bool,
    },
    /// The client does not read, or reads again.
    WriteBlocked(bool),
    /// All responses are sent; what the client still sends is thrown away.
    Linger,
    /// Others need its place.
    Displaced,
    /// The balancer stops.
    Drain,
    /// Its time is over, and the ends of responses still wait for the client's windows (HTTP/2).
    Unsent,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// One request at a time.
    Http1,
    /// Any number of them.
    Http2,
}

/// The timeline of a connection from a client while no request is under way on it. An expired
/// deadline means that the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionTimeline {
    protocol: Protocol,
    /// Requests under way; each has a timeline of its own.
    requests: u32,
    /// Whether the head of a request has begun to come.
    in_head: bool,
    /// Whether the client does not read what there is for it.
    write_blocked: bool,
    /// Until when what the client sends is thrown away.
    lingers_until: Option<Millis>,
    draining: bool,
}

impl ConnectionTimeline {
    pub(crate) fn new() -> Self {
        Self {
            protocol: Protocol::Http1,
            requests: 0,
            in_head: false,
            write_blocked: false,
            lingers_until: None,
            draining: false,
        }
    }

    /// Takes in what happened at `now`.
    pub(crate) fn apply(&mut self, input: ConnectionInput, now: Millis, limits: &ClientLimits) -> Timer {
        if let ConnectionInput::WriteBlocked(blocked) = input {
            self.write_blocked = blocked;
        }
        if let (Some(until), ConnectionInput::BytesRead) = (self.lingers_until, input) {
            return Timer::At(now.saturating_add(self.unread_pause()).min(until));
        }
        match input {
            // Not the time of keep-alive: nobody connects to say nothing.
            ConnectionInput::Accepted => after(now, limits.header.get()),
            ConnectionInput::Http2 => {
                self.protocol = Protocol::Http2;
                Timer::Keep
            }
            // What comes in between may be anything: only a whole head is the beginning of a request. The
            // deadline of an idle connection, and that of a new one, holds until then.
            ConnectionInput::BytesRead if self.is_http2() => Timer::Keep,
            // The time of a head is set once: bytes that trickle in do not extend it. What comes
            // during a request is its body, or the beginning of the next one, whose time begins
            // when this one is over.
            ConnectionInput::BytesRead if !self.is_idle() => Timer::Keep,
            ConnectionInput::BytesRead => {
                self.in_head = true;
                self.waiting(now, limits)
            }
            ConnectionInput::RequestBegan => {
                self.requests += 1;
                self.in_head = false;
                if self.is_write_blocked_for_all() { Timer::Keep } else { Timer::Off }
            }
            ConnectionInput::RequestEnded { has_more } => {
                self.requests = self.requests.saturating_sub(1);
                self.in_head |= has_more;
                if self.requests == 0 { self.waiting(now, limits) } else { Timer::Keep }
            }
            // Here no request has the time for that, each has only that of its own window.
            ConnectionInput::WriteBlocked(blocked) if self.is_http2() && self.requests > 0 => {
                if blocked {
                    self.waiting(now, limits)
                } else {
                    Timer::Off
                }
            }
            ConnectionInput::WriteBlocked(_) if self.requests > 0 => Timer::Keep,
            ConnectionInput::WriteBlocked(_) => self.waiting(now, limits),
            ConnectionInput::Linger => {
                self.in_head = false;
                let limit = if self.draining { LINGER } else { UNREAD_TIME };
                self.lingers_until = Some(now.saturating_add(limit));
                after(now, self.unread_pause())
            }
            ConnectionInput::Displaced => {
                if self.is_idle() {
                    Timer::At(now)
                } else {
                    Timer::Keep
                }
            }
            // A pause in a body, like that of a client that does not read.
            ConnectionInput::Unsent => after(now, limits.body.get()),
            ConnectionInput::Drain if self.draining => Timer::Keep,
            ConnectionInput::Drain => {
                self.draining = true;
                if let Some(until) = &mut self.lingers_until {
                    *until = now.saturating_add(LINGER).min(*until);
                    return Timer::At(*until);
                }
                if self.is_idle() { self.waiting(now, limits) } else { Timer::Keep }
            }
        }
    }

    /// The time between two requests, or for the head of the next one. The end of a response may still be
    /// on its way to a client that reads slowly: that is a pause in a body.
    fn waiting(self, now: Millis, limits: &ClientLimits) -> Timer {
        let limit = match (self.write_blocked, self.in_head, self.draining) {
            (true, ..) => limits.body.get(),
            (false, true, _) => limits.header.get(),
            (false, false, true) => LINGER,
            (false, false, false) => limits.keep_alive.get(),
        };
        after(now, limit)
    }

    /// How long a client may pause whose bytes are thrown away.
    fn unread_pause(self) -> Millis {
        if self.draining { LINGER } else { UNREAD_PAUSE }
    }

    /// Whether no request is under way, and none has begun to come.
    pub(crate) fn is_idle(self) -> bool {
        self.requests == 0 && !self.in_head
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(self) -> bool {
        self.requests > 0
    }

    /// Whether the client does not read what there is for it.
    pub(crate) fn is_write_blocked(self) -> bool {
        self.write_blocked
    }

    /// The same, where the connection itself has the deadline for that, also with requests under way.
    fn is_write_blocked_for_all(self) -> bool {
        self.write_blocked && self.is_http2()
    }

    /// Whether it has any number of requests at a time.
    pub(crate) fn is_http2(self) -> bool {
        self.protocol == Protocol::Http2
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProxyConfig;
    use super::*;
    use std::time::Duration;

    const HEADER: Millis = 10_000;
    const KEEP_ALIVE: Millis = 60_000;
    const BODY: Millis = 20_000;

    const ENDED: ConnectionInput = ConnectionInput::RequestEnded { has_more: false };

    fn limits() -> ClientLimits {
        ClientLimits::new(&ProxyConfig {
            header_timeout: Duration::from_millis(HEADER),
            keep_alive: Duration::from_millis(KEEP_ALIVE),
            body_timeout: Duration::from_millis(BODY),
            ..ProxyConfig::default()
        })
    }

    fn connection(inputs: &[(ConnectionInput, u64)]) -> (ConnectionTimeline, Timer) {
        let mut timeline = ConnectionTimeline::new();
        let mut deadline = Timer::Off;
        for (input, now) in inputs {
            match timeline.apply(*input, *now, &limits()) {
                Timer::Keep => {}
                timer => deadline = timer,
            }
        }
        (timeline, deadline)
    }

    #[test]
    fn a_connection_has_a_deadline_while_no_request_is_under_way() {
        use ConnectionInput::*;
        let table: &[(&[(ConnectionInput, u64)], Timer)] = &[
            (&[(Accepted, 0)], Timer::At(HEADER)),
            (&[(Accepted, 0), (BytesRead, 7), (BytesRead, 9)], Timer::At(7 + HEADER)),
            (&[(Accepted, 0), (BytesRead, 7), (RequestBegan, 8)], Timer::Off),
            (&[(RequestBegan, 0), (BytesRead, 7), (WriteBlocked(true), 8)], Timer::Off),
            (&[(RequestBegan, 0), (ENDED, 5)], Timer::At(5 + KEEP_ALIVE)),
            (&[(RequestBegan, 0), (RequestBegan, 0), (ENDED, 5)], Timer::Off),
            (&[(RequestBegan, 0), (ENDED, 5), (WriteBlocked(true), 6)], Timer::At(6 + BODY)),
            (&[(RequestBegan, 0), (WriteBlocked(true), 4), (ENDED, 5)], Timer::At(5 + BODY)),
            (
                &[(RequestBegan, 0), (WriteBlocked(true), 4), (ENDED, 5), (WriteBlocked(false), 9)],
                Timer::At(9 + KEEP_ALIVE),
            ),
            (&[(RequestBegan, 0), (ENDED, 5), (BytesRead, 6)], Timer::At(6 + HEADER)),
            // A part of the next head came during the request; or while a response is blocked.
            (&[(RequestBegan, 0), (RequestEnded { has_more: true }, 5)], Timer::At(5 + HEADER)),
            (&[(RequestBegan, 0), (RequestEnded { has_more: true }, 5), (Drain, 6)], Timer::At(5 + HEADER)),
            (&[(RequestBegan, 0), (WriteBlocked(true), 1), (ENDED, 2), (BytesRead, 3)], Timer::At(3 + BODY)),
            (
                &[
                    (RequestBegan, 0),
                    (WriteBlocked(true), 1),
                    (ENDED, 2),
                    (BytesRead, 3),
                    (WriteBlocked(false), 4),
                ],
                Timer::At(4 + HEADER),
            ),
            // What comes after the last response extends the time, up to a limit.
            (&[(RequestBegan, 0), (ENDED, 5), (Linger, 6)], Timer::At(6 + UNREAD_PAUSE)),
            (&[(Linger, 6), (BytesRead, 100)], Timer::At(100 + UNREAD_PAUSE)),
            (&[(Linger, 6), (BytesRead, UNREAD_TIME)], Timer::At(6 + UNREAD_TIME)),
            (&[(Linger, 6), (Drain, 7)], Timer::At(7 + LINGER)),
            (&[(Linger, 6), (Drain, 7), (BytesRead, 100)], Timer::At(7 + LINGER)),
            (&[(Drain, 6), (Linger, 7), (BytesRead, 100)], Timer::At(7 + LINGER)),
            // Others need its place.
            (&[(RequestBegan, 0), (ENDED, 5), (Displaced, 9)], Timer::At(9)),
            (&[(Accepted, 0), (Displaced, 9), (BytesRead, 9)], Timer::At(9 + HEADER)),
            (&[(Accepted, 0), (BytesRead, 7), (Displaced, 9)], Timer::At(7 + HEADER)),
            (&[(RequestBegan, 0), (Displaced, 9)], Timer::Off),
            // A stop: an idle connection lingers, once; a busy one does so behind its request.
            (&[(Accepted, 0), (Drain, 3), (Drain, 9)], Timer::At(3 + LINGER)),
            (&[(Accepted, 0), (BytesRead, 1), (Drain, 3)], Timer::At(1 + HEADER)),
            (&[(RequestBegan, 0), (Drain, 3)], Timer::Off),
            (&[(RequestBegan, 0), (Drain, 3), (ENDED, 5)], Timer::At(5 + LINGER)),
            // HTTP/2: what comes in between extends nothing, and what is blocked is blocked for all.
            (&[(Accepted, 0), (Http2, 3), (BytesRead, 7)], Timer::At(HEADER)),
            (&[(Http2, 0), (RequestBegan, 0), (ENDED, 5), (BytesRead, 6)], Timer::At(5 + KEEP_ALIVE)),
            (&[(Http2, 0), (RequestBegan, 0), (WriteBlocked(true), 5)], Timer::At(5 + BODY)),
            (
                &[(Http2, 0), (RequestBegan, 0), (WriteBlocked(true), 5), (RequestBegan, 6)],
                Timer::At(5 + BODY),
            ),
            (&[(Http2, 0), (RequestBegan, 0), (WriteBlocked(true), 5), (WriteBlocked(false), 6)], Timer::Off),
            (&[(Http2, 0), (RequestBegan, 0), (ENDED, 5), (BytesRead, 6), (Displaced, 9)], Timer::At(9)),
            // The end of a response to a slow client is not cut off by a stop.
            (&[(RequestBegan, 0), (WriteBlocked(true), 1), (ENDED, 2), (Drain, 3)], Timer::At(3 + BODY)),
        ];
        for (inputs, deadline) in table {
            assert_eq!(connection(inputs).1, *deadline, "{inputs:?}");
        }
    }
}
