//! Forwarding: attempts at replicas until one answers, or none may be made any more.

use std::rc::Rc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::answer::ReplicaBody;
use super::client::Client;
use super::clock::TICK;
use super::error::Failure;
use super::exchange::Exchange;
use super::trace::{self, TraceContext, TraceId};
use super::upload::{RequestBody, Upload, UploadState};
use super::upstream::{self, ConnectError, Link};
use super::{headers, route};
use crate::cluster::load::RetryPermit;
use crate::cluster::{Endpoint, FailureKind, InFlight, Outcome, Picked, Snapshot};

/// Largest `Content-Length` that is forwarded: above it many servers take it for negative.
const MAX_BODY: u64 = i64::MAX.unsigned_abs();

/// Most attempts at one request, those that found nobody listening included.
const MAX_ATTEMPTS: usize = 5;

/// Most idle connections that may turn out closed before anything was sent on them.
const MAX_STALE: usize = 16;

/// Most times that a request may be sent. More than twice, because a replica that dies may take
/// a connection that went stale and the new one after it; not often, because the request may be
/// what the replicas die of.
const MAX_SENT: usize = 3;

/// Forwards a request and returns the head of its answer, with the body to follow.
pub(crate) async fn forward(
    client: &Rc<Client>,
    request: Request<Incoming>,
    exchange: &mut Exchange,
) -> Result<Response<ReplicaBody>, Failure> {
    let (mut head, body) = request.into_parts();
    headers::forward_request(&mut head, &client.address_text)?;
    let announced = body.size_hint().lower();
    if announced > MAX_BODY {
        return Err(Failure::BodyTooLarge(announced));
    }
    let id = headers::request_id(&mut head.headers, &mut client.worker.id_text.borrow_mut());
    let trace_id = trace_of(&mut head.headers, client);
    exchange.named(&id, trace_id);
    // One load for key and replica: both are rules of the same snapshot.
    let (key, picked) = client.worker.reader.with(|snapshot| {
        let key = route::key(&snapshot.routing().key, &head, &id, client.address_key);
        (key, snapshot.pick(key, &[]))
    });
    let (body, upload) = if body.is_end_stream() {
        (RequestBody::Empty, None)
    } else {
        let answer_time = client.worker.config().response_timeout;
        let (body, upload) = RequestBody::stream(body, Rc::clone(&client.progress), answer_time);
        (body, Some(upload))
    };
    let copy = (upload.is_none() && head.method.is_idempotent()).then(|| Copy::of(&head));
    let attempts =
        Attempts { client, exchange, key, copy, upload, tried: Vec::new(), made: 0, sent: 0, permit: None };
    attempts.run(picked.ok_or(Failure::NoReplica)?, Request::from_parts(head, body)).await
}

/// The trace of a request, where anybody wants to know.
fn trace_of(headers: &mut HeaderMap, client: &Client) -> Option<TraceId> {
    let starts = client.worker.config().trace_context == TraceContext::Start;
    if !starts && client.worker.access.is_none() {
        return None;
    }
    trace::of(headers).or_else(|| starts.then(|| trace::start(headers)))
}

/// What it takes to send a request again.
struct Copy {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Copy {
    fn of(head: &Parts) -> Self {
        Self { method: head.method.clone(), uri: head.uri.clone(), headers: head.headers.clone() }
    }

