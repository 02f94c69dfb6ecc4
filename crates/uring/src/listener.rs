//! A listening socket. tokio's own registers each connection with epoll, and a [`Stream`] has no use for that.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::Stream;

/// A listening socket, whose connections are on the ring of its thread.
#[derive(Debug)]
pub struct Listener(AsyncFd<TcpListener>);

impl Listener {
    /// Takes over a socket that listens.
    ///
    /// # Errors
    /// It cannot be registered with tokio.
    pub fn from_std(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // SAFETY: a `TcpListener` is open, and stays the same, until it drops.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self(socket.map_err(io::Error::from)?))
    }

    /// The next connection.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            if let Ok(accepted) = ready.try_io(|_| self.accept()) {
                return Poll::Ready(accepted);
            }
        }
    }

    /// A connection that waits, or an error that says that none does.
    pub fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        // Connections block, which is what the ring wants, although the listener does not.
        let (tcp, peer) = acceptfrom_with(self.0.get_ref(), SocketFlags::CLOEXEC)?;
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(io::ErrorKind::Unsupported)?;
        Ok((Stream::from_blocking(tcp.into())?, peer))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
