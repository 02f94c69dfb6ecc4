//! The timeline of a request: which deadline holds, and what its expiry means.
//!
//! Pure: inputs come with the time, a [`Timer`] and a verdict go out. No sockets, no clock, no
//! tasks. Nothing else in the data plane sets a deadline or decides whose fault an expiry is.
//!
//! ```text
//!              ┌───────────── another attempt ─────────────┐
//!              ▼                                           │
//!  Routing ─► Connecting ─► AwaitingHead ─► Responding ─► Ended
//!     │            ▲              │              ▲          ▲
//!     │            └ AwaitingRetry┘              │          │
//!     └─► Local ────────────────────────────────────────────┘
//! ```
//!
//! Between `Routing` and `Connecting` may lie `AwaitingEnd`, `AwaitingReplica` and `AwaitingRoom`.
//!
//! A request that its replica takes for an upgrade goes from `Responding` on to `Tunnel`, and from there
//! to `Ended`, by way of `EndingTunnel` if its replica leaves.
//!
//! What happens on the client's side means:
//! - a *blocked write* (the client does not read): the replica is no longer waited for. The client
//!   has the time of a pause in a body; then its connection ends, or over HTTP/2 its stream.
//! - a *reset* of the connection, or of the stream: the request is aborted by its client, at any stage.
//! - a *half-close*: nothing ends. The client has sent all it wants to send and may still read.

pub(super) use super::time_limits::after;
pub(crate) use super::time_limits::{Limits, Millis, Timer};

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its head is complete; nothing is waited for.
    Routing,
    /// It says that it has no body, and its end is to come.
    AwaitingEnd,
    /// It is answered by the balancer itself.
    Local,
    /// A connection to a replica is being made.
    Connecting,
    /// It was handed to a connection; the head of the response is to come.
    AwaitingHead,
    /// No replica is there for it; one is about to be.
    AwaitingReplica,
    /// All replicas have as many requests as they may.
    AwaitingRoom,
    /// It is to be sent again, once the retry budget has room for it.
    AwaitingRetry,
    /// The response is on its way.
    Responding(BodyKind),
    /// It has become a tunnel.
    Tunnel,
    /// The same, whose end is set.
    EndingTunnel,
    /// It is over.
    Ended,
}

/// What the body of a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// Something that ends when it is complete.
    Plain,
    /// A stream of events, which come when they happen.
    Events,
}

/// Who a request body on its way waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    /// The client is to send more.
    Client,
    /// The replica is to take what there is.
    Replica,
    /// Nobody: all is sent, or there never was a body.
    Done,
}

/// What is known of the client's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Open,
    HalfClosed,
    /// Its connection or its stream was reset.
    Gone,
}

/// Something that happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// It is held until it ends.
    AwaitEnd,
    /// The balancer answers it itself.
    Local,
    /// There is no replica for it yet.
    AwaitReplica,
    /// All replicas have as many requests as they may.
    AwaitRoom,
    /// A connection to a replica is begun.
    Connect,
    /// It is handed to a connection.
    Sent,
    /// An attempt failed, and the retry budget is spent.
    AwaitRetry,
    /// The replica has taken all that has come of the body.
    UploadStarved,
    /// A part of the body was handed on.
    UploadFrame,
    /// The last part of the body was handed on.
    UploadEnd,
    /// The head of the response is there.
    ResponseHead(BodyKind),
    /// A part of its body was handed on.
    ResponseFrame,
    /// The client does not read, or reads again.
    ClientBlocked(bool),
    /// The client sends no more.
    ClientHalfClosed,
    /// The client's connection, or its stream, was reset.
    ClientReset,
    /// It is a call of gRPC, whose parts may pause as those of a tunnel, and which is over at this time.
    Call(Option<Millis>),
    /// It is a tunnel from now on.
    Tunnel,
    /// Bytes passed through the tunnel, either way.
    TunnelBytes,
    /// The tunnel is to end at this time.
    TunnelEnds(Millis),
    /// It is over.
    End,
}

