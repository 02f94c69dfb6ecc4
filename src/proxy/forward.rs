//! Forwarding: attempts at replicas until one responds, or none may be made any more.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use http::header::{SET_COOKIE, TE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};

use super::apply_rules;
use super::clock::TICK;
use super::error::Failure;
use super::pool::Pool;
use super::request::ActiveRequest;
use super::response::ReplicaBody;
use super::route::Key;
use super::saved_head::SavedHead;
use super::shared::{SharedConnections, Stream};
use super::timeline::{Expiry, Input};
use super::trace::{self, TraceContext, TraceId};
use super::upgrade::Offer;
use super::upload::RequestBody;
use super::upstream::{Blame, ConnectError, Lease, SendError, UpstreamBody};
use super::worker::Worker;
use super::{client_limits, forwarding, headers, interim, queue, route, routing};
use crate::cluster::load::RetryPermit;
use crate::cluster::{Endpoint, FailureKind, Outcome, Picked, PoolSnapshot};

/// Most attempts at one request, those that found nobody listening included.
const MAX_ATTEMPTS: usize = 5;

/// Most idle connections that may turn out closed before anything was sent on them.
const MAX_STALE: usize = 16;

/// Most streams of a replica that may end or be refused before it has looked at the request.
const MAX_REFUSALS: usize = 5;

/// Most times that a request may be sent. More than twice, because a replica that dies may take
/// a connection that went stale and the new one after it; not often, because the request may be
/// what the replicas die of.
const MAX_SENT: usize = 3;

/// Most requests of one worker that wait for a replica; their bodies stay with their clients.
const MAX_WAITING: usize = 1024;

/// Forwards a request and returns the head of its response, with the body to follow. It is taken out
/// of `request` when it is sent: moving a head costs more than all that an attempt decides.
pub(crate) async fn forward(
    active: &ActiveRequest,
    request: &mut Option<Request<RequestBody>>,
) -> Result<Response<ReplicaBody>, Failure> {
    let head = request.as_mut().expect("there is a request to forward");
    let connection = &**active.connection();
    let worker = &*connection.worker;
    let via = worker.via();
    let headers::Cleaned { mut forwarding, id: came_with, offer, takes_trailers, is_call } =
        headers::clean_request(head, connection.is_trusted, via)?;
    if is_call {
        active.becomes_call(head.headers())?;
    }
    if let Some(session) = &connection.tls {
        forwarding.is_secure = true;
        if forwarding.host().is_some_and(|host| !session.is_for(host)) {
            return Err(Failure::Misdirected);
        }
        if let Some(subject) = session.client() {
            forwarding::tell_subject(head.headers_mut(), subject);
        }
    }
    let id = headers::request_id(head.headers_mut(), came_with, &mut worker.id_text.borrow_mut());
    let address_key = route::client_key(active, head);
    let key = routing::follow_route(active, head, forwarding.host(), &id, address_key)?;
    client_limits::check(active, head)?;
    let trace_id = trace_of(head.headers_mut(), worker);
    if takes_trailers && active.pool().shared.is_some() {
        head.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    }
    let has_no_body = matches!(head.body(), RequestBody::Empty);
    let offer = match offer {
        Some(offer) if has_no_body => active.offers(offer)?,
        _ => None,
    };
    // What a replica did for an upgrade before it failed is not known from the method.
    let may_be_repeated = has_no_body && offer.is_none() && head.method().is_idempotent();
    let peer = &connection.address_text;
    apply_rules::to_request(active, head.headers_mut());
    let saved = may_be_repeated.then(|| {
        let keeps_case = worker.config().preserve_header_case;
        SavedHead::of(head, &forwarding, peer, via, keeps_case, &worker.head_buffers)
    });
    forwarding.add_to(head.headers_mut(), peer, via);
    if let Some(offer) = &offer {
        offer.add_to(head.headers_mut());
    }
    let (Key { hash: key, cookie }, picked) = choose(active, head, key, &id, address_key);
    active.record().identify(id, trace_id);
    let picked = match picked {
        Some(picked) => picked,
        // In boxes, this and what is as rare below: hyper moves the future of each request, whatever it waits for.
        None => Box::pin(wait(active, key)).await?,
    };
    let mut attempts = Attempts {
        active,
        worker,
        pool: active.pool(),
        key,
        request,
        offer,
        saved,
        tried: Vec::new(),
        made: 0,
        sent: 0,
        permit: None,
    };
    let mut response = attempts.run(picked).await?;
    apply_rules::to_response(active, &mut response);
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, *cookie);
    }
    Ok(response)
}

