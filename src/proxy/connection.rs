//! A connection from a client: its transport, its peer, and its deadline while no request is under
//! way on it. It has any number of requests, one after another or at a time; each has a deadline of
//! its own.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::HeaderValue;
use hyper::rt::Write as _;
use hyper::service::service_fn;

use super::address_text::AddressText;
use super::clock::Deadline;
use super::connection_timeline::{ConnectionInput, ConnectionTimeline};
use super::dormant::{self, DORMANT_AFTER, Dormancy, Woken};
use super::interim::Outbox;
use super::newcomers::{Newcomer, Newcomers};
use super::quiet::QuietWaker;
use super::request::RequestState;
use super::timeline::{Input, Millis};
use super::transport::{ClientStream, Transport};
use super::tunnel::Tunnel;
use super::worker::Worker;
use super::{forwarding, http2, service};
use crate::listen::proxy_protocol::Header;
use crate::listen::{Linger, ReadState};
use crate::ring;
use crate::tls::Session;

/// The two ends of a connection, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    /// Where it has come to, where somebody is told.
    pub(crate) local: Option<SocketAddr>,
}

impl From<SocketAddr> for Ends {
    fn from(peer: SocketAddr) -> Self {
        Self { peer, local: None }
    }
}

/// What the requests on a connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) peer: SocketAddr,
    /// Where it has come to, where somebody is told.
    local: Option<SocketAddr>,
    /// What was agreed with the client, if it speaks TLS.
    pub(crate) tls: Option<Session>,
    /// Whether the peer is a proxy whose word on its clients is taken.
    pub(crate) is_trusted: bool,
    /// The peer's address as text, made once: it goes into `X-Forwarded-For` of each request.
    pub(crate) address_text: HeaderValue,
    /// The same as a routing key.
    pub(crate) address_key: u64,
    deadline: Rc<Deadline>,
    timeline: Cell<ConnectionTimeline>,
    /// When it was last busy.
    idle_since: Cell<Millis>,
    /// Its index among the worker's clients.
    place: Cell<usize>,
    /// Whether a part of a response may not have been sent yet.
    unflushed: Cell<bool>,
    /// Whether a response was sent before its request had come.
    has_unread: Cell<bool>,
    /// Whether it ends behind a response, whatever comes behind that: it refuses an upgrade, or is the last.
    refused: Cell<bool>,
    /// How many requests it may still have.
    left: Cell<u64>,
    /// Those who have something for a client that does not read.
    parked: RefCell<Vec<Waker>>,
    /// The requests under way.
    requests: RefCell<Vec<Rc<RequestState>>>,
    /// What it, or a stream of it, becomes when the response under way is sent.
    tunnel: RefCell<Option<Box<Tunnel>>>,
    dormancy: Cell<Dormancy>,
    /// Interim responses that wait to be sent.
    pub(crate) outbox: Outbox,
    seen: ReadState,
}

impl Connection {
    fn new(worker: Rc<Worker>, ends: Ends, tls: Option<Session>, seen: ReadState) -> Rc<Self> {
        let Ends { peer, local } = ends;
        let text = AddressText::of(peer.ip().to_canonical());
        let text = text.as_bytes();
        let is_trusted = forwarding::is_trusted(peer.ip(), &worker.config().trusted_proxies);
        let now = worker.clock.now();
        let left = worker.config().max_requests_per_connection.unwrap_or(u64::MAX);
        let connection = Self {
            deadline: worker.clock.deadline(),
            is_trusted,
            worker,
            peer,
            local,
            tls,
            address_key: ring::request_id(text),
            address_text: HeaderValue::from_bytes(text).expect("an address is a header value"),
            timeline: Cell::new(ConnectionTimeline::new()),
            idle_since: Cell::new(now),
            place: Cell::new(0),
            unflushed: Cell::new(false),
            has_unread: Cell::new(false),
            refused: Cell::new(false),
            left: Cell::new(left),
            parked: RefCell::default(),
            requests: RefCell::default(),
            tunnel: RefCell::default(),
            dormancy: Cell::new(Dormancy::Awake),
            outbox: Outbox::default(),
            seen,
        };
        connection.on(ConnectionInput::Accepted);
        Rc::new(connection)
    }

