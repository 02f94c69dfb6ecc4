//! The body of a request on its way to a replica: passed on frame by frame, never collected.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::headers;
use super::quiet;
use super::request::RequestState;
use super::timeline::Input;

type BoxError = Box<dyn Error + Send + Sync>;

/// Body of a request, from the client. What it is read from is hidden: hyper's type for it differs
/// from one version of HTTP, and from one test, to another.
#[derive(Debug, Default)]
pub enum RequestBody {
    /// None: such a request can be sent again.
    #[default]
    Empty,
    /// What the client sends. In a box, because hyper moves each request a dozen times, and most have no body.
    Stream(Box<Upload>),
}

/// A body that the client still sends.
pub struct Upload {
    source: Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>,
    /// The request to tell how it goes.
    request: Option<Rc<RequestState>>,
    /// How many bytes of it may still come, if that is limited.
    allowed: Option<u64>,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

impl RequestBody {
    /// A body that is read from `source`.
    pub(crate) fn new<B>(source: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
    {
        if source.is_end_stream() {
            return Self::Empty;
        }
        let source = http_body_util::BodyExt::map_err(source, Into::into);
        Self::Stream(Box::new(Upload { source: Box::pin(source), request: None, allowed: None }))
    }

    /// The same for `request`, which is told how it goes.
    pub(crate) fn of<B>(source: B, request: &Rc<RequestState>) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
    {
        let mut body = Self::new(source);
        if let Self::Stream(upload) = &mut body {
            upload.request = Some(Rc::clone(request));
        }
        body
    }

    /// The same with what was taken out of it already put back in front.
    #[cold]
    pub(crate) fn preceded_by(self, parts: Vec<Bytes>, trailers: Option<HeaderMap>) -> Self {
        let Self::Stream(upload) = self else { return Self::Empty };
        let Upload { source, request, allowed } = *upload;
        // What comes again is counted again.
        let taken: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let allowed = allowed.map(|allowed| allowed.saturating_add(taken));
        let source: Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>> = match (parts, trailers) {
            (parts, None) if parts.is_empty() => source,
            (parts, trailers) => Box::pin(Resumed { parts: parts.into(), trailers, rest: source }),
        };
        Self::Stream(Box::new(Upload { source, request, allowed }))
    }

    /// Breaks off behind so many bytes, if more come.
    pub(crate) fn limit(&mut self, bytes: u64) {
        if let Self::Stream(upload) = self {
            upload.allowed = Some(bytes);
        }
    }
}

/// A body of which the beginning was taken out and put back.
struct Resumed {
    parts: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>,
}

impl Body for Resumed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(part) = this.parts.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        match this.trailers.take() {
            Some(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            None => this.rest.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && self.trailers.is_none() && self.rest.is_end_stream()
    }
}

impl Upload {
    /// Takes a part into account; whether it may be passed on.
    #[cold]
    fn allows(&mut self, part: &Bytes) -> bool {
        self.allowed = self.allowed.and_then(|allowed| allowed.checked_sub(part.len() as u64));
        if self.allowed.is_none() {
            // Nothing is passed on from here.
            self.allowed = Some(0);
            self.request.iter().for_each(|request| request.exceeds_body_limit());
            return false;
        }
        true
    }

    fn tell(&self, input: Input) {
        if let Some(request) = &self.request {
            request.on(input);
        }
    }

    /// It broke off. Over HTTP/2 nothing comes on a stream, and nothing can be told on it, after that.
    #[cold]
    fn broke_off(&self) {
        if let Some(request) = &self.request
            && request.connection().is_http2()
        {
            request.on(Input::ClientReset);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self::Stream(upload) = self.get_mut() else { return Poll::Ready(None) };
        let mut polled = quiet::poll_frame(upload.source.as_mut(), cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            headers::clean_trailers(trailers);
        }
        if upload.allowed.is_some()
            && let Poll::Ready(Some(Ok(frame))) = &polled
            && frame.data_ref().is_some_and(|part| !upload.allows(part))
        {
            // The client has not sent all of it, and nobody is told that it has.
            return Poll::Ready(Some(Err("the request body is larger than --max-body".into())));
        }
        if matches!(&polled, Poll::Ready(Some(Err(_)))) {
            upload.broke_off();
        }
        upload.tell(match &polled {
            Poll::Pending => Input::UploadStarved,
            // Behind trailers nothing comes, and hyper does not ask.
            Poll::Ready(Some(Ok(frame))) if !frame.is_trailers() && !upload.source.is_end_stream() => {
                Input::UploadFrame
            }
            Poll::Ready(_) => Input::UploadEnd,
        });
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(upload) => upload.source.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(upload) => upload.source.size_hint(),
        }
    }
}