/// The key of a request, if it was not known, and its replica if one has room.
#[inline]
fn choose(
    active: &ActiveRequest,
    head: &Request<RequestBody>,
    key: Option<Key>,
    id: &HeaderValue,
    address_key: u64,
) -> (Key, Option<Picked>) {
    let pool = active.pool();
    // One load for key and replica: both are rules of the same snapshot.
    active.connection().worker.reader.with_pool(pool.index, |snapshot| {
        let key = key.unwrap_or_else(|| route::key(active, &snapshot.routing().key, head, id, address_key));
        // Who waits for room has come before.
        let waits = !pool.queue.is_empty() && snapshot.is_capped();
        let picked = if waits { None } else { snapshot.pick(key.hash, &[]) };
        (key, picked)
    })
}

/// Waits for a replica: for room, where some are up, or for one that is starting.
#[cold]
async fn wait(active: &ActiveRequest, key: u64) -> Result<Picked, Failure> {
    let is_full = |snapshot: &PoolSnapshot| snapshot.is_full(&[]);
    if active.connection().worker.reader.with_pool(active.pool().index, is_full) {
        queue::wait_for_room(active, key, &[]).await
    } else {
        await_replica(active, key).await
    }
}

/// Waits for a replica that takes requests, where one is starting and not too many requests wait.
#[cold]
async fn await_replica(active: &ActiveRequest, key: u64) -> Result<Picked, Failure> {
    let pool = active.pool();
    let limit = pool.config().wait_for_replica;
    if limit.is_zero() || pool.waiting.get() >= MAX_WAITING {
        return Err(Failure::NoReplica);
    }
    active.on(Input::AwaitReplica);
    pool.waiting.set(pool.waiting.get() + 1);
    let _waiting = Waiting(pool);
    while pool.starting.load(Ordering::Relaxed) > 0 {
        match active.within(pin!(tokio::time::sleep(TICK))).await {
            Ok(()) => {}
            Err(Expiry::Call) => return Err(Failure::DeadlineExceeded),
            Err(_) => break,
        }
        let reader = &active.connection().worker.reader;
        if let Some(picked) = reader.with_pool(pool.index, |snapshot| snapshot.pick(key, &[])) {
            return Ok(picked);
        }
    }
    Err(Failure::NoReplica)
}

/// Whether a replica says that it, or what is behind it, could not serve the request.
pub(super) fn is_refusal(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}

/// Counts a request that waits for a replica, until it drops.
struct Waiting<'a>(&'a Pool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

/// The trace of a request, where anybody wants to know.
fn trace_of(headers: &mut HeaderMap, worker: &Worker) -> Option<TraceId> {
    let starts = worker.config().trace_context == TraceContext::Start;
    if !starts && worker.access.is_none() {
        return None;
    }
    trace::of(headers).or_else(|| starts.then(|| trace::start(headers)))
}

/// What came of connecting to this replica.
fn connected<T>(
    endpoint: &Endpoint,
    outcome: Result<Result<T, ConnectError>, Expiry>,
) -> Result<T, (Failure, Option<FailureKind>)> {
    let name = || endpoint.name.clone();
    match outcome {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(ConnectError::Failed(error))) => {
            tracing::debug!(replica = endpoint.name, %error, "cannot connect");
            Err((Failure::Connect(name()), Some(FailureKind::Connect)))
        }
        // This machine has run out of something, which says nothing of the replica.
        Ok(Err(ConnectError::Exhausted(error))) => Err((Failure::Exhausted(error.to_string()), None)),
        Err(Expiry::Call) => Err((Failure::DeadlineExceeded, None)),
        Err(_) => Err((Failure::ConnectTimeout(name()), Some(FailureKind::Connect))),
    }
}

/// The attempts at one request.
struct Attempts<'a> {
    active: &'a ActiveRequest,
    worker: &'a Worker,
    pool: &'a Pool,
    key: u64,
    /// The request, unless it was sent.
    request: &'a mut Option<Request<RequestBody>>,
    /// The upgrade that it offers.
    offer: Option<Offer>,
    /// There only if the request may be repeated after it was sent.
    saved: Option<SavedHead<'a>>,
    /// Endpoints that failed.
    tried: Vec<u64>,
    made: usize,
    /// Attempts in which the request was sent.
    sent: usize,
    permit: Option<RetryPermit>,
}

/// An attempt without a response.
struct Missed {
    failure: Failure,
    /// Whether it went over a connection that had been used before: then the replica may be
    /// well, and only have closed it.
    reused: bool,
    /// What to tell the supervisor.
    kind: Option<FailureKind>,
}