    /// Takes in what happened to it.
    pub(super) fn on(&self, input: ConnectionInput) {
        let mut timeline = self.timeline.get();
        let clock = &self.worker.clock;
        self.deadline.set(timeline.apply(input, clock.next_tick(), &self.worker.limits));
        self.timeline.set(timeline);
    }

    /// Bytes came from the client.
    pub(crate) fn bytes_read(&self) {
        self.on(ConnectionInput::BytesRead);
    }

    /// All that there was for the client is sent.
    pub(crate) fn flushed(&self) {
        self.unflushed.set(false);
    }

    /// Whether nothing that is sent now belongs to a request: hyper refuses what came.
    pub(crate) fn is_refusing(&self) -> bool {
        !self.timeline.get().is_busy() && !self.unflushed.get()
    }

    /// The client does not read, or reads again.
    pub(crate) fn write_blocked(&self, blocked: bool) {
        self.on(ConnectionInput::WriteBlocked(blocked));
        if !blocked {
            self.parked.borrow_mut().drain(..).for_each(Waker::wake);
        }
        // Over HTTP/2 each has a window of its own, and what it waits for it hears from its body.
        if !self.is_http2() {
            self.tell(Input::ClientBlocked(blocked));
        }
    }

    /// Has `waker` woken when the client reads again.
    pub(crate) fn wake_when_unblocked(&self, waker: &Waker) {
        let mut parked = self.parked.borrow_mut();
        if !parked.iter().any(|other| other.will_wake(waker)) {
            parked.push(waker.clone());
        }
    }

    /// The client sends no more.
    pub(crate) fn half_closed(&self) {
        self.tell(Input::ClientHalfClosed);
    }

    /// The client's connection was reset.
    pub(crate) fn reset(&self) {
        self.tell(Input::ClientReset);
    }

    fn tell(&self, input: Input) {
        self.requests.borrow().iter().for_each(|request| request.on(input));
    }

    /// A request is under way on it.
    pub(crate) fn begin(&self, request: Rc<RequestState>) {
        self.on(ConnectionInput::RequestBegan);
        self.left.set(self.left.get().saturating_sub(1));
        let timeline = self.timeline.get();
        if timeline.is_write_blocked() && !timeline.is_http2() {
            request.on(Input::ClientBlocked(true));
        }
        self.requests.borrow_mut().push(request);
    }

    /// It is over.
    pub(crate) fn end(&self, request: &Rc<RequestState>) {
        let is_uploaded = request.is_uploaded();
        self.has_unread.set(!is_uploaded || self.refused.get());
        let mut requests = self.requests.borrow_mut();
        if let Some(index) = requests.iter().position(|other| Rc::ptr_eq(other, request)) {
            requests.swap_remove(index);
        }
        drop(requests);
        let has_more = self.seen.message_ended(request.body_length().filter(|_| is_uploaded));
        self.unflushed.set(true);
        self.idle_since.set(self.worker.clock.now());
        self.on(ConnectionInput::RequestEnded { has_more });
    }

    /// It becomes this tunnel as soon as the response with 101 is sent; over HTTP/2 one of its streams does.
    pub(crate) fn becomes(&self, tunnel: Tunnel) {
        self.tunnel.replace(Some(Box::new(tunnel)));
    }

