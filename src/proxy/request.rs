//! A request under way: its deadline and stage, and its record for counters and access log. It ends
//! by one explicit call, [`ActiveRequest::end`].

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Request, Version};
use http_body::Body;

use super::clock::Deadline;
use super::connection::Connection;
use super::connection_share::Taken;
use super::error::Failure;
use super::grpc::{self, Call};
use super::header_rules::HeaderRules;
use super::pool::Pool;
use super::record::RequestRecord;
use super::time_limits::Limits;
use super::timeline::{Expiry, Input, Millis, RequestTimeline};
use super::upgrade::Offer;
use crate::routes::Timeouts;
use crate::telemetry::Reason;

/// The one owner of a request under way. Dropped before the request was ended, it ends it as
/// aborted: whoever drops the connection need not know of its requests.
#[derive(Debug)]
pub(crate) struct ActiveRequest(Rc<RequestState>);

/// What those who work on a request share: its handler, the bodies both ways, its connection.
#[derive(Debug)]
pub(crate) struct RequestState {
    connection: Rc<Connection>,
    /// Index of the pool that it goes to; of the first one before that is known.
    pool: Cell<usize>,
    /// As what its connection counts, if it is one of those that pools have for themselves.
    taken: Cell<Option<Taken>>,
    /// Belongs to another request once this one is over.
    deadline: Rc<Deadline>,
    timeline: Cell<RequestTimeline>,
    /// Bytes of its body on the wire, where its head says so.
    body_length: Option<u64>,
    /// Whether its client takes interim responses from us.
    takes_interim: bool,
    /// Whether it was forwarded as an offer to switch to another protocol.
    upgrade: Cell<bool>,
    /// Whether its body has turned out larger than is taken.
    oversized: Cell<bool>,
    /// Its time limits, where its route has others than the pool.
    limits: OnceCell<Box<Limits>>,
    /// The header rules of its route, where that has its own.
    rules: OnceCell<Arc<HeaderRules>>,
    /// The call of gRPC that it is.
    call: OnceCell<Box<Call>>,
    record: RefCell<RequestRecord>,
}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The response was handed on to its last byte.
    Complete,
    /// It was broken off, for a reason that was recorded or because nobody waits for it any more.
    Aborted,
}

impl ActiveRequest {
    /// A request whose head is complete.
    pub(crate) fn begin<B: Body>(connection: &Rc<Connection>, request: &Request<B>) -> Self {
        let worker = &connection.worker;
        let state = Rc::new(RequestState {
            connection: Rc::clone(connection),
            pool: Cell::new(0),
            taken: Cell::new(None),
            deadline: worker.clock.deadline(),
            timeline: Cell::new(RequestTimeline::new(!request.body().is_end_stream())),
            body_length: request.body().size_hint().exact(),
            takes_interim: request.version() == Version::HTTP_11,
            upgrade: Cell::new(false),
            oversized: Cell::new(false),
            limits: OnceCell::new(),
            rules: OnceCell::new(),
            call: OnceCell::new(),
            record: RefCell::new(RequestRecord::begin(request, worker.access.is_some())),
        });
        connection.begin(Rc::clone(&state));
        Self(state)
    }

    /// What the bodies of the request share with its owner.
    pub(crate) fn state(&self) -> &Rc<RequestState> {
        &self.0
    }

    /// Ends the request: its deadline, its place on the connection; and counts and logs it. Only
    /// the first call does anything.
    pub(crate) fn end(&self, end: End) {
        let state = &self.0;
        let timeline = state.timeline.get();
        if timeline.is_ended() {
            return;
        }
        state.on(Input::End);
        let worker = &state.connection.worker;
        worker.clock.recycle(&state.deadline);
        if let Some(taken) = state.taken.take() {
            state.pool().give_back_connection(taken);
        }
        let mut record = state.record.borrow_mut();
        if end == End::Aborted && record.reason().is_none() {
            let by_client = timeline.is_clients_abort(worker.is_closing());
            record.failed(if by_client { Reason::ClientGone } else { Reason::Stopped });
        }
        record.finish(worker, state.connection.peer);
        if let Some(call) = state.call.get() {
            record.counters(&worker.recorder).called(call.outcome(record.status(), record.reason()));
        }
        state.connection.end(state);
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.end(End::Aborted);
    }
}

impl Deref for ActiveRequest {
    type Target = RequestState;

    fn deref(&self) -> &RequestState {
        &self.0
    }
}

impl RequestState {
    /// The connection it came on.
    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// The pool that it goes to; the first one before that is known.
    #[inline]
    pub(crate) fn pool(&self) -> &Pool {
        self.connection.worker.pool(self.pool.get())
    }

    /// Its route has time-outs of its own. Called once, when its pool is known.
    pub(crate) fn is_limited(&self, timeouts: Timeouts) {
        let limits = Box::new(self.pool().limits.with(timeouts));
        let _ = self.limits.set(limits);
    }

    /// Its route has header rules of its own. Called once.
    pub(crate) fn has_rules(&self, rules: Arc<HeaderRules>) {
        let _ = self.rules.set(rules);
    }

    /// The header rules of its route, where that has its own.
    pub(crate) fn rules(&self) -> Option<&HeaderRules> {
        self.rules.get().map(|rules| &**rules)
    }

    /// It goes to the pool of this index.
    pub(crate) fn goes_to(&self, pool: usize) {
        self.pool.set(pool);
        self.record().goes_to(pool);
    }