/// What an expired deadline means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// The replica did not accept the connection.
    Connect,
    /// The replica did not take the request, or did not begin its response.
    ResponseHead,
    /// The replica's response stopped in its middle.
    ResponseBody,
    /// The client did not send the rest of its body.
    RequestBody,
    /// The client did not read its response: its connection, or its stream, is to end.
    ClientBlocked,
    /// The retry budget stayed spent.
    Retry,
    /// No replica came.
    Replica,
    /// No replica had room.
    Room,
    /// The time of the whole call is over.
    Call,
    /// Nothing came on the tunnel, from neither side.
    TunnelIdle,
    /// The replica of the tunnel leaves.
    TunnelEnds,
}

/// The timeline of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestTimeline {
    stage: Stage,
    upload: Upload,
    client: Client,
    client_blocked: bool,
    is_call: bool,
    /// When the whole of it is to be over, [`NEVER`] for most.
    ends: Millis,
}

/// Of what is not limited as a whole.
const NEVER: Millis = Millis::MAX;

impl RequestTimeline {
    /// A request whose head is complete, with a body to come or without one.
    pub(crate) fn new(has_body: bool) -> Self {
        Self {
            stage: Stage::Routing,
            upload: if has_body { Upload::Replica } else { Upload::Done },
            client: Client::Open,
            client_blocked: false,
            is_call: false,
            ends: NEVER,
        }
    }

    /// Takes in what happened at `now`.
    pub(crate) fn apply(&mut self, input: Input, now: Millis, limits: &Limits) -> Timer {
        if self.stage == Stage::Ended {
            return Timer::Keep;
        }
        if matches!(self.stage, Stage::Tunnel | Stage::EndingTunnel) {
            return self.apply_to_tunnel(input, now, limits);
        }
        match input {
            Input::AwaitEnd => self.stage = Stage::AwaitingEnd,
            Input::Local => self.stage = Stage::Local,
            Input::AwaitReplica => self.stage = Stage::AwaitingReplica,
            Input::AwaitRoom => self.stage = Stage::AwaitingRoom,
            Input::Connect => self.stage = Stage::Connecting,
            Input::Sent => self.stage = Stage::AwaitingHead,
            Input::AwaitRetry => self.stage = Stage::AwaitingRetry,
            // The pause began with the last part: it goes on.
            Input::UploadStarved => {
                if self.upload != Upload::Done {
                    self.upload = Upload::Client;
                }
                return Timer::Keep;
            }
            // A body ends once.
            Input::UploadFrame | Input::UploadEnd if self.upload == Upload::Done => return Timer::Keep,
            Input::UploadFrame => self.upload = Upload::Replica,
            Input::UploadEnd => self.upload = Upload::Done,
            Input::ResponseHead(kind) => self.stage = Stage::Responding(kind),
            Input::Tunnel => {
                self.stage = Stage::Tunnel;
                self.client_blocked = false;
            }
            // Without a tunnel they mean nothing.
            Input::TunnelBytes | Input::TunnelEnds(_) => return Timer::Keep,
            Input::ResponseFrame => {}
            Input::ClientBlocked(blocked) => self.client_blocked = blocked,
            Input::ClientHalfClosed => {
                self.client = Client::HalfClosed;
                return Timer::Keep;
            }
            Input::ClientReset => {
                self.client = Client::Gone;
                return Timer::Keep;
            }
            Input::Call(ends) => {
                self.is_call = true;
                self.ends = ends.unwrap_or(NEVER);
            }
            Input::End => self.stage = Stage::Ended,
        }
        let timer = self.limit(limits).map_or(Timer::Off, |limit| after(now, limit));
        if self.ends == NEVER { timer } else { self.within_call(timer) }
    }

