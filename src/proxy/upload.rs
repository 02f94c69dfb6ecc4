//! The body of a request on its way to a replica: passed on frame by frame, never collected.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::progress::Progress;

/// Who an unfinished upload waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    /// The client is to send more.
    Client,
    /// The replica is to take what there is.
    Replica,
    /// Nobody: all is sent.
    Done,
}

/// The state of an upload, seen by the request that waits for its answer.
#[derive(Debug)]
pub(crate) struct UploadState {
    waits_for: Cell<Upload>,
    progress: Rc<Progress>,
    answer_time: Duration,
}

impl UploadState {
    pub(crate) fn waits_for(&self) -> Upload {
        self.waits_for.get()
    }

    fn set(&self, upload: Upload) {
        self.waits_for.set(upload);
    }

    fn finish(&self) {
        let before = self.waits_for.replace(Upload::Done);
        // After an early answer the deadline is no longer this request's.
        if before != Upload::Done && self.progress.is_busy() {
            self.progress.watch().set(self.answer_time);
        }
    }
}

/// Body of a request, from the client to a replica.
#[derive(Debug, Default)]
pub(crate) enum RequestBody {
    /// None: such a request can be repeated.
    #[default]
    Empty,
    /// What the client sends.
    Stream(Incoming, Rc<UploadState>),
}

impl RequestBody {
    /// Streams `incoming`; a pause is limited by the deadline of `progress`, and the end starts
    /// the time for the answer.
    pub(crate) fn stream(
        incoming: Incoming,
        progress: Rc<Progress>,
        answer_time: Duration,
    ) -> (Self, Rc<UploadState>) {
        let state = Rc::new(UploadState { waits_for: Cell::new(Upload::Replica), progress, answer_time });
        (Self::Stream(incoming, Rc::clone(&state)), state)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Stream(incoming, state) = self.get_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        match &polled {
            Poll::Pending => state.set(Upload::Client),
            Poll::Ready(Some(Ok(_))) if !incoming.is_end_stream() => {
                state.set(Upload::Replica);
                state.progress.allow_body_pause();
            }
            Poll::Ready(_) => state.finish(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(incoming, _) => incoming.size_hint(),
        }
    }
}