    fn to_request(&self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// The attempts at one request.
struct Attempts<'a> {
    client: &'a Rc<Client>,
    exchange: &'a mut Exchange,
    key: u64,
    /// There only if the request may be repeated after it was sent.
    copy: Option<Copy>,
    upload: Option<Rc<UploadState>>,
    /// Endpoints that failed.
    tried: Vec<u64>,
    made: usize,
    /// Attempts in which the request left us.
    sent: usize,
    permit: Option<RetryPermit>,
}

/// An attempt without an answer.
struct Missed {
    failure: Failure,
    /// The request, if nothing of it was sent.
    unsent: Option<Request<RequestBody>>,
    /// Whether it went over a connection that had been used before: then the replica may be
    /// well, and only have closed it.
    reused: bool,
    /// What to tell the supervisor.
    kind: Option<FailureKind>,
}

impl Attempts<'_> {
    async fn run(
        mut self,
        mut picked: Picked,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ReplicaBody>, Failure> {
        let mut fresh_only = false;
        loop {
            let endpoint = picked.in_flight.endpoint().id;
            self.made += 1;
            self.exchange.picked(&picked);
            let missed = match self.attempt(picked.in_flight.endpoint(), request, fresh_only).await {
                Ok((answer, link)) => return Ok(self.accept(answer, picked.in_flight, link)),
                Err(missed) => missed,
            };
            if let Some(kind) = missed.kind {
                picked.in_flight.endpoint().failed();
                self.client.worker.outcomes.report(Outcome { endpoint, kind });
            }
            request = self.again(missed.unsent, &missed.failure)?;
            // A connection that had gone stale says nothing of the replica: it gets the request
            // once more, on a new connection, before another does.
            if !missed.reused || fresh_only {
                self.tried.push(endpoint);
            }
            fresh_only = true;
            // `picked` still counts as in flight: requests that wait for their repetition are
            // what the budget is a share of.
            self.take_from_budget(&missed.failure).await?;
            picked = self.pick().ok_or(missed.failure)?;
            self.exchange.retried();
        }
    }

    /// The request for another attempt, or why there is none.
    fn again(
        &mut self,
        unsent: Option<Request<RequestBody>>,
        failure: &Failure,
    ) -> Result<Request<RequestBody>, Failure> {
        self.sent += usize::from(unsent.is_none());
        let may_repeat =
            matches!(failure, Failure::Connect(_) | Failure::ConnectTimeout(_) | Failure::Closed(_))
                && self.made < MAX_ATTEMPTS
                && self.sent < MAX_SENT;
        unsent
            .or_else(|| self.copy.as_ref().map(Copy::to_request))
            .filter(|_| may_repeat)
            .ok_or_else(|| failure.clone())
    }

    /// Takes one retry out of the budget for this request, waiting if it is spent: many requests
    /// may have lost their replica at once, and a few at a time they all find another.
    async fn take_from_budget(&mut self, failure: &Failure) -> Result<(), Failure> {
        let patience = Instant::now() + self.client.worker.config().response_timeout;
        while self.permit.is_none() {
            self.permit = self.client.worker.reader.with(Snapshot::try_retry);
            if self.permit.is_none() {
                if Instant::now() >= patience {
                    return Err(Failure::RetryBudget(failure.to_string()));
                }
                tokio::time::sleep(TICK).await;
            }
        }
        Ok(())
    }

    /// The next replica that has not failed yet. If all have, the only one there is once more:
    /// it may have closed just this connection.
    fn pick(&self) -> Option<Picked> {
        let reader = &self.client.worker.reader;
        let others = reader.with(|snapshot| snapshot.pick(self.key, &self.tried));
        others.or_else(|| match self.tried[..] {
            [_] if self.made < 2 => reader.with(|snapshot| snapshot.pick(self.key, &[])),
            _ => None,
        })
    }

    async fn attempt(
        &mut self,
        endpoint: &Endpoint,
        mut request: Request<RequestBody>,
        fresh_only: bool,
    ) -> Result<(Response<Incoming>, Link), Missed> {
        let worker = &self.client.worker;
        for _ in 0..MAX_STALE {
            let idle = if fresh_only { None } else { worker.pool.take(endpoint.id, worker.clock.now()) };
            let Some(link) = idle else { break };
            match self.send(link, request, endpoint).await {
                Err(Missed { unsent: Some(unsent), .. }) => request = unsent,
                Err(missed) => return Err(Missed { reused: true, ..missed }),
                answered => return answered,
            }
        }
        let watch = self.client.progress.watch();
        watch.set(worker.config().connect_timeout);
        match upstream::connect(&worker.client, endpoint, watch).await {
            Ok(link) => {
                self.exchange.connected();
                self.send(link, request, endpoint).await
            }
            Err(error) => Err(not_connected(&endpoint.name, &error, request)),
        }
    }

    /// Sends the request and waits for the head of its answer.
    async fn send(
        &mut self,
        mut link: Link,
        request: Request<RequestBody>,
        endpoint: &Endpoint,
    ) -> Result<(Response<Incoming>, Link), Missed> {
        let name = &*endpoint.name;
        let config = self.client.worker.config();
        let watch = self.client.progress.watch();
        watch.set(if self.upload.is_some() { config.body_timeout } else { config.response_timeout });
        let missed = |failure, kind| Missed { failure, unsent: None, reused: false, kind };
        let bad_answer = || missed(Failure::BadAnswer(name.to_owned()), Some(FailureKind::BadResponse));
        match upstream::within(watch, link.sender.try_send_request(request)).await {
            Some(Ok(mut answer)) => {
                // Nobody asked for an upgrade: `Upgrade` is not forwarded.
                let switches = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
                if switches || !headers::forward_answer(answer.headers_mut()) {
                    return Err(bad_answer());
                }
                self.exchange.answered_by(endpoint, answer.status().as_u16());
                Ok((answer, link))
            }
            Some(Err(mut error)) => {
                let unsent = error.take_message();
                let (failure, kind) = self.classify(&error.into_error(), name);
                Err(Missed { unsent, ..missed(failure, kind) })
            }
            None if self.upload.as_ref().is_some_and(|upload| upload.waits_for() == Upload::Client) => {
                Err(missed(Failure::ClientTimeout, None))
            }
            None => Err(missed(Failure::AnswerTimeout(name.to_owned()), Some(FailureKind::Timeout))),
        }
    }

    /// What an error of hyper means for the request that met it.
    fn classify(&self, error: &hyper::Error, name: &str) -> (Failure, Option<FailureKind>) {
        if error.is_parse() {
            (Failure::BadAnswer(name.to_owned()), Some(FailureKind::BadResponse))
        } else if error.is_user() && self.upload.is_some() {
            // Of what is ours in a request only its body can fail, and that comes from the client.
            (Failure::ClientBody, None)
        } else {
            (Failure::Closed(name.to_owned()), Some(FailureKind::Closed))
        }
    }

    fn accept(self, answer: Response<Incoming>, in_flight: InFlight, link: Link) -> Response<ReplicaBody> {
        self.client.progress.allow_body_pause();
        let mut answer = answer.map(|incoming| ReplicaBody {
            incoming,
            in_flight,
            link: Some(link),
            upload: self.upload,
            done: false,
        });
        *answer.version_mut() = Version::HTTP_11;
        answer
    }
}

fn not_connected(name: &str, error: &ConnectError, request: Request<RequestBody>) -> Missed {
    let failure = match error {
        ConnectError::TimedOut => Failure::ConnectTimeout(name.to_owned()),
        ConnectError::Failed(error) => {
            tracing::debug!(replica = name, %error, "cannot connect");
            Failure::Connect(name.to_owned())
        }
        ConnectError::Exhausted(error) => Failure::Exhausted(error.to_string()),
    };
    let kind = (!matches!(error, ConnectError::Exhausted(_))).then_some(FailureKind::Connect);
    Missed { failure, unsent: Some(request), reused: false, kind }
}
