//! One request and its response on a stream of a shared connection.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use h2::Reason;
use h2::client::ResponseFuture;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Request, Response};
use tokio::task::AbortHandle;

use super::StreamBody;
use super::connection::SharedConnection;
use super::head;
use super::pump::Upload;
use crate::proxy::field_name;
use crate::proxy::interim::InterimSender;
use crate::proxy::upload::RequestBody;
use crate::proxy::upstream::{Blame, SendError, UpstreamBody};

/// What comes of sending a request.
pub(crate) type Sending = Pin<Box<dyn Future<Output = Result<Response<UpstreamBody>, Box<SendError>>>>>;

/// The right to send one request on a shared connection. Dropped before its response is complete it takes
/// the request back (`RST_STREAM` with `CANCEL`); the other streams of the connection go on.
#[derive(Debug)]
pub(crate) struct Stream {
    connection: Rc<SharedConnection>,
    was_used: bool,
    upload: Option<AbortHandle>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload {
            upload.abort();
        }
        self.connection.leave();
    }
}

impl Stream {
    /// One on `connection`, if that has room.
    pub(super) fn on(connection: &Rc<SharedConnection>) -> Option<Self> {
        let was_used = connection.enter()?;
        Some(Self { connection: Rc::clone(connection), was_used, upload: None })
    }

    /// Whether its connection had streams before.
    pub(crate) fn is_on_used(&self) -> bool {
        self.was_used
    }

    /// Has its connection take no more streams. Nothing came in time: it may be one that leads nowhere.
    pub(crate) fn distrust(&self) {
        self.connection.retire();
    }

    /// Sends a request and waits for the head of its response. For a thread that runs local tasks.
    pub(crate) fn send(&mut self, request: Request<RequestBody>) -> Sending {
        let begun = self.begin(request);
        Box::pin(async move {
            match begun {
                Ok(exchange) => exchange.run().await,
                Err(error) => Err(error),
            }
        })
    }

    fn begin(&mut self, request: Request<RequestBody>) -> Result<Exchange, Box<SendError>> {
        let (mut parts, body) = request.into_parts();
        let interim = parts.extensions.remove::<InterimSender>();
        let connection = &self.connection;
        let head = head::to_http2(&parts, connection.is_tls, &connection.host)
            .map_err(|why| Box::new(SendError { blame: Blame::RequestHead(why), unsent: None }))?;
        let is_empty = matches!(body, RequestBody::Empty);
        let sent = connection.sender().map(|mut sender| sender.send_request(head, is_empty));
        let Some(Ok((response, stream))) = sent else {
            connection.retire();
            let unsent = Some(Request::from_parts(parts, body));
            return Err(Box::new(SendError { blame: Blame::NotProcessed, unsent }));
        };
        let upload = (!is_empty).then(|| Rc::new(Upload::new(body)));
        if let Some(upload) = &upload {
            let upload = Rc::clone(upload);
            let pumping = tokio::task::spawn_local(async move { upload.pump(stream).await });
            self.upload = Some(pumping.abort_handle());
        }
        let pumping = self.upload.clone();
        Ok(Exchange { connection: Rc::clone(connection), parts, response, interim, upload, pumping })
    }
}

/// A request that was sent.
struct Exchange {
    connection: Rc<SharedConnection>,
    /// Its head, to be sent again.
    parts: Parts,
    response: ResponseFuture,
    /// What interim responses are given to, if anybody wants them.
    interim: Option<InterimSender>,
    upload: Option<Rc<Upload>>,
    pumping: Option<AbortHandle>,
}

impl Exchange {
    async fn run(self) -> Result<Response<UpstreamBody>, Box<SendError>> {
        let Self { connection, parts, mut response, interim, upload, pumping } = self;
        let responded = poll_fn(|cx| {
            if let Some(interim) = &interim {
                pass_interim(&mut response, interim, cx);
            }
            Pin::new(&mut response).poll(cx)
        });
        let error = match responded.await {
            Ok(response) => {
                if let Some(upload) = upload {
                    upload.is_heard();
                }
                if !field_name::are_tokens(response.headers()) {
                    return Err(Box::new(SendError { blame: Blame::Response, unsent: None }));
                }
                if connection.limits.are_passed(response.headers()) {
                    return Err(Box::new(SendError { blame: Blame::ResponseHead, unsent: None }));
                }
                let length = response.headers().get(CONTENT_LENGTH);
                let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
                return Ok(response.map(|stream| UpstreamBody::Http2(StreamBody::new(stream, length))));
            }
            Err(error) => error,
        };
        if !error.is_reset() {
            connection.retire();
        }
        if upload.as_ref().is_some_and(|upload| upload.has_failed()) {
            return Err(Box::new(SendError { blame: Blame::RequestBody, unsent: None }));
        }
        let blame = blame(&error);
        let mut unsent = None;
        if blame == Blame::NotProcessed {
            if let Some(pumping) = pumping {
                pumping.abort();
            }
            let body = upload.map_or(Some(RequestBody::Empty), |upload| upload.take_back());
            unsent = body.map(|body| Request::from_parts(parts, body));
        }
        Err(Box::new(SendError { blame, unsent }))
    }
}

/// Passes on the interim responses that have come.
#[cold]
fn pass_interim(response: &mut ResponseFuture, interim: &InterimSender, cx: &mut Context<'_>) {
    // An error is that of the response, too.
    while let Poll::Ready(Some(Ok(head))) = response.poll_informational(cx) {
        if field_name::are_tokens(head.headers()) {
            interim.pass(head.status(), head.headers());
        }
    }
}

/// What a request without a response failed of.
fn blame(error: &h2::Error) -> Blame {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_remote() && (error.is_go_away() || refused) {
        // GOAWAY names the last stream that may have been processed, and h2 lets those finish.
        Blame::NotProcessed
    } else if error.is_library() {
        Blame::Response
    } else {
        Blame::Connection
    }
}
