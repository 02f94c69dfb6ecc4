//! The body of an answer on its way to the client: passed on frame by frame, never collected.

use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use super::client::Client;
use super::progress::Progress;
use super::upload::{Upload, UploadState};
use super::upstream::Link;
use crate::cluster::{FailureKind, InFlight, Outcome};

type BoxError = Box<dyn Error + Send + Sync>;

/// Body of an answer, to the client.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    source: Source,
    progress: Rc<Progress>,
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
    pub(crate) client: Rc<Client>,
    /// Whether the last frame has been seen: a body in chunks knows of no end before it.
    pub(crate) done: bool,
}

impl AnswerBody {
    /// An answer of our own.
    pub(crate) fn local(body: Full<Bytes>, progress: Rc<Progress>) -> Self {
        Self { source: Source::Local(body), progress }
    }

    /// An answer from a replica.
    pub(crate) fn replica(body: ReplicaBody) -> Self {
        let progress = Rc::clone(&body.client.progress);
        Self { source: Source::Replica(body), progress }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.progress.request_ended();
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().source {
            Source::Local(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}),
            Source::Replica(body) => body.poll_frame(cx),
        }
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
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending() && self.client.progress.watch().is_expired() {
            self.report(FailureKind::Timeout);
            return Poll::Ready(Some(Err("the replica's answer stopped in its middle".into())));
        }
        match ready!(polled) {
            Some(Ok(frame)) => {
                self.client.progress.allow_body_pause();
                self.done |= frame.is_trailers();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.report(FailureKind::Closed);
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                self.done = true;
                Poll::Ready(None)
            }
        }
    }

    /// Breaks off: the connection to the replica is not used again.
    fn report(&mut self, kind: FailureKind) {
        self.link = None;
        let endpoint = self.in_flight.endpoint().id;
        self.client.worker.outcomes.report(Outcome { endpoint, kind });
    }
}

impl Drop for ReplicaBody {
    fn drop(&mut self) {
        // Cut short, bytes of this answer are still to come on the connection; with an upload
        // that goes on, bytes of its request.
        let answered = self.done || self.incoming.is_end_stream();
        let sent = self.upload.as_ref().is_none_or(|upload| upload.waits_for() == Upload::Done);
        if let Some(link) = self.link.take().filter(|_| answered && sent) {
            let worker = &self.client.worker;
            worker.pool.put(self.in_flight.endpoint().id, link, worker.clock.now());
        }
    }
}
