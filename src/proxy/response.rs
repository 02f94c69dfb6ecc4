//! The body of a response on its way to the client: passed on frame by frame, never collected. It
//! ends the request it belongs to.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::request::{ActiveRequest, End};
use super::timeline::{Expiry, Input};
use super::upstream::{Lease, UpstreamBody};
use crate::cluster::{FailureKind, InFlight};
use crate::telemetry::Reason;

type BoxError = Box<dyn Error + Send + Sync>;

/// Most bytes of a response that are handed on at once over HTTP/2, where they wait for the window of their
/// stream: the request is not over before the last ones may be sent. As much as a frame has.
const MAX_PART: usize = 16 * 1024;

/// Below so many bytes a part is copied. It is a piece of the buffer that it was read into, of 8 KiB or more,
/// which stays as long as the part waits: a stream of small events would hold hundreds of such buffers.
const SMALL_PART: usize = 4 * 1024;

/// Body of a response, to the client.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    source: Source,
    /// `None` where the request goes on behind its response.
    request: Option<ActiveRequest>,
}

#[derive(Debug)]
enum Source {
    /// Made here.
    Local(Full<Bytes>),
    /// From a replica.
    Replica(ReplicaBody),
    /// It ends with this error, or has.
    Broken(Option<BoxError>),
}

impl Source {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Local(full) => full.is_end_stream(),
            Self::Replica(replica) => replica.rest.is_none() && replica.body.is_end_stream(),
            Self::Broken(_) => false,
        }
    }
}

/// Body of a replica's response, with what is held until its end.
#[derive(Debug)]
pub(crate) struct ReplicaBody {
    body: UpstreamBody,
    /// Whether it is handed on in parts, and what of it has come and is to be handed on later.
    in_parts: bool,
    rest: Option<Box<Bytes>>,
    /// `None` once the response is over.
    exchange: Option<Exchange>,
}

/// What a request holds of its replica.
#[derive(Debug)]
struct Exchange {
    in_flight: InFlight,
    lease: Lease,
}

impl ReplicaBody {
    /// One that is handed on as it comes, or in parts.
    pub(crate) fn new(body: UpstreamBody, in_flight: InFlight, lease: Lease, in_parts: bool) -> Self {
        Self { body, in_parts, rest: None, exchange: Some(Exchange { in_flight, lease }) }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.in_parts {
            return Pin::new(&mut self.body).poll_frame(cx);
        }
        let mut part = match self.rest.take() {
            Some(rest) => *rest,
            None => match ready!(Pin::new(&mut self.body).poll_frame(cx))
                .map(|frame| frame.map(Frame::into_data))
            {
                Some(Ok(Ok(data))) => data,
                Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(frame))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            },
        };
        if part.len() > MAX_PART {
            self.rest = Some(Box::new(part.split_off(MAX_PART)));
        } else if part.len() < SMALL_PART && !self.body.is_end_stream() {
            part = Bytes::copy_from_slice(&part);
        }
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    /// What is held of the replica.
    pub(crate) fn into_exchange(self) -> Option<(InFlight, Lease)> {
        self.exchange.map(|exchange| (exchange.in_flight, exchange.lease))
    }
}

impl ResponseBody {
    /// A response of our own, which has no body if it is one to `HEAD`.
    pub(crate) fn local(
        response: Response<Full<Bytes>>,
        to_head: bool,
        request: ActiveRequest,
    ) -> Response<Self> {
        // hyper does not ask for the body of such a response.
        let bodiless = to_head
            || response.body().is_end_stream()
            || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodiless {
            request.end(End::Complete);
        }
        response.map(|body| Self { source: Source::Local(body), request: Some(request) })
    }

    /// A response without a body, whose request goes on.
    pub(crate) fn none() -> Self {
        Self { source: Source::Local(Full::default()), request: None }
    }

    /// A response from a replica.
    pub(crate) fn replica(response: Response<ReplicaBody>, request: ActiveRequest) -> Response<Self> {
        response.map(|body| {
            let mut body = Self { source: Source::Replica(body), request: Some(request) };
            if body.is_end_stream() {
                body.complete();
            }
            body
        })
    }

