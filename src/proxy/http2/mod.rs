//! Connections of clients that speak HTTP/2: many requests at a time, each a stream with a task of its
//! own. Replicas notice nothing of it: from here on a request is like any other.
//!
//! What differs from HTTP/1 is all here: the limits of a connection ([`builder`]), its end (a GOAWAY
//! first, so that its client knows which requests were taken), the deadline of a client that grants
//! one stream no window ([`streams`], [`body`]), what a head says in another way ([`request`]), and that a
//! stream may become a tunnel while others go on ([`tunnel`]).

mod body;
mod request;
mod streams;
mod transport;
mod tunnel;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http::header::CONNECTION;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::upgrade;

use super::connection::Connection;
use super::connection_timeline::ConnectionInput;
use super::request::ActiveRequest;
use super::transport::Transport;
use super::upload::RequestBody;
use super::{ProxyConfig, service};
use body::StreamBody;
use streams::{AbortOnDrop, Streams};
use transport::Http2Transport;
use tunnel::Switch;

/// Most requests of one connection at a time.
const MAX_STREAMS: u32 = 100;

/// Bytes of one request's body that may be on their way, or wait here for its replica.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same of all requests of a connection. Not less: half of it is also what h2 allows of small
/// frames before it takes them for a flood, at 256 bytes each. One stream whose window is full of messages
/// of gRPC that have 5 bytes is none.
const CONNECTION_WINDOW: u32 = 7 * 1024 * 1024;

/// Bytes of one response that wait for the client's window; a hundred of them for one client.
const MAX_SEND_BUFFER: usize = 64 * 1024;

/// Streams that a client has reset before they were looked at, and errors of its that reset streams,
/// before its connection ends: what does that on purpose costs more than it sends.
const MAX_PENDING_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 1024;

fn builder(config: &ProxyConfig, streams: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .enable_connect_protocol();
    builder
}

/// Serves a connection to its end, from the preface on.
pub(super) async fn serve<T: Transport + 'static>(connection: Rc<Connection>, transport: T) {
    connection.on(ConnectionInput::Http2);
    let worker = Rc::clone(&connection.worker);
    worker.recorder.speaks_http2();
    let streams = Streams::default();
    let _streams = AbortOnDrop(streams.clone());
    let (handler, begun) = (Rc::clone(&connection), streams.clone());
    let service = service_fn(move |request| handle(&handler, &begun, request));
    {
        let stream = Http2Transport::new(transport, Rc::clone(&connection));
        let http = builder(&worker.config(), streams.clone()).serve_connection(stream, service);
        let (mut http, mut is_leaving, mut awaits_windows) = (pin!(http), false, false);
        poll_fn(|cx| {
            loop {
                if http.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                if streams.are_taken_back() {
                    tracing::debug!(peer = %connection.peer, "a client that takes its requests back is cut off");
                    http.as_mut().graceful_shutdown();
                    // With what says so.
                    let _ = http.as_mut().poll(cx);
                    return Poll::Ready(());
                }
                let mut is_expired = connection.is_expired(cx.waker());
                if is_expired && is_leaving && !awaits_windows && streams.go_on() {
                    awaits_windows = true;
                    connection.on(ConnectionInput::Unsent);
                    is_expired = connection.is_expired(cx.waker());
                }
                if is_expired && (is_leaving || connection.is_write_blocked()) {
                    return Poll::Ready(());
                }
                if is_leaving || !(is_expired || worker.is_closing() || connection.is_used_up()) {
                    return Poll::Pending;
                }
                // A request may be on its way. It is still served, or the client knows that it was not.
                is_leaving = true;
                connection.on(ConnectionInput::Drain);
                http.as_mut().graceful_shutdown();
            }
        })
        .await;
    }
    streams.end().await;
}

/// Begins a request, so that whoever runs its stream knows it, and responds to it.
fn handle(
    connection: &Rc<Connection>,
    streams: &Streams,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response<StreamBody>, Infallible>> + use<> {
    let to_head = *request.method() == Method::HEAD;
    let upgrade = (*request.method() == Method::CONNECT).then(|| upgrade::on(&mut request));
    let active = ActiveRequest::begin(connection, &request);
    streams.comes_next(active.state());
    let mut request = request.map(|body| RequestBody::of(body, active.state()));
    let connect = upgrade.map(|stream| Box::new((Rc::clone(connection), streams.clone(), stream)));
    // In a box, because spawning moves the future of a stream about ten times, and this one is large.
    let responding = Box::pin(async move {
        match request::prepare(&active, &mut request).await {
            Ok(()) => service::respond(active, request).await,
            Err(failure) => Ok(service::refuse(&failure, to_head, active, Some(&request))),
        }
    });
    async move {
        let mut response = responding.await?;
        // What our own refusals say where a connection has one request at a time.
        response.headers_mut().remove(CONNECTION);
        if let Some((connection, streams, stream)) = connect.map(|connect| *connect)
            && let Some(tunnel) = connection.take_tunnel()
        {
            streams.becomes(Switch { connection, tunnel, stream });
        }
        Ok(StreamBody::of(response, to_head))
    }
}