    /// What it was to become.
    pub(super) fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        self.tunnel.take()
    }

    /// What a replica is told of it by the PROXY protocol.
    #[cold]
    pub(crate) fn header(&self) -> Header {
        self.local.map_or(Header::local(), |local| Header::of(self.peer, local))
    }

    /// Whether it may have no more requests than it had.
    pub(crate) fn is_used_up(&self) -> bool {
        self.left.get() == 0
    }

    /// It ends behind the response under way, behind which more may come.
    pub(crate) fn ends_behind_response(&self) {
        self.refused.set(true);
    }

    /// Whether a request under way offers an upgrade.
    fn is_offering_upgrade(&self) -> bool {
        self.requests.borrow().iter().any(|request| request.is_offering_upgrade())
    }

    /// Closes it so that its last response arrives, see [`Linger`].
    async fn linger<T: Transport>(&self, stream: ClientStream<T>) {
        let mut linger = Linger::new(stream);
        self.on(ConnectionInput::Linger);
        poll_fn(|cx| {
            self.deadline.register(cx.waker());
            if self.worker.is_closing() {
                self.on(ConnectionInput::Drain);
            }
            if self.deadline.is_expired() { Poll::Ready(()) } else { linger.poll(cx) }
        })
        .await;
    }

    /// hyper has ended it.
    fn ended(&self, outcome: hyper::Result<()>) -> Pause {
        let Err(error) = outcome else { return Pause::Complete };
        self.tunnel.take();
        if error.is_user() && self.tls.is_some() {
            return Pause::Broken;
        }
        // What is no request is answered too, and more of it may come.
        self.has_unread.set(self.has_unread.get() || error.is_parse());
        Pause::Complete
    }

    /// Whether its client sends no more.
    pub(super) fn is_at_end(&self) -> bool {
        self.seen.is_at_end()
    }

    /// Whether a request line came on it that is not valid, see [`crate::listen::TargetGuard`].
    pub(crate) fn has_invalid_target(&self) -> bool {
        self.seen.has_invalid_target()
    }

    /// Whether its client speaks TLS to a port that does not.
    pub(crate) fn began_with_tls(&self) -> bool {
        self.seen.began_with_tls()
    }

    /// Whether it began as a header of the PROXY protocol may.
    pub(crate) fn began_like_proxy_header(&self) -> bool {
        self.seen.began_like_proxy_header()
    }

    /// Whether it has any number of requests at a time.
    pub(crate) fn is_http2(&self) -> bool {
        self.timeline.get().is_http2()
    }

    /// Whether nothing is under way on it, and has not been for a while, so that it may become dormant.
    fn may_be_dormant(&self) -> bool {
        let timeline = self.timeline.get();
        let idle_for = self.worker.clock.now().saturating_sub(self.idle_since.get());
        timeline.is_idle()
            && !timeline.is_write_blocked()
            && idle_for >= DORMANT_AFTER
            // What is left of a request must not be taken for the next one.
            && !self.has_unread.get()
            && !self.unflushed.get()
            && !timeline.is_http2()
            && !self.worker.is_closing()
    }

    /// Whether it began with the preface of HTTP/2.
    pub(super) fn speaks_http2(&self) -> bool {
        self.seen.speaks_http2()
    }

    /// It holds no buffers, or has some again.
    pub(super) fn is_now(&self, dormancy: Dormancy) {
        if self.dormancy.get() != Dormancy::Never {
            self.dormancy.set(dormancy);
        }
    }

    /// Has `waker` woken when its deadline passes.
    pub(super) fn register(&self, waker: &Waker) {
        self.deadline.register(waker);
    }

    /// Whether its own deadline has passed; if not, `waker` is woken when it does.
    pub(super) fn is_expired(&self, waker: &Waker) -> bool {
        self.deadline.register(waker);
        self.deadline.is_expired()
    }

    /// Whether its client does not read what there is for it.
    pub(super) fn is_write_blocked(&self) -> bool {
        self.timeline.get().is_write_blocked()
    }

    /// Whether it is to be closed: its own deadline has passed, or the client does not read what
    /// one of its requests has for it.
    pub(super) fn is_overdue(&self) -> bool {
        let stalled = |request: &Rc<RequestState>| {
            // Other deadlines are for whoever waits for the replica. The 101 of a tunnel has nobody but this.
            request.expired().is_some() && (request.is_client_blocked() || self.tunnel.borrow().is_some())
        };
        self.deadline.is_expired() || self.requests.borrow().iter().any(stalled)
    }
}

/// The connections of a worker's clients.
#[derive(Debug, Default)]
pub(crate) struct Clients(RefCell<Vec<Rc<Connection>>>);