    /// Whether the socket of its client takes nothing; then the task is woken when it does again.
    pub(crate) fn waits_for_socket(&self, cx: &Context<'_>) -> bool {
        let Some(request) = &self.request else { return false };
        let connection = request.connection();
        let waits = connection.is_write_blocked();
        if waits {
            connection.wake_when_unblocked(cx.waker());
        }
        waits
    }

    /// Tells the request that it ends, if it ends one.
    pub(crate) fn tell(&self, input: Input) {
        if let Some(request) = &self.request {
            request.on(input);
        }
    }

    /// The last byte was handed on.
    fn complete(&mut self) {
        let Some(request) = &self.request else { return };
        if let Source::Replica(body) = &mut self.source
            && let Some(Exchange { in_flight, lease }) = body.exchange.take()
        {
            let pool = request.pool();
            if in_flight.is_watched() && !request.record().is_refused() {
                in_flight.went_well(&pool.outcomes);
            }
            // With an upload that goes on, bytes of this request would still come on the connection.
            if request.is_uploaded() && !lease.is_of_one_client() {
                pool.idle.put(in_flight.endpoint().id, lease, request.connection().worker.clock.now());
            }
        }
        request.end(End::Complete);
    }

    /// The response breaks off in its middle, with `error`. `blame` is for what its replica did.
    fn break_off(
        &mut self,
        reason: Reason,
        blame: Option<FailureKind>,
        error: BoxError,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let (Source::Replica(body), Some(request)) = (&mut self.source, &self.request) else {
            return Poll::Pending;
        };
        // The connection to the replica ends with its lease.
        if let (Some(exchange), Some(kind)) = (body.exchange.take(), blame) {
            exchange.in_flight.endpoint().failed();
            exchange.in_flight.went_wrong(kind, &request.pool().outcomes);
        }
        request.record().failed(reason);
        request.end(End::Aborted);
        self.source = Source::Broken(Some(error));
        // hyper drops what it has not written yet when a body fails: it writes that, and asks again.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Self { source, request: Some(request) } = this else { return Poll::Ready(None) };
        let polled = match source {
            Source::Local(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}).map(Ok),
            Source::Replica(replica) => request.poll_within(cx, |cx| replica.poll_part(cx)),
            Source::Broken(error) => {
                return error.take().map_or(Poll::Pending, |error| Poll::Ready(Some(Err(error))));
            }
        };
        match polled {
            Poll::Ready(Ok(Some(Ok(frame)))) => {
                if let Some(data) = frame.data_ref() {
                    request.record().sends(data.len());
                }
                if let (Some(trailers), Some(call)) = (frame.trailers_ref(), request.call()) {
                    call.hear(trailers);
                }
                // A body in chunks knows of no end before it has come.
                if frame.is_trailers() || source.is_end_stream() {
                    this.complete();
                } else {
                    request.on(Input::ResponseFrame);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Ok(None)) => {
                this.complete();
                Poll::Ready(None)
            }
            Poll::Ready(Ok(Some(Err(error)))) if request.is_oversized() => {
                this.break_off(Reason::BodyTooLarge, None, error, cx)
            }
            Poll::Ready(Ok(Some(Err(error)))) => {
                this.break_off(Reason::ResponseCut, Some(FailureKind::Closed), error, cx)
            }
            Poll::Ready(Err(Expiry::ResponseBody)) => {
                let error = "the replica's response stopped in its middle".into();
                this.break_off(Reason::ResponseCut, Some(FailureKind::Timeout), error, cx)
            }
            Poll::Ready(Err(Expiry::RequestBody)) => {
                let error = "the request body stopped in its middle".into();
                this.break_off(Reason::ClientTimeout, None, error, cx)
            }
            Poll::Ready(Err(Expiry::Call)) => {
                this.break_off(Reason::DeadlineExceeded, None, "the time of the call is over".into(), cx)
            }
            // For any other expiry the connection ends.
            Poll::Pending | Poll::Ready(Err(_)) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Local(full) => full.size_hint(),
            Source::Replica(replica) => replica.body.size_hint(),
            Source::Broken(_) => SizeHint::default(),
        }
    }
}
