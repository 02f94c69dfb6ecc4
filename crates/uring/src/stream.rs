//! A TCP connection on the ring of its thread.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::reactor::Reactor;

/// A TCP connection. It stays on the thread of its [`Runtime`](crate::Runtime).
///
/// A write of up to 4 KiB counts as written before the kernel has it. An error of it comes with the next
/// write, flush or shutdown. A flush waits only if the peer does not take what was written; a shutdown, and a
/// drop, send it first.
pub struct Stream {
    reactor: Rc<Reactor>,
    index: usize,
}

impl Stream {
    /// Takes over a connection.
    ///
    /// # Errors
    /// The thread has no [`Runtime`](crate::Runtime) with a ring, or the mode of the socket cannot be set.
    pub fn from_std(tcp: TcpStream) -> io::Result<Self> {
        // Of one that does not block, the ring would report that there is nothing instead of waiting.
        tcp.set_nonblocking(false)?;
        Self::from_blocking(tcp)
    }

    /// Takes over a connection whose socket blocks.
    pub(crate) fn from_blocking(tcp: TcpStream) -> io::Result<Self> {
        let reactor = Reactor::current().ok_or_else(|| io::Error::other("this thread has no ring"))?;
        let index = reactor.add(tcp);
        Ok(Self { reactor, index })
    }

    /// Looks at what comes next, without reading it. As much as is there, up to the size of `space`, or up to
    /// 4 KiB; 0 at the end.
    pub async fn peek(&self, space: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.reactor.poll_peek(self.index, cx, space)).await
    }

    /// The address at this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.reactor.with(self.index, TcpStream::local_addr)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.reactor.remove(self.index);
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.reactor.poll_read(self.index, cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.reactor.poll_write(self.index, cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.reactor.poll_write(self.index, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reactor.poll_flush(self.index, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reactor.poll_shutdown(self.index, cx)
    }
}