/// Closed at a time where room is needed: looking for the longest idle costs a look at all.
const DISPLACED_AT_ONCE: usize = 16;

impl Clients {
    /// Closes those that have been idle longest, with those that have said nothing yet; whether there were
    /// any.
    pub(crate) fn displace(&self, newcomers: &Newcomers) -> bool {
        let (clients, newcomers) = (self.0.borrow(), newcomers.all());
        // The end of a response may still wait for a client that reads slowly.
        let is_idle = |timeline: ConnectionTimeline| timeline.is_idle() && !timeline.is_write_blocked();
        let idle = clients.iter().filter(|client| is_idle(client.timeline.get()));
        let idle = idle.map(|client| (client.idle_since.get(), Idle::Client(client)));
        let new = newcomers.iter().map(|newcomer| (newcomer.since, Idle::Newcomer(newcomer)));
        let mut idle: Vec<_> = idle.chain(new).collect();
        // Not all: this worker may have few, and another one the clients that wait.
        let displaced = idle.len().div_ceil(2).min(DISPLACED_AT_ONCE);
        if displaced < idle.len() {
            idle.select_nth_unstable_by_key(displaced, |(since, _)| *since);
            idle.truncate(displaced);
        }
        for (_, idle) in &idle {
            match idle {
                Idle::Client(client) => client.on(ConnectionInput::Displaced),
                Idle::Newcomer(newcomer) => newcomer.displace(),
            }
        }
        !idle.is_empty()
    }

    /// How many hold no buffers.
    #[cfg(test)]
    pub(crate) fn dormant(&self) -> usize {
        self.0.borrow().iter().filter(|client| client.dormancy.get() == Dormancy::Dormant).count()
    }

    /// Has those that have been idle for a while give up their buffers.
    pub(crate) fn free_buffers(&self) {
        for client in &*self.0.borrow() {
            if client.dormancy.get() == Dormancy::Awake && client.may_be_dormant() {
                client.is_now(Dormancy::Asked);
                client.deadline.wake();
            }
        }
    }
}

/// Who may make room.
enum Idle<'a> {
    Client(&'a Rc<Connection>),
    Newcomer(&'a Newcomer),
}

/// One of them, until it drops.
struct Client<'a>(&'a Rc<Connection>);

impl<'a> Client<'a> {
    fn register(connection: &'a Rc<Connection>) -> Self {
        let mut clients = connection.worker.clients.0.borrow_mut();
        connection.place.set(clients.len());
        clients.push(Rc::clone(connection));
        Self(connection)
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        // It holds the connection, as the connection holds it.
        self.0.tunnel.take();
        let place = self.0.place.get();
        let mut clients = self.0.worker.clients.0.borrow_mut();
        clients.swap_remove(place);
        if let Some(moved) = clients.get(place) {
            moved.place.set(place);
        }
    }
}

/// Serves one connection to its end. `tls` is the session that its bytes come in, if there is one, and
/// `seen` what the layers below `transport` see of them.
///
/// All that a connection is made of is put in place before its future is: an `async fn` would keep room for what it
/// was given as well as for what it makes of that, as long as it lives.
pub(crate) fn serve(
    worker: Rc<Worker>,
    transport: impl Transport + 'static,
    ends: impl Into<Ends>,
    tls: Option<Session>,
    seen: ReadState,
) -> impl Future<Output = ()> {
    let connection = Connection::new(worker, ends.into(), tls, seen.clone());
    let mut stream = ClientStream::new(transport, Rc::clone(&connection), seen);
    async move {
        let _client = Client::register(&connection);
        if connection.seen.speaks_http2() {
            return Box::pin(http2::serve(Rc::clone(&connection), stream.into_transport())).await;
        }
        loop {
            match dormant::wait(&connection, &mut stream).await {
                Woken::Bytes(bytes) => stream.put_back(bytes),
                Woken::Http2 => {
                    // In a box, as below: those who do something else do not pay for its size.
                    let transport = stream.into_transport();
                    return Box::pin(http2::serve(Rc::clone(&connection), transport)).await;
                }
                Woken::Ended => return end_idle(&connection, &mut stream).await,
            }
            match Box::pin(serve_http1(&connection, stream)).await {
                Some(idle) => stream = idle,
                None => return,
            }
        }
    }
}

