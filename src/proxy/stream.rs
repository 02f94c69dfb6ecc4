//! The sockets under hyper: what is read and written passes here, by tokio's traits, which give
//! a look at the bytes without a copy.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::progress::Progress;

/// Up to this many bytes are gathered into one buffer before they are sent: one `send` of a
/// small answer is cheaper than a `writev` of head and body, while large bodies are not copied.
const GATHER: usize = 4096;

thread_local! {
    static GATHERED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(GATHER));
}

/// A connection to a replica.
#[derive(Debug)]
pub(crate) struct UpstreamStream(pub(crate) TcpStream);

/// A connection from a client; tells its [`Progress`] of what happens on it.
#[derive(Debug)]
pub(crate) struct ClientStream {
    tcp: TcpStream,
    progress: Rc<Progress>,
    blocked: Cell<bool>,
}

impl ClientStream {
    pub(crate) fn new(tcp: TcpStream, progress: Rc<Progress>) -> Self {
        Self { tcp, progress, blocked: Cell::new(false) }
    }

    fn wrote<T>(&self, outcome: Poll<T>) -> Poll<T> {
        let blocked = outcome.is_pending();
        if self.blocked.replace(blocked) || blocked {
            self.progress.write_blocked(blocked);
        }
        outcome
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.tcp).poll_read(cx, buf);
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            this.progress.bytes_read(read);
        }
        outcome
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.tcp).poll_write(cx, buf);
        this.wrote(outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = write_gathered(&mut this.tcp, cx, bufs);
        this.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        write_gathered(&mut self.get_mut().0, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

/// Small slices in one `send`, large ones as they are in a `writev`.
fn write_gathered(
    tcp: &mut TcpStream,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [only] = bufs {
        return Pin::new(tcp).poll_write(cx, only);
    }
    let total: usize = bufs.iter().map(|buf| buf.len()).sum();
    if total > GATHER {
        return Pin::new(tcp).poll_write_vectored(cx, bufs);
    }
    GATHERED.with_borrow_mut(|gathered| {
        gathered.clear();
        for buf in bufs {
            gathered.extend_from_slice(buf);
        }
        Pin::new(tcp).poll_write(cx, gathered)
    })
}
