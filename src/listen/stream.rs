//! A TCP connection on whichever engine its thread has: tokio's epoll, or a ring of `io_uring`. What is above
//! sees one type.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How bytes are received and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Engine {
    /// A system call each, when epoll says that it does something.
    #[default]
    Epoll,
    /// Queued, and done many at a time.
    Uring,
}

/// A TCP connection.
#[derive(Debug)]
pub enum Stream {
    /// Of tokio.
    Epoll(TcpStream),
    /// On the ring of this thread.
    Uring(ringherd_uring::Stream),
}

impl Stream {
    /// Takes over a connection of tokio's.
    ///
    /// # Errors
    /// With a ring: the thread has none, or the connection cannot be taken from tokio.
    pub fn on(engine: Engine, tcp: TcpStream) -> io::Result<Self> {
        match engine {
            Engine::Epoll => Ok(Self::Epoll(tcp)),
            Engine::Uring => ringherd_uring::Stream::from_std(tcp.into_std()?).map(Self::Uring),
        }
    }

    /// Looks at what comes next, without reading it.
    pub async fn peek(&self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Epoll(tcp) => tcp.peek(space).await,
            Self::Uring(stream) => stream.peek(space).await,
        }
    }

    /// The address at this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Epoll(tcp) => tcp.local_addr(),
            Self::Uring(stream) => stream.local_addr(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Epoll(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Uring(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Epoll(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Uring(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Epoll(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Uring(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Epoll(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Uring(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Epoll(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Uring(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
