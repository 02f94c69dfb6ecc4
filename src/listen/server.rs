//! A small HTTP/1 server around a service: what the admin API and the replicas need, which do
//! not have the data plane's load.

use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::open::Open;
use super::{Guarded, Linger, Listener, ReadState, Stream, accept_loop};

/// How long a client that still sends is listened to after its response.
const LINGER_TIME: Duration = Duration::from_secs(2);

type BoxError = Box<dyn Error + Send + Sync>;

/// The limits of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// Time for the head of a request, which is also how long a connection may be idle.
    pub head: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub stall: Duration,
    /// Time that answers under way have once the server stops.
    pub stop: Duration,
}

/// A connection as its service sees it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address.
    pub peer: SocketAddr,
    read: ReadState,
}

impl Peer {
    /// Whether a request line came on it that is not valid, see [`super::TargetGuard`].
    pub fn has_invalid_target(&self) -> bool {
        self.read.has_invalid_target()
    }
}

/// Serves until `stop` is cancelled. `service_for` makes the service of each connection. For a
/// task of a thread that runs local tasks.
pub async fn serve<S, B>(
    listener: TcpListener,
    limits: Limits,
    stop: CancellationToken,
    service_for: impl Fn(Peer) -> S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
    B: Body<Error: Into<BoxError>> + 'static,
{
    let open = Rc::new(Open::default());
    let accept = |tcp: Stream, peer, _: Option<()>| {
        // As its listener is.
        let Stream::Epoll(tcp) = tcp else { return };
        // Without it, who never reads a long answer would hold it for ever.
        let _ = SockRef::from(&tcp).set_tcp_user_timeout(Some(limits.stall));
        let (stream, read) = Guarded::new(tcp, true);
        let service = service_for(Peer { peer, read });
        let counted = open.enter();
        let stop = stop.clone();
        tokio::task::spawn_local(async move {
            serve_connection(stream, service, limits, stop).await;
            drop(counted);
        });
    };
    let listener = Listener::Epoll(listener);
    accept_loop(listener, stop.cancelled(), async |_| open.fewer_than(limits.connections).await, accept)
        .await;
    let _ = tokio::time::timeout(limits.stop, open.fewer_than(1)).await;
}

async fn serve_connection<S, B>(
    stream: Guarded<TcpStream>,
    service: S,
    limits: Limits,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Error: Into<BoxError>> + 'static,
{
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    // What goes wrong on one connection concerns its client alone.
    tokio::select! {
        biased;
        _ = &mut connection => {}
        () = stop.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            let _ = connection.await;
            return;
        }
    }
    // A response that did not wait for the whole request must still arrive.
    let mut linger = Linger::new(connection.into_parts().io);
    let _ = tokio::time::timeout(LINGER_TIME, poll_fn(|cx| linger.poll(cx))).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http_body::Frame;
    use hyper::service::service_fn;
    use tokio::io::AsyncWriteExt;
    use tokio::sync::mpsc;
    use tokio::task::LocalSet;

    use super::*;

    /// A body without an end; tells when it is given up.
    struct Endless(mpsc::UnboundedSender<()>);

    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 4096])))))
        }
    }

    impl Drop for Endless {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off() {
        let test = async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let second = Duration::from_secs(1);
            let limits = Limits { connections: 1, head: second, stall: second, stop: second };
            let (told, mut given_up) = mpsc::unbounded_channel();
            tokio::task::spawn_local(serve(listener, limits, CancellationToken::new(), move |_| {
                let told = told.clone();
                service_fn(move |_| {
                    let body = Endless(told.clone());
                    async move { Ok::<_, Infallible>(Response::new(body)) }
                })
            }));
            let mut client = TcpStream::connect(address).await.expect("it listens");
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("it reads");
            let patience = Duration::from_secs(60);
            tokio::time::timeout(patience, given_up.recv()).await.expect("in time").expect("the body");
            drop(client);
        };
        LocalSet::new().run_until(test).await;
    }
}