    /// No limit is later than the end of the whole.
    #[cold]
    fn within_call(self, timer: Timer) -> Timer {
        match timer {
            _ if self.stage == Stage::Ended => Timer::Off,
            Timer::At(at) => Timer::At(at.min(self.ends)),
            Timer::Off | Timer::Keep => Timer::At(self.ends),
        }
    }

    /// A tunnel has no body, and who does not read is not hurried: the idle limit holds for all.
    fn apply_to_tunnel(&mut self, input: Input, now: Millis, limits: &Limits) -> Timer {
        match (self.stage, input) {
            (_, Input::End) => {
                self.stage = Stage::Ended;
                Timer::Off
            }
            (_, Input::ClientReset) => {
                self.client = Client::Gone;
                Timer::Keep
            }
            (Stage::Tunnel, Input::TunnelBytes) => after(now, limits.stream.get()),
            (Stage::Tunnel, Input::TunnelEnds(at)) => {
                self.stage = Stage::EndingTunnel;
                Timer::At(at)
            }
            _ => Timer::Keep,
        }
    }

    /// How long what is waited for may take, if that is limited.
    fn limit(self, limits: &Limits) -> Option<Millis> {
        match self.stage {
            // The end of a tunnel is set, and not counted from now.
            Stage::Ended | Stage::EndingTunnel => None,
            _ if self.client_blocked => Some(limits.body.get()),
            Stage::Routing | Stage::Local => None,
            Stage::AwaitingEnd => Some(limits.body.get()),
            Stage::AwaitingReplica => Some(limits.replica.get()),
            Stage::AwaitingRoom => Some(limits.room.get()),
            Stage::Connecting => Some(limits.connect.get()),
            Stage::AwaitingHead if self.upload != Upload::Done => Some(self.pause(limits)),
            Stage::AwaitingHead | Stage::AwaitingRetry => Some(limits.response.get()),
            // Where the upload goes on it is waited for, and its pauses are those of any body.
            Stage::Responding(BodyKind::Events) if self.upload == Upload::Done => Some(limits.stream.get()),
            Stage::Responding(_) => Some(self.pause(limits)),
            Stage::Tunnel => Some(limits.stream.get()),
        }
    }

    /// How long a part may let wait.
    fn pause(self, limits: &Limits) -> Millis {
        if self.is_call { limits.stream.get() } else { limits.body.get() }
    }

    /// What the expiry of the deadline at `now` means.
    pub(crate) fn expiry_at(self, now: Millis) -> Option<Expiry> {
        let is_over =
            self.ends <= now && !matches!(self.stage, Stage::Ended | Stage::Tunnel | Stage::EndingTunnel);
        if is_over { Some(Expiry::Call) } else { self.expiry() }
    }

    /// What the expiry of the deadline means; `None` where there is no deadline.
    pub(crate) fn expiry(self) -> Option<Expiry> {
        match self.stage {
            Stage::Ended => None,
            _ if self.client_blocked => Some(Expiry::ClientBlocked),
            Stage::Routing | Stage::Local => None,
            Stage::AwaitingEnd => Some(Expiry::RequestBody),
            Stage::AwaitingReplica => Some(Expiry::Replica),
            Stage::AwaitingRoom => Some(Expiry::Room),
            Stage::Connecting => Some(Expiry::Connect),
            Stage::AwaitingRetry => Some(Expiry::Retry),
            Stage::AwaitingHead | Stage::Responding(_) if self.upload == Upload::Client => {
                Some(Expiry::RequestBody)
            }
            Stage::AwaitingHead => Some(Expiry::ResponseHead),
            Stage::Responding(_) => Some(Expiry::ResponseBody),
            Stage::Tunnel => Some(Expiry::TunnelIdle),
            Stage::EndingTunnel => Some(Expiry::TunnelEnds),
        }
    }

    /// Whether it is over.
    pub(crate) fn is_ended(self) -> bool {
        self.stage == Stage::Ended
    }

