//! Listening sockets and the accept loop of any service. Knows nothing of what is served.

pub mod guarded;
pub mod linger;
mod listener;
pub mod open;
mod preface;
pub mod proxy_protocol;
pub mod server;
mod stream;
pub mod target;
mod target_encoder;

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::task::Poll;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

pub use guarded::{Guarded, ReadState};
pub use linger::Linger;
pub use listener::Listener;
pub use stream::{Engine, Stream};
pub use target::TargetGuard;
pub use target_encoder::encoded_target;

/// Connections the kernel completes before we accept them.
const BACKLOG: i32 = 4096;

/// Pause after an error that accepting again at once would only repeat, such as running out of
/// descriptors: long enough not to spin, short enough to be back quickly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds `count` sockets to one address; the kernel spreads connections over them.
///
/// Port 0 takes a port from the kernel, the same for all. An address that somebody else
/// listens on is refused, although `SO_REUSEPORT` alone would let two balancers share it
/// without either of them noticing.
///
/// # Errors
/// What the operating system says of the address.
pub fn bind_group(address: SocketAddr, count: usize) -> io::Result<Vec<StdListener>> {
    // Fails if somebody listens there. It never listens itself, so no connection is lost in it.
    drop(bind(address, false)?);
    let first = bind(address, true)?;
    let address = first.local_addr()?;
    let mut group = vec![first];
    while group.len() < count {
        group.push(bind(address, true)?);
    }
    for listener in &group {
        socket2::SockRef::from(listener).listen(BACKLOG)?;
    }
    Ok(group)
}

/// Binds one socket and listens.
///
/// # Errors
/// What the operating system says of the address.
pub fn bind_one(address: SocketAddr) -> io::Result<StdListener> {
    let listener = bind(address, false)?;
    socket2::SockRef::from(&listener).listen(BACKLOG)?;
    Ok(listener)
}

fn bind(address: SocketAddr, share: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier run in TIME_WAIT must not keep the address from us.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    // Connections have it from their listener. Responses are written whole: waiting for more to send would only
    // add delay.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

/// Accepts connections and hands each to `serve`, until `stop` completes. `room` is awaited
/// before each accept, so that a limit on connections holds them back in the kernel's queue. It may ask whether
/// one is held back, and what it returns is the place of the connection.
///
/// On stop, connections that the kernel has completed already are still handed over, without a place: closing
/// the socket would reset them.
pub async fn accept_loop<P>(
    listener: Listener,
    stop: impl Future<Output = ()>,
    mut room: impl AsyncFnMut(&dyn Fn() -> bool) -> P,
    mut serve: impl FnMut(Stream, SocketAddr, Option<P>),
) {
    let mut stop = std::pin::pin!(stop);
    let mut in_trouble = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept_within(&listener, &mut room) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                in_trouble = false;
                serve(stream, peer, Some(place));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Once, not twenty times a second for as long as it lasts.
                if !std::mem::replace(&mut in_trouble, true) {
                    tracing::warn!(%error, "cannot accept connections; trying until it works again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    accept_waiting(&listener, |stream, peer| serve(stream, peer, None));
}

/// The next connection, with its place. A place is taken for a look at the queue of the kernel, and not kept while
/// that is empty: whoever has the next connection must find it free.
async fn accept_within<P>(
    listener: &Listener,
    room: &mut impl AsyncFnMut(&dyn Fn() -> bool) -> P,
) -> io::Result<(Stream, SocketAddr, P)> {
    loop {
        let place = room(&|| has_waiting(listener)).await;
        let looked = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await;
        if let Poll::Ready(accepted) = looked {
            return accepted.map(|(stream, peer)| (stream, peer, place));
        }
        drop(place);
        // The look has registered the task.
        let mut is_woken = false;
        poll_fn(|_| if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }
}

/// Whether a connection waits to be accepted.
#[cold]
fn has_waiting(listener: &Listener) -> bool {
    let mut looked = [PollFd::new(listener, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Where the look fails, accepting says why.
    poll(&mut looked, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// Accepts what the kernel has completed already.
fn accept_waiting(listener: &Listener, mut serve: impl FnMut(Stream, SocketAddr)) {
    for _ in 0..BACKLOG {
        match listener.accept_waiting() {
            Ok((stream, peer)) => serve(stream, peer),
            Err(error) if is_of_one_connection(&error) => {}
            // None is left, or no more can be had.
            Err(_) => return,
        }
    }
}

/// Whether an error says that this machine, or what it allows this process, has run out of
/// descriptors, ports or memory: then nothing is known of the other side.
pub fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|errno| {
        [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM].contains(&errno)
    })
}

/// The error concerns the connection that was to be accepted, not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_shares_one_port_from_the_kernel() {
        let group = bind_group(([127, 0, 0, 1], 0).into(), 3).unwrap();
        let ports: Vec<_> = group.iter().map(|l| l.local_addr().unwrap().port()).collect();
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn a_connection_sends_small_parts_at_once_as_its_listener_says() {
        let listener = bind_one(([127, 0, 0, 1], 0).into()).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.accept().unwrap();
        assert!(connection.nodelay().unwrap());
    }

    #[test]
    fn an_address_in_use_is_refused_even_by_one_of_our_own_groups() {
        let group = bind_group(([127, 0, 0, 1], 0).into(), 2).unwrap();
        let address = group[0].local_addr().unwrap();
        assert_eq!(bind_group(address, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind_one(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