impl Attempts<'_> {
    async fn run(&mut self, mut picked: Picked) -> Result<Response<ReplicaBody>, Failure> {
        // An upgrade takes its connection with it, and is not repeated if an idle one has gone stale.
        let mut fresh_only = self.offer.is_some();
        loop {
            let endpoint = picked.in_flight.endpoint();
            self.made += 1;
            self.active.record().picked(&picked, &self.worker.recorder);
            let missed = match self.attempt(endpoint, fresh_only).await {
                Ok((mut response, lease)) => {
                    if is_refusal(response.status()) {
                        picked.in_flight.went_wrong(FailureKind::Status, &self.pool.outcomes);
                        let is_trial = picked.in_flight.is_trial();
                        if let Some(other) = is_trial.then(|| self.pick_after_trial(endpoint.id)).flatten() {
                            picked = other;
                            fresh_only = true;
                            self.active.record().retried(&self.worker.recorder);
                            continue;
                        }
                    } else if picked.in_flight.is_trial() && headers::is_events(response.headers()) {
                        // It may go on for hours.
                        picked.in_flight.went_well(&self.pool.outcomes);
                    }
                    *response.version_mut() = Version::HTTP_11;
                    if self.pool.config().expose_replica
                        && let Ok(name) = HeaderValue::from_str(&endpoint.name)
                    {
                        response.headers_mut().insert(headers::REPLICA, name);
                    }
                    let in_parts = self.active.connection().is_http2();
                    return Ok(response.map(|body| ReplicaBody::new(body, picked.in_flight, lease, in_parts)));
                }
                Err(missed) => *missed,
            };
            let id = endpoint.id;
            if let Some(kind) = missed.kind {
                endpoint.failed();
                let outcomes = &self.pool.outcomes;
                if missed.reused {
                    // It may just have closed an idle connection.
                    outcomes.report(Outcome { endpoint: id, kind: Some(kind), is_trial: false });
                } else {
                    picked.in_flight.went_wrong(kind, outcomes);
                }
            }
            if !self.may_repeat(&missed.failure) {
                return Err(missed.failure);
            }
            // A connection that had gone stale says nothing of the replica: it gets the request
            // once more, on a new connection, before another does.
            if !missed.reused || fresh_only {
                self.tried.push(id);
            }
            fresh_only = true;
            // `picked` still counts as in flight: waiting requests count in the total of which
            // the budget is a share.
            Box::pin(self.take_from_budget(&missed.failure)).await?;
            // It may be the one place that there is.
            drop(picked);
            picked = match self.pick() {
                Some(other) => other,
                None if self.look(|snapshot| snapshot.is_full(&self.tried)) => {
                    Box::pin(queue::wait_for_room(self.active, self.key, &self.tried)).await?
                }
                None => return Err(missed.failure),
            };
            self.active.record().retried(&self.worker.recorder);
        }
    }

    /// Reads the pool as it is.
    fn look<R>(&self, read: impl FnOnce(&PoolSnapshot) -> R) -> R {
        self.worker.reader.with_pool(self.pool.index, read)
    }

    /// Whether there may be another attempt; then the request is there for it.
    fn may_repeat(&mut self, failure: &Failure) -> bool {
        if self.request.is_none() {
            self.sent += 1;
            *self.request = self.saved.as_ref().map(SavedHead::to_request);
        }
        let of_connection = matches!(
            failure,
            Failure::Connect(_) | Failure::ConnectTimeout(_) | Failure::Closed(_) | Failure::Refused(_)
        );
        let may_be = of_connection || matches!(failure, Failure::Ejected(_));
        may_be && self.made < MAX_ATTEMPTS && self.sent < MAX_SENT && self.request.is_some()
    }

    /// Takes one retry out of the budget for this request, waiting if it is spent: many requests
    /// may have lost their replica at once, and a few at a time they all find another.
    async fn take_from_budget(&mut self, failure: &Failure) -> Result<(), Failure> {
        let mut waiting = false;
        while self.permit.is_none() {
            self.permit = self.look(PoolSnapshot::try_retry);
            if self.permit.is_none() {
                if !std::mem::replace(&mut waiting, true) {
                    self.active.on(Input::AwaitRetry);
                }
                let pause = pin!(tokio::time::sleep(TICK));
                match self.active.within(pause).await {
                    Ok(()) => {}
                    Err(Expiry::Call) => return Err(Failure::DeadlineExceeded),
                    Err(_) => return Err(Failure::RetryBudget(failure.to_string())),
                }
            }
        }
        Ok(())
    }

    /// The next replica that has not failed yet. If all have, the only one there is once more:
    /// it may have closed just this connection.
    fn pick(&self) -> Option<Picked> {
        let others = self.look(|snapshot| snapshot.pick(self.key, &self.tried));
        others.or_else(|| match self.tried[..] {
            [_] if self.made < 2 => self.look(|snapshot| snapshot.pick(self.key, &[])),
            _ => None,
        })
    }

    /// Another replica for a request with which one was tried out that cannot serve it yet, if the
    /// request may be repeated at once.
    #[cold]
    fn pick_after_trial(&mut self, tried: u64) -> Option<Picked> {
        let saved = self.saved.as_ref().filter(|_| self.made < MAX_ATTEMPTS && self.sent + 1 < MAX_SENT)?;
        self.permit = self.permit.take().or_else(|| self.look(PoolSnapshot::try_retry));
        self.permit.as_ref()?;
        self.tried.push(tried);
        let picked = self.look(|snapshot| snapshot.pick(self.key, &self.tried))?;
        self.sent += 1;
        *self.request = Some(saved.to_request());
        Some(picked)
    }

    /// Sends the request to this replica, on an idle connection or on a new one.
    async fn attempt(
        &mut self,
        endpoint: &Endpoint,
        fresh_only: bool,
    ) -> Result<(Response<UpstreamBody>, Lease), Box<Missed>> {
        if let Some(shared) = &self.pool.shared {
            return Box::pin(self.attempt_on_streams(shared, endpoint)).await;
        }
        for _ in 0..if fresh_only { 0 } else { MAX_STALE } {
            let Some(lease) = self.pool.idle.take(endpoint.id, self.worker.clock.now()) else { break };
            match self.send(lease, endpoint).await {
                Err(mut missed) => {
                    if self.request.is_none() {
                        missed.reused = true;
                        return Err(missed);
                    }
                }
                answered => return answered,
            }
        }
        match Box::pin(self.connect(endpoint)).await {
            Ok(lease) => self.send(lease, endpoint).await,
            Err((failure, kind)) => Err(Box::new(Missed { failure, reused: false, kind })),
        }
    }

    /// Sends the request to this replica on a stream; on others if it did not look at it.
    async fn attempt_on_streams(
        &mut self,
        shared: &Rc<SharedConnections>,
        endpoint: &Endpoint,
    ) -> Result<(Response<UpstreamBody>, Lease), Box<Missed>> {
        let mut refusals = 0;
        loop {
            let (stream, is_reused) = match self.stream(shared, endpoint).await {
                Ok(stream) => {
                    let is_reused = stream.is_on_used();
                    (stream, is_reused)
                }
                Err((failure, kind)) => return Err(Box::new(Missed { failure, reused: false, kind })),
            };
            match self.send(Lease::Stream(stream), endpoint).await {
                Err(mut missed) => {
                    refusals += 1;
                    missed.reused = is_reused && self.request.is_none();
                    if self.request.is_none() || refusals >= MAX_REFUSALS {
                        return Err(missed);
                    }
                }
                answered => return answered,
            }
        }
    }

    /// A stream to this replica.
    async fn stream(
        &self,
        shared: &Rc<SharedConnections>,
        endpoint: &Endpoint,
    ) -> Result<Stream, (Failure, Option<FailureKind>)> {
        self.active.on(Input::Connect);
        let stream = pin!(shared.stream(endpoint, self.pool));
        let (stream, was_dialled) = connected(endpoint, self.active.within(stream).await)?;
        if was_dialled {
            self.active.record().connected(&self.worker.recorder);
        }
        Ok(stream)
    }

    /// A new connection to this replica.
    async fn connect(&self, endpoint: &Endpoint) -> Result<Lease, (Failure, Option<FailureKind>)> {
        self.active.on(Input::Connect);
        let connecting = pin!(async {
            let version = self.worker.config().upstream_proxy_protocol;
            let header = version.map(|version| self.active.connection().header().encode(version));
            let transport = self.pool.connector.connect(endpoint, header.unwrap_or_default()).await?;
            // Not borrowed while it is waited: a reload takes the place.
            let builder = self.pool.client().clone();
            let lease = Lease::over(transport, &builder, self.offer.is_some()).await;
            let lease = lease.map_err(ConnectError::Failed)?;
            Ok(if version.is_some() { lease.belongs_to_one_client() } else { lease })
        });
        let lease = connected(endpoint, self.active.within(connecting).await)?;
        self.active.record().connected(&self.worker.recorder);
        Ok(lease)
    }

    /// Whether a request that waits for this replica is to go to another one instead: the replica was
    /// taken out of the choice, nothing is known to have come of the request, another replica is
    /// there, and the budget has room.
    fn may_take_back(&mut self, endpoint: &Endpoint) -> bool {
        let is_last = self.sent + 1 >= MAX_SENT || self.made >= MAX_ATTEMPTS;
        // One that is ejected for what requests met with may be slow to respond to this one, or try it.
        if endpoint.is_healthy() || self.saved.is_none() || is_last {
            return false;
        }
        let is_other = |snapshot: &PoolSnapshot| {
            let mut tried = self.tried.clone();
            tried.push(endpoint.id);
            snapshot.has_other(&tried)
        };
        let has_other = self.look(is_other);
        if has_other {
            self.permit = self.permit.take().or_else(|| self.look(PoolSnapshot::try_retry));
        }
        let may_go = has_other && self.permit.is_some();
        if !may_go {
            // The next tick looks again.
            self.worker.waits_in_vain.set(true);
        }
        may_go
    }

    /// Sends the request and waits for the head of its response. The request comes back if nothing
    /// of it was sent.
    async fn send(
        &mut self,
        mut lease: Lease,
        endpoint: &Endpoint,
    ) -> Result<(Response<UpstreamBody>, Lease), Box<Missed>> {
        let missed = |failure, kind| Box::new(Missed { failure, reused: false, kind });
        let name = || endpoint.name.clone();
        let bad_response = || missed(Failure::BadResponse(name()), Some(FailureKind::BadResponse));
        self.active.on(Input::Sent);
        let mut request = self.request.take().expect("there is no attempt without the request");
        let mut interim = interim::listen(self.active, &mut request, &lease);
        let mut sent = pin!(lease.send(request));
        let mut is_taken_back = false;
        let outcome = poll_fn(|cx| {
            let polled = self.active.poll_within(cx, |cx| sent.as_mut().poll(cx));
            if let Some(interim) = &mut interim {
                interim.pass_on(&self.active.connection().outbox, cx);
            }
            if polled.is_pending() && self.may_take_back(endpoint) {
                is_taken_back = true;
                return Poll::Ready(Err(Expiry::ResponseHead));
            }
            polled
        });
        match outcome.await {
            Ok(Ok(mut response)) => {
                let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                let kind = {
                    let (record, headers) = (self.active.record(), response.headers_mut());
                    if switches {
                        headers::forward_switch(headers, self.offer.as_ref(), record.id())
                    } else {
                        headers::forward_response(headers, record.id())
                    }
                };
                let Some(kind) = kind else { return Err(bad_response()) };
                if self.offer.as_ref().is_some_and(|offer| offer.is_misread(response.status())) {
                    return Err(missed(Failure::NotSwitched(name()), None));
                }
                if let Some(call) = self.active.call() {
                    call.hear(response.headers());
                }
                self.active.on(Input::ResponseHead(kind));
                let status = response.status().as_u16();
                self.active.record().upstream_responded(endpoint, status, &self.worker.recorder);
                Ok((response, lease))
            }
            Ok(Err(error)) => {
                let SendError { blame, unsent } = *error;
                *self.request = unsent;
                Err(match blame {
                    Blame::Response => bad_response(),
                    Blame::ResponseHead => {
                        missed(Failure::ResponseHeadTooLarge(name()), Some(FailureKind::BadResponse))
                    }
                    Blame::RequestBody if self.active.is_oversized() => {
                        let limit = self.pool.config().max_body.unwrap_or(client_limits::MAX_BODY);
                        missed(Failure::BodyTooLarge(limit), None)
                    }
                    Blame::RequestBody => missed(Failure::ClientBody, None),
                    Blame::RequestHead(why) => missed(Failure::BadRequest(why), None),
                    Blame::NotProcessed => missed(Failure::Refused(name()), None),
                    Blame::Connection => missed(Failure::Closed(name()), Some(FailureKind::Closed)),
                })
            }
            // Its supervisor knows already.
            Err(_) if is_taken_back => Err(missed(Failure::Ejected(name()), None)),
            Err(Expiry::Call) => Err(missed(Failure::DeadlineExceeded, None)),
            Err(Expiry::RequestBody) => Err(missed(Failure::ClientTimeout, None)),
            Err(_) => {
                lease.timed_out();
                Err(missed(Failure::ResponseTimeout(name()), Some(FailureKind::Timeout)))
            }
        }
    }
}