    /// Whether the whole request body was handed on.
    pub(crate) fn is_uploaded(self) -> bool {
        self.upload == Upload::Done
    }

    /// Whether its client is known to have left.
    pub(crate) fn is_client_gone(self) -> bool {
        self.client == Client::Gone
    }

    /// Whether its client does not take what there is for it, and the request is not over.
    pub(crate) fn is_client_blocked(self) -> bool {
        self.client_blocked && self.stage != Stage::Ended
    }

    /// Whether a request that is not completed ends because its client left, and not because the
    /// balancer stops.
    pub(crate) fn is_clients_abort(self, stopping: bool) -> bool {
        !stopping || self.client == Client::Gone
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{PoolConfig, ProxyConfig};
    use super::*;
    use proptest::prelude::*;

    const CONNECT: Millis = 1_000;
    const RESPONSE: Millis = 30_000;
    const BODY: Millis = 20_000;
    const STREAM: Millis = 3_600_000;
    const REPLICA: Millis = 2_000;
    const ROOM: Millis = 1_500;
    const ENDS: Millis = 1_000_000;

    fn limits() -> Limits {
        let of_clients = ProxyConfig { body_timeout: Duration::from_millis(BODY), ..ProxyConfig::default() };
        let pool = PoolConfig {
            connect_timeout: Duration::from_millis(CONNECT),
            response_timeout: Duration::from_millis(RESPONSE),
            stream_timeout: Duration::from_millis(STREAM),
            wait_for_replica: Duration::from_millis(REPLICA),
            queue_timeout: Duration::from_millis(ROOM),
            ..PoolConfig::default()
        };
        let limits = Limits::default();
        limits.set(&pool, &of_clients);
        limits
    }

    /// The timeline after `inputs`, and the last timer, all at time 0.
    fn run(has_body: bool, inputs: &[Input]) -> (RequestTimeline, Timer) {
        let mut timeline = RequestTimeline::new(has_body);
        let mut deadline = Timer::Off;
        for input in inputs {
            match timeline.apply(*input, 0, &limits()) {
                Timer::Keep => {}
                timer => deadline = timer,
            }
        }
        (timeline, deadline)
    }

    /// Whether there is a body, the inputs, and the deadline and verdict after them.
    type Row<'a> = (bool, &'a [Input], (Timer, Option<Expiry>));

