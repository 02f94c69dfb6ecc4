//! The body of a response on a stream. Tells its request whether the client takes it.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::proxy::headers;
use crate::proxy::response::ResponseBody;
use crate::proxy::timeline::Input;

/// Body of a response, on a stream.
#[derive(Debug)]
pub(super) struct StreamBody {
    body: ResponseBody,
    /// Whether it has none, whatever there is: hyper knows that of HTTP/1 alone.
    is_bodiless: bool,
    /// Whether a part was handed on, and the next one not asked for yet, or not given: the client has no
    /// window for it, or takes nothing from its socket.
    is_offered: bool,
}

impl StreamBody {
    /// That of `response`, which is one to `HEAD` or not.
    pub(super) fn of(mut response: Response<ResponseBody>, to_head: bool) -> Response<Self> {
        let is_bodiless =
            to_head || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if to_head
            && !response.body().is_end_stream()
            && let Some(length) = response.body().size_hint().exact()
        {
            response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        response.map(|body| Self { body, is_bodiless, is_offered: false })
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
        // What is handed on now would only wait, part by part, each with what it costs to keep it.
        if this.body.waits_for_socket(cx) {
            if !std::mem::replace(&mut this.is_offered, true) {
                this.body.tell(Input::ClientBlocked(true));
            }
            return Poll::Pending;
        }
        if std::mem::take(&mut this.is_offered) {
            this.body.tell(Input::ClientBlocked(false));
        }
        let mut polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled {
            if let Some(trailers) = frame.trailers_mut() {
                headers::clean_response_trailers(trailers);
            } else if !this.body.is_end_stream() {
                this.is_offered = true;
                this.body.tell(Input::ClientBlocked(true));
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_bodiless || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
