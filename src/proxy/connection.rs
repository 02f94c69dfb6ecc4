//! One connection from a client, from its accept to its end.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::client::Client;
use super::progress::Progress;
use super::service;
use super::state::Worker;
use super::stream::ClientStream;
use crate::ring;

/// How long an idle connection is kept when the balancer stops.
const LINGER: Duration = Duration::from_millis(250);

/// Serves one connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, tcp: TcpStream, peer: SocketAddr) {
    // Answers are written whole: waiting for more to send would only add delay.
    let _ = tcp.set_nodelay(true);
    let progress = Rc::new(Progress::new(worker.clock.watch(), worker.limits(), worker.local.is_some()));
    let stream = TokioIo::new(ClientStream::new(tcp, Rc::clone(&progress)));
    let text = peer.ip().to_canonical().to_string();
    let client = Rc::new(Client {
        worker: Rc::clone(&worker),
        progress: Rc::clone(&progress),
        peer,
        address_key: ring::request_id(text.as_bytes()),
        address_text: HeaderValue::try_from(text).expect("an address is a header value"),
    });
    let service = service_fn(move |request| service::handle(Rc::clone(&client), request));
    let mut connection = pin!(worker.server.borrow().serve_connection(stream, service));
    let (mut lingers, mut told_to_close) = (false, false);
    poll_fn(|cx| {
        progress.watch().register(cx.waker());
        // Before anything is decided, so that what has come already is seen.
        let polled = connection.as_mut().poll(cx);
        if polled.is_ready() || progress.is_overdue() {
            return Poll::Ready(());
        }
        if worker.is_closing() && progress.is_busy() && !told_to_close {
            // The answer under way says `Connection: close`.
            told_to_close = true;
            connection.as_mut().graceful_shutdown();
            return connection.as_mut().poll(cx).map(drop);
        }
        if worker.is_closing() && progress.is_idle() && !lingers {
            // A request may be on its way: closing now would lose it.
            lingers = true;
            progress.watch().set(LINGER);
        }
        Poll::Pending
    })
    .await;
}
