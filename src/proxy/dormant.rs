//! Connections that wait for bytes without holding a buffer for them.
//!
//! hyper keeps two buffers of 8 KiB for each connection, also while nothing comes on it. So a connection
//! is given to hyper only when its first bytes have come, and taken back when it has been idle for a
//! while: then it is *dormant*. It waits with a buffer that all connections of its thread share, and what
//! comes into that is copied out at once and put in front of what hyper reads. Knows nothing of requests: when a
//! connection may become dormant is decided where its timeline is.

use std::cell::RefCell;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use hyper::rt::{Read, ReadBuf};

use super::connection::Connection;
use super::connection_timeline::ConnectionInput;
use super::timeline::Millis;
use super::transport::{ClientStream, Transport};

/// How long a connection is idle before it gives up its buffers: long enough that one that is in use keeps
/// them, since to get them again costs more than a request.
pub(super) const DORMANT_AFTER: Millis = 2_000;

/// Most bytes that wake a connection at once; more wait in the socket.
const FIRST_READ: usize = 8 * 1024;

thread_local! {
    static SHARED: RefCell<Box<[MaybeUninit<u8>]>> = RefCell::new(Box::new_uninit_slice(FIRST_READ));
}

/// Whether a connection holds buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dormancy {
    /// It is hyper's, and does.
    Awake,
    /// It is to give them up as soon as its task looks at it, if it still may.
    Asked,
    /// It holds none.
    Dormant,
    /// It keeps them from now on.
    Never,
}

/// What ends the wait of a dormant connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Bytes came, which are not looked at yet.
    Bytes(Bytes),
    /// It was the beginning of HTTP/2, which the stream has kept.
    Http2,
    /// Its time is over, or its client has left.
    Ended,
}

/// Waits until something comes on `stream`, which has nothing under way.
pub(super) async fn wait<T: Transport>(connection: &Rc<Connection>, stream: &mut ClientStream<T>) -> Woken {
    connection.is_now(Dormancy::Dormant);
    let woken = poll_fn(|cx| {
        connection.register(cx.waker());
        let polled = SHARED.with_borrow_mut(|shared| {
            let mut buffer = ReadBuf::uninit(shared);
            Pin::new(&mut *stream)
                .poll_read(cx, buffer.unfilled())
                .map_ok(|()| Bytes::copy_from_slice(buffer.filled()))
        });
        match polled {
            Poll::Ready(Ok(bytes)) if !bytes.is_empty() => return Poll::Ready(Woken::Bytes(bytes)),
            Poll::Ready(_) => return Poll::Ready(Woken::Ended),
            Poll::Pending => {}
        }
        if connection.speaks_http2() {
            return Poll::Ready(Woken::Http2);
        }
        if connection.is_overdue() {
            return Poll::Ready(Woken::Ended);
        }
        if connection.worker.is_closing() {
            connection.on(ConnectionInput::Drain);
        }
        Poll::Pending
    })
    .await;
    connection.is_now(Dormancy::Awake);
    woken
}