    /// Its client connection is one of those that its pool is on from now on, where there are several. Called once, when
    /// the pool is known.
    ///
    /// # Errors
    /// When there is none for the pool.
    pub(crate) fn take_connection(&self) -> Result<(), Failure> {
        if self.connection.worker.has_one_pool() {
            return Ok(());
        }
        let taken = self.pool().take_connection();
        self.taken.set(taken);
        taken.map(|_| ()).ok_or(Failure::ShareTaken)
    }

    /// What is counted and logged of it.
    pub(crate) fn record(&self) -> RefMut<'_, RequestRecord> {
        self.record.borrow_mut()
    }

    /// Bytes of its body on the wire, where its head says so.
    pub(crate) fn body_length(&self) -> Option<u64> {
        self.body_length
    }

    /// Whether its client takes interim responses from us: one of HTTP/1.0 knows none, and to one of HTTP/2
    /// hyper sends none.
    pub(crate) fn takes_interim(&self) -> bool {
        self.takes_interim
    }

    /// It is an offer to switch to another protocol, behind which its connection ends if nobody takes it.
    pub(crate) fn offers_upgrade(&self) {
        self.upgrade.set(true);
    }

    /// It makes this offer. Returns what its replica is told of it: nothing over HTTP/2, where it is answered
    /// as if it had offered nothing.
    ///
    /// # Errors
    /// When it can be told no answer to a request that offers nothing.
    #[cold]
    pub(crate) fn offers(&self, offer: Offer) -> Result<Option<Offer>, Failure> {
        let is_of_connect = offer.is_of_connect();
        if !is_of_connect {
            self.offers_upgrade();
        }
        match self.pool().shared {
            None => Ok(Some(offer)),
            Some(_) if is_of_connect => Err(Failure::NoTunnels),
            Some(_) => Ok(None),
        }
    }

    /// Whether it is.
    pub(crate) fn is_offering_upgrade(&self) -> bool {
        self.upgrade.get()
    }

    /// Its body has turned out larger than is taken.
    pub(crate) fn exceeds_body_limit(&self) {
        self.oversized.set(true);
    }

    /// Whether it has.
    pub(crate) fn is_oversized(&self) -> bool {
        self.oversized.get()
    }

    /// Its head is this, so that it may be a call of gRPC.
    #[cold]
    pub(crate) fn may_be_call(&self, headers: &HeaderMap) {
        if let Some(call) = Call::of(headers) {
            // It becomes one once.
            let _ = self.call.set(Box::new(call));
        }
    }

    /// It is a call of gRPC, whose head is this.
    ///
    /// # Errors
    /// When it does not say as it has to how long it may take.
    #[cold]
    pub(crate) fn becomes_call(&self, headers: &HeaderMap) -> Result<(), Failure> {
        self.may_be_call(headers);
        let timeout = grpc::timeout(headers)?;
        let now = self.connection.worker.clock.next_tick();
        let ends = timeout.map(|timeout| now.saturating_add(timeout.as_millis() as Millis));
        self.on(Input::Call(ends));
        Ok(())
    }

    /// The call of gRPC that it is, if it is one.
    pub(crate) fn call(&self) -> Option<&Call> {
        self.call.get().map(|call| &**call)
    }

    /// Whether its whole body was handed on.
    pub(crate) fn is_uploaded(&self) -> bool {
        self.timeline.get().is_uploaded()
    }

    /// Whether its client is known to have left.
    pub(crate) fn is_client_gone(&self) -> bool {
        self.timeline.get().is_client_gone()
    }

    /// Whether its client does not take what there is for it.
    pub(crate) fn is_client_blocked(&self) -> bool {
        self.timeline.get().is_client_blocked()
    }

    /// Takes in what happened to it.
    pub(crate) fn on(&self, input: Input) {
        let worker = &self.connection.worker;
        let mut timeline = self.timeline.get();
        let limits = self.limits.get().map_or(&self.pool().limits, |limits| limits);
        let timer = timeline.apply(input, worker.clock.next_tick(), limits);
        self.timeline.set(timeline);
        self.deadline.set(timer);
    }

    /// What has expired, if anything has.
    pub(crate) fn expired(&self) -> Option<Expiry> {
        if !self.deadline.is_expired() {
            return None;
        }
        self.timeline.get().expiry_at(self.connection.worker.clock.now())
    }

    /// Has `waker` woken when its deadline expires, where nobody waits within it.
    pub(crate) fn register(&self, waker: &Waker) {
        self.deadline.register(waker);
    }

    /// `poll`, or what has expired while that is pending. The task is woken for both.
    #[inline]
    pub(crate) fn poll_within<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, Expiry>> {
        match poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.timeline.get().is_ended() => Poll::Pending,
            Poll::Pending => {
                self.deadline.register(cx.waker());
                match self.expired() {
                    // Its connection is to end, and ends the request with it.
                    None | Some(Expiry::ClientBlocked) => Poll::Pending,
                    Some(expiry) => Poll::Ready(Err(expiry)),
                }
            }
        }
    }

    /// `future`, or what has expired before it was ready.
    pub(crate) async fn within<F: Future>(&self, mut future: Pin<&mut F>) -> Result<F::Output, Expiry> {
        poll_fn(|cx| self.poll_within(cx, |cx| future.as_mut().poll(cx))).await
    }
}
