//! The body of an answer on its way to the client: passed on frame by frame, never collected.

use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use super::exchange::Exchange;
use super::upload::{Upload, UploadState};
use super::upstream::Link;
use crate::cluster::{FailureKind, InFlight, Outcome};
use crate::telemetry::Reason;

type BoxError = Box<dyn Error + Send + Sync>;

/// Body of an answer, to the client.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    source: Source,
    exchange: Exchange,
}

#[derive(Debug)]
enum Source {
    /// Made here.
    Local(Full<Bytes>),
    /// From a replica.
    Replica(ReplicaBody),
}

/// Body of a replica's answer, with what is held until its end.
#[derive(Debug)]
pub(crate) struct ReplicaBody {
    pub(crate) incoming: Incoming,
    pub(crate) in_flight: InFlight,
    /// Goes back to the pool at the end.
    pub(crate) link: Option<Link>,
    pub(crate) upload: Option<Rc<UploadState>>,
    /// Whether the last frame has been seen: a body in chunks knows of no end before it.
    pub(crate) done: bool,
}

impl AnswerBody {
    /// An answer of our own.
    pub(crate) fn local(body: Full<Bytes>, exchange: Exchange) -> Self {
        Self { source: Source::Local(body), exchange }
    }

    /// An answer from a replica.
    pub(crate) fn replica(body: ReplicaBody, exchange: Exchange) -> Self {
        Self { source: Source::Replica(body), exchange }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        match &mut self.source {
            // Whoever asked for the head alone leaves the body be.
            Source::Local(_) => self.exchange.complete(),
            Source::Replica(body) => body.end(&mut self.exchange),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { source, exchange } = self.get_mut();
        let polled = match source {
            Source::Local(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}),
            Source::Replica(body) => body.poll_frame(cx, exchange),
        };
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            exchange.sends(data.len());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Local(full) => full.is_end_stream(),
            Source::Replica(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Local(full) => full.size_hint(),
            Source::Replica(body) => body.incoming.size_hint(),
        }
    }
}

impl ReplicaBody {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending() && exchange.progress().watch().is_expired() {
            self.break_off(FailureKind::Timeout, exchange);
            return Poll::Ready(Some(Err("the replica's answer stopped in its middle".into())));
        }
        match ready!(polled) {
            Some(Ok(frame)) => {
                exchange.progress().allow_body_pause();
                self.done |= frame.is_trailers();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.break_off(FailureKind::Closed, exchange);
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                self.done = true;
                Poll::Ready(None)
            }
        }
    }

    /// The connection to the replica is not used again.
    fn break_off(&mut self, kind: FailureKind, exchange: &mut Exchange) {
        self.link = None;
        exchange.failed(Reason::AnswerCut);
        let endpoint = self.in_flight.endpoint();
        endpoint.failed();
        exchange.client().worker.outcomes.report(Outcome { endpoint: endpoint.id, kind });
    }

    fn end(&mut self, exchange: &mut Exchange) {
        // Cut short, bytes of this answer are still to come on the connection; with an upload
        // that goes on, bytes of its request.
        let answered = self.done || self.incoming.is_end_stream();
        let sent = self.upload.as_ref().is_none_or(|upload| upload.waits_for() == Upload::Done);
        if answered {
            exchange.complete();
        }
        if let Some(link) = self.link.take().filter(|_| answered && sent) {
            let worker = &exchange.client().worker;
            worker.pool.put(self.in_flight.endpoint().id, link, worker.clock.now());
        }
    }
}
