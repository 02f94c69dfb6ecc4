//! A listening socket on whichever engine its thread has.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::net::{TcpListener, TcpStream};

use super::{Engine, Stream};

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// Of tokio.
    Epoll(TcpListener),
    /// Its connections are on the ring of this thread.
    Uring(ringherd_uring::Listener),
}

impl Listener {
    /// Takes over a socket that listens and does not block.
    ///
    /// # Errors
    /// It cannot be registered with the runtime of this thread.
    pub fn on(engine: Engine, socket: StdListener) -> io::Result<Self> {
        match engine {
            Engine::Epoll => TcpListener::from_std(socket).map(Self::Epoll),
            Engine::Uring => ringherd_uring::Listener::from_std(socket).map(Self::Uring),
        }
    }

    /// The next connection.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        match self {
            Self::Epoll(socket) => socket.poll_accept(cx).map_ok(|(tcp, peer)| (Stream::Epoll(tcp), peer)),
            Self::Uring(socket) => {
                socket.poll_accept(cx).map_ok(|(stream, peer)| (Stream::Uring(stream), peer))
            }
        }
    }

    /// A connection that the kernel has completed already, whatever the runtime knows of it.
    pub(super) fn accept_waiting(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Epoll(socket) => {
                let (tcp, peer) = acceptfrom_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                Ok((Stream::Epoll(TcpStream::from_std(tcp.into())?), peer.ok_or(io::ErrorKind::Unsupported)?))
            }
            Self::Uring(socket) => socket.accept().map(|(stream, peer)| (Stream::Uring(stream), peer)),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Epoll(socket) => socket.as_fd(),
            Self::Uring(socket) => socket.as_fd(),
        }
    }
}