/// Serves the requests on a connection of HTTP/1, of which the first has begun to come, to its end. The
/// stream comes back if the connection has been idle for a while.
async fn serve_http1<T: Transport + 'static>(
    connection: &Rc<Connection>,
    stream: ClientStream<T>,
) -> Option<ClientStream<T>> {
    let worker = &connection.worker;
    let handler = Rc::clone(connection);
    let service = service_fn(move |request| service::handle(&handler, request));
    let mut http = worker.server().serve_connection(stream, service);
    let (mut quiet, mut told_to_close) = (QuietWaker::default(), false);
    let pause = poll_fn(|cx| {
        connection.deadline.register(cx.waker());
        // Before anything is decided, so that what has come already is seen.
        let polled = Pin::new(&mut http).poll(&mut Context::from_waker(quiet.of(cx)));
        if let Poll::Ready(outcome) = polled {
            return Poll::Ready(connection.ended(outcome));
        }
        if connection.is_overdue() {
            return Poll::Ready(Pause::Overdue);
        }
        if connection.dormancy.get() == Dormancy::Asked {
            connection.is_now(Dormancy::Awake);
            if connection.may_be_dormant() {
                return Poll::Ready(Pause::Idle);
            }
        }
        if connection.timeline.get().is_write_blocked() {
            // The task that waits for the client is this one, whoever made what the client gets.
            connection.requests.borrow().iter().for_each(|request| request.register(cx.waker()));
        }
        if worker.is_closing() {
            connection.on(ConnectionInput::Drain);
            // What a 101 says of the connection is not that it closes.
            let may_close = connection.timeline.get().is_busy() && !connection.is_offering_upgrade();
            if may_close && !told_to_close {
                // The response under way says `Connection: close`.
                told_to_close = true;
                Pin::new(&mut http).graceful_shutdown();
                let polled = Pin::new(&mut http).poll(&mut Context::from_waker(quiet.of(cx)));
                return polled.map(|outcome| connection.ended(outcome));
            }
        }
        Poll::Pending
    })
    .await;
    match pause {
        Pause::Complete => {
            if let Some(tunnel) = connection.tunnel.take() {
                // hyper has sent all that it had, and closes nothing behind a 101.
                let parts = http.into_parts();
                tunnel.run(parts.io.into_tunnel(), parts.read_buf).await;
            } else if connection.has_unread.get() && !connection.seen.is_at_end() {
                connection.linger(http.into_parts().io).await;
            }
            None
        }
        // Lingering would end its session in order: see `end_idle`.
        Pause::Broken => None,
        Pause::Overdue => {
            end_idle(connection, &mut http.into_parts().io).await;
            None
        }
        Pause::Idle => {
            let parts = http.into_parts();
            let mut stream = parts.io;
            if !parts.read_buf.is_empty() {
                // The beginning of a request that was not seen to begin, whose rest hyper goes on waiting for.
                connection.is_now(Dormancy::Never);
                stream.put_back(parts.read_buf);
            }
            Some(stream)
        }
    }
}

/// Why a connection is hyper's no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// hyper is done with it.
    Complete,
    /// A response breaks off in its middle, over TLS.
    Broken,
    /// Its time is over.
    Overdue,
    /// It has been idle for a while.
    Idle,
}

/// Ends a connection on which nothing is under way. A session of TLS ends as TLS says, if the client takes
/// that at once. One that breaks off must not: a response without a length would seem to be whole.
async fn end_idle<T: Transport>(connection: &Connection, stream: &mut ClientStream<T>) {
    if connection.tls.is_none() || connection.timeline.get().is_busy() {
        return;
    }
    poll_fn(|cx| {
        let _ = Pin::new(&mut *stream).poll_shutdown(cx);
        Poll::Ready(())
    })
    .await;
}
