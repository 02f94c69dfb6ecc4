//! The body of a response, from a stream.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};

use crate::proxy::field_name;

/// Body of a response over HTTP/2. Its window opens as its parts are taken. A stream that is reset in its
/// middle is an error, whatever the reason.
#[derive(Debug)]
pub(crate) struct StreamBody {
    stream: RecvStream,
    /// What is still to come, where that is known.
    rest: Option<u64>,
    /// Whether only trailers may come.
    is_past_data: bool,
}

impl StreamBody {
    pub(super) fn new(stream: RecvStream, length: Option<u64>) -> Self {
        Self { stream, rest: length, is_past_data: false }
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        while !this.is_past_data {
            match ready!(this.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // An error means that the stream has ended, and no window is needed.
                    let _ = this.stream.flow_control().release_capacity(data.len());
                    if data.is_empty() && !this.stream.is_end_stream() {
                        continue;
                    }
                    this.rest = this.rest.map(|rest| rest.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => this.is_past_data = true,
            }
        }
        let trailers = ready!(this.stream.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|mut trailers| {
            field_name::retain_tokens(&mut trailers);
            Ok(Frame::trailers(trailers))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.rest {
            Some(rest) => SizeHint::with_exact(rest),
            None => SizeHint::default(),
        }
    }
}