    #[test]
    fn each_stage_has_its_deadline_and_its_verdict() {
        use Input::*;
        let none = (Timer::Off, None);
        let some = |limit, expiry| (Timer::At(limit), Some(expiry));
        let table: &[Row<'_>] = &[
            (false, &[], none),
            (false, &[Local], none),
            (false, &[Local, ClientBlocked(true)], some(BODY, Expiry::ClientBlocked)),
            (false, &[Local, ClientBlocked(true), ClientBlocked(false)], none),
            (true, &[AwaitEnd], some(BODY, Expiry::RequestBody)),
            (true, &[AwaitEnd, UploadEnd, Connect], some(CONNECT, Expiry::Connect)),
            (false, &[AwaitReplica], some(REPLICA, Expiry::Replica)),
            (false, &[AwaitRoom], some(ROOM, Expiry::Room)),
            (true, &[AwaitRoom, Connect], some(CONNECT, Expiry::Connect)),
            (true, &[AwaitReplica, Connect], some(CONNECT, Expiry::Connect)),
            (false, &[Connect], some(CONNECT, Expiry::Connect)),
            (false, &[Connect, Sent], some(RESPONSE, Expiry::ResponseHead)),
            (false, &[Sent, AwaitRetry], some(RESPONSE, Expiry::Retry)),
            (false, &[Sent, ResponseHead(BodyKind::Plain)], some(BODY, Expiry::ResponseBody)),
            (false, &[Sent, ResponseHead(BodyKind::Plain), ResponseFrame], some(BODY, Expiry::ResponseBody)),
            (false, &[Sent, ResponseHead(BodyKind::Events)], some(STREAM, Expiry::ResponseBody)),
            (true, &[Sent, ResponseHead(BodyKind::Events)], some(BODY, Expiry::ResponseBody)),
            (
                false,
                &[Sent, ResponseHead(BodyKind::Plain), ClientBlocked(true)],
                some(BODY, Expiry::ClientBlocked),
            ),
            // An upload: the replica is to take it, the client to send more, then the response.
            (true, &[Sent], some(BODY, Expiry::ResponseHead)),
            (true, &[Sent, UploadStarved], some(BODY, Expiry::RequestBody)),
            (true, &[Sent, UploadStarved, UploadFrame], some(BODY, Expiry::ResponseHead)),
            (true, &[Sent, UploadFrame, UploadEnd], some(RESPONSE, Expiry::ResponseHead)),
            (true, &[Sent, UploadEnd, UploadStarved], some(RESPONSE, Expiry::ResponseHead)),
            // An early response, whose upload goes on.
            (true, &[Sent, ResponseHead(BodyKind::Plain)], some(BODY, Expiry::ResponseBody)),
            (true, &[Sent, UploadStarved, ResponseHead(BodyKind::Plain)], some(BODY, Expiry::RequestBody)),
            (true, &[Sent, ResponseHead(BodyKind::Plain), UploadEnd], some(BODY, Expiry::ResponseBody)),
            // A tunnel; those before it and behind it say nothing of it.
            (false, &[Sent, ResponseHead(BodyKind::Plain), Tunnel], some(STREAM, Expiry::TunnelIdle)),
            (false, &[ClientBlocked(true), Tunnel, ClientBlocked(true)], some(STREAM, Expiry::TunnelIdle)),
            (false, &[Tunnel, TunnelEnds(ENDS), TunnelBytes], some(ENDS, Expiry::TunnelEnds)),
            (false, &[Tunnel, TunnelEnds(ENDS), TunnelEnds(ENDS + 1)], some(ENDS, Expiry::TunnelEnds)),
            (false, &[Tunnel, TunnelEnds(ENDS), End], none),
            (false, &[Sent, TunnelEnds(ENDS), TunnelBytes], some(RESPONSE, Expiry::ResponseHead)),
            // What the client's end does changes no deadline.
            (false, &[Sent, ClientHalfClosed], some(RESPONSE, Expiry::ResponseHead)),
            (false, &[Sent, ClientReset], some(RESPONSE, Expiry::ResponseHead)),
            (true, &[Sent, End], none),
            (false, &[Sent, ResponseHead(BodyKind::Plain), End, ClientBlocked(true), UploadEnd], none),
        ];
        for (has_body, inputs, (deadline, expiry)) in table {
            let (timeline, set) = run(*has_body, inputs);
            assert_eq!((set, timeline.expiry()), (*deadline, *expiry), "{inputs:?}");
        }
    }

    #[test]
    fn a_call_has_a_time_for_the_whole_and_may_pause() {
        use Input::*;
        const ENDS: Millis = RESPONSE / 2;
        let at = |inputs: &[Input], now| {
            let (timeline, set) = run(true, inputs);
            (set, timeline.expiry_at(now))
        };
        let some = |limit, expiry| (Timer::At(limit), Some(expiry));
        assert_eq!(at(&[Call(None)], 0), (Timer::Off, None));
        assert_eq!(at(&[Call(None), Sent, UploadStarved], 0).1, Some(Expiry::RequestBody));
        assert_eq!(at(&[Call(None), Sent], 0), some(STREAM, Expiry::ResponseHead));
        assert_eq!(at(&[Call(None), Sent, UploadEnd], 0), some(RESPONSE, Expiry::ResponseHead));
        for inputs in [&[][..], &[Sent], &[Sent, UploadEnd], &[Sent, ResponseHead(BodyKind::Plain)]] {
            assert_eq!(
                at(&[&[Call(Some(ENDS))], inputs].concat(), ENDS),
                some(ENDS, Expiry::Call),
                "{inputs:?}"
            );
        }
        assert_eq!(at(&[Call(Some(STREAM)), Connect], CONNECT), some(CONNECT, Expiry::Connect));
        assert_eq!(at(&[Call(Some(ENDS)), End], ENDS), (Timer::Off, None));
    }

