//! A small HTTP/1 server around a service: what the admin API and the replicas need, which do
//! not have the data plane's load.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::open::Open;
use super::{Guarded, accept_loop};

type BoxError = Box<dyn Error + Send + Sync>;

/// The limits of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// Time for the head of a request, which is also how long a connection may be idle.
    pub head: Duration,
    /// Time that answers under way have once the server stops.
    pub stop: Duration,
}

/// A connection as its service sees it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address.
    pub peer: SocketAddr,
    flawed: Arc<AtomicBool>,
}

impl Peer {
    /// Whether a request line came on it that is not valid, see [`super::TargetGuard`].
    pub fn is_flawed(&self) -> bool {
        self.flawed.load(Ordering::Relaxed)
    }
}

/// Serves until `stop` turns true. `service_for` makes the service of each connection. For a
/// task of a thread that runs local tasks.
pub async fn serve<S, B>(
    listener: TcpListener,
    limits: Limits,
    stop: watch::Receiver<bool>,
    service_for: impl Fn(Peer) -> S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + 'static,
    B: Body<Error: Into<BoxError>> + 'static,
{
    let open = Rc::new(Open::default());
    let mut stopping = stop.clone();
    let stopped = async move { told(&mut stopping).await };
    let accept = |tcp: TcpStream, peer| {
        let (stream, flawed) = Guarded::new(tcp);
        let service = service_for(Peer { peer, flawed });
        let counted = open.enter();
        let stop = stop.clone();
        tokio::task::spawn_local(async move {
            serve_connection(stream, service, limits, stop).await;
            drop(counted);
        });
    };
    accept_loop(listener, stopped, || open.fewer_than(limits.connections), accept).await;
    let _ = tokio::time::timeout(limits.stop, open.fewer_than(1)).await;
}

/// Waits for the stop. An error means that whoever could tell is gone, which is a stop as well.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn serve_connection<S, B>(stream: Guarded, service: S, limits: Limits, mut stop: watch::Receiver<bool>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Error: Into<BoxError>> + 'static,
{
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
    );
    // What goes wrong on one connection concerns its client alone.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = told(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
