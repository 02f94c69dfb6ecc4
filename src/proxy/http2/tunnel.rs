//! A tunnel on a stream: what a `CONNECT` becomes when its replica has taken the upgrade (RFC 8441). The
//! tunnel is that of HTTP/1; here is what it reads from and writes to.
//!
//! hyper gives that in two parts, because it wants them on two tasks: a stream of bytes, and a future that
//! hands to h2 what was written. Here one task has both, so that what is dropped with the tunnel resets the
//! stream, and nothing that ends by a reset looks like an end.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::streams::Running;
use crate::proxy::connection::Connection;
use crate::proxy::tunnel::Tunnel;

/// A stream that is to become a tunnel.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) connection: Rc<Connection>,
    pub(super) tunnel: Box<Tunnel>,
    /// There as soon as the response is sent.
    pub(super) stream: OnUpgrade,
}

/// Runs a tunnel to its end. `sender` hands on what is written, until it is told the end or the client
/// resets the stream.
pub(super) async fn run(switch: Switch, sender: impl Future<Output = ()>, _running: Running) {
    let Switch { connection, tunnel, stream } = switch;
    let Ok(stream) = stream.await else { return };
    let state = Rc::<State>::default();
    let stream = Stream { io: TokioIo::new(stream), connection, state: Rc::clone(&state) };
    let mut passing = pin!(tunnel.run(TokioIo::new(stream), Bytes::new()));
    let mut sender = pin!(Some(sender));
    let mut send = |cx: &mut Context<'_>| {
        if let Some(sending) = sender.as_mut().as_pin_mut()
            && sending.poll(cx).is_ready()
        {
            // The stream hears of it when this drops.
            sender.set(None);
            state.is_sent.set(true);
        }
    };
    poll_fn(|cx| {
        // Before, so that the tunnel sees a reset; and behind it, so that what it has written goes on.
        send(cx);
        let polled = passing.as_mut().poll(cx);
        if polled.is_pending() {
            // Else it would take the stream that was let go for one that was told its end.
            send(cx);
            if state.is_reset() && state.has_ended.get() {
                // The tunnel reads no more, and would not see it.
                return Poll::Ready(());
            }
        }
        polled
    })
    .await;
}

/// What has become of the stream.
#[derive(Debug, Default)]
struct State {
    /// The client has said that it sends no more.
    has_ended: Cell<bool>,
    /// Nothing more will be written.
    is_closing: Cell<bool>,
    /// Nothing more is sent.
    is_sent: Cell<bool>,
}

impl State {
    /// Whether the client has reset it before its end.
    fn is_reset(&self) -> bool {
        self.is_sent.get() && !self.is_closing.get()
    }
}

/// The stream, as a tunnel reads and writes it.
#[derive(Debug)]
struct Stream {
    io: TokioIo<Upgraded>,
    connection: Rc<Connection>,
    state: Rc<State>,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        let is_end = matches!(polled, Poll::Ready(Ok(()))) && buffer.filled().len() == before;
        // hyper takes `CANCEL` for an end, which is what a reset of TCP becomes (RFC 8441, section 4).
        if is_end && self.state.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.state.has_ended.set(is_end);
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // h2 would keep what the socket does not take, with some hundred bytes of its own for each part.
        if self.connection.is_write_blocked() {
            self.connection.wake_when_unblocked(cx.waker());
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.is_closing.set(true);
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