    #[test]
    fn a_starved_upload_does_not_extend_its_own_pause() {
        let mut timeline = RequestTimeline::new(true);
        assert_eq!(timeline.apply(Input::Sent, 0, &limits()), Timer::At(BODY));
        assert_eq!(timeline.apply(Input::UploadStarved, 5, &limits()), Timer::Keep);
        assert_eq!(timeline.apply(Input::UploadFrame, 9, &limits()), Timer::At(9 + BODY));
    }

    #[test]
    fn each_byte_of_a_tunnel_extends_its_time() {
        let (mut timeline, _) = run(false, &[Input::Sent, Input::Tunnel]);
        assert_eq!(timeline.apply(Input::TunnelBytes, 9, &limits()), Timer::At(9 + STREAM));
        assert_eq!(timeline.apply(Input::TunnelEnds(20), 10, &limits()), Timer::At(20));
        assert_eq!(timeline.apply(Input::TunnelBytes, 11, &limits()), Timer::Keep, "its end is set");
    }

    #[test]
    fn who_ended_it() {
        assert!(run(false, &[Input::Sent]).0.is_clients_abort(false));
        assert!(!run(false, &[Input::Sent]).0.is_clients_abort(true));
        assert!(run(false, &[Input::Sent, Input::ClientReset]).0.is_clients_abort(true));
        assert!(!run(false, &[Input::ClientHalfClosed]).0.is_clients_abort(true));
    }

    fn inputs() -> impl Strategy<Value = Vec<(Input, u64)>> {
        use Input::*;
        let input = prop::sample::select(vec![
            AwaitEnd,
            Local,
            AwaitReplica,
            AwaitRoom,
            Connect,
            Sent,
            AwaitRetry,
            UploadStarved,
            UploadFrame,
            UploadEnd,
            ResponseHead(BodyKind::Plain),
            ResponseHead(BodyKind::Events),
            ResponseFrame,
            ClientBlocked(true),
            ClientBlocked(false),
            ClientHalfClosed,
            ClientReset,
            Tunnel,
            TunnelBytes,
            TunnelEnds(ENDS),
            End,
        ]);
        prop::collection::vec((input, 0u64..500), 0..40)
    }

    proptest! {
        #[test]
        fn a_request_has_a_deadline_exactly_where_its_expiry_means_something(has_body: bool, inputs in inputs()) {
            let mut timeline = RequestTimeline::new(has_body);
            let (mut now, mut deadline) = (0, None);
            for (input, passed) in inputs {
                now += passed;
                let before = timeline;
                match timeline.apply(input, now, &limits()) {
                    Timer::Keep => {}
                    Timer::Off => deadline = None,
                    Timer::At(at) => {
                        prop_assert!(at >= now + CONNECT, "never in the past, never shorter than a limit");
                        deadline = Some(at);
                    }
                }
                prop_assert_eq!(deadline.is_some(), timeline.expiry().is_some(), "{:?}", timeline);
                if before.is_ended() {
                    prop_assert_eq!(timeline, before, "what comes after the end changes nothing");
                }
                prop_assert!(timeline.is_uploaded() || !before.is_uploaded(), "a body ends once");
                // The client is to blame only where it is waited for.
                if timeline.expiry() == Some(Expiry::RequestBody) {
                    prop_assert!(timeline.upload == Upload::Client || timeline.stage == Stage::AwaitingEnd);
                }
                if timeline.client_blocked && !timeline.is_ended() {
                    prop_assert_eq!(timeline.expiry(), Some(Expiry::ClientBlocked));
                }
            }
        }
    }
}
