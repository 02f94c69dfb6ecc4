//! The data plane over in-memory streams on both sides: a client and a replica that a test plays
//! byte by byte, and a clock in its hands.

mod stories;
mod tunnels;
mod waiting;

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet};

use super::clock::TICK;
use super::transport::{Connect, Connecting, Transport};
use super::worker::Worker;
use super::{HalfClose, LocalRoutes, Origin, ProxyConfig, RequestBody, Shared, Via, connection};
use crate::cluster::{
    Endpoint, FailureKind, Load, OutcomeReader, Publisher, Routing, Snapshot, cluster, outcomes,
};
use crate::listen::Guarded;
use crate::ring::{Node, Params, Ring};

use crate::telemetry::{Reason, Totals, Traffic};

/// Long enough for any machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connects to the test, which plays the replica.
struct ToTest(mpsc::UnboundedSender<DuplexStream>);

impl Connect for ToTest {
    fn connect(&self, _: &Endpoint) -> Connecting {
        let (ours, theirs) = duplex(64 * 1024);
        self.0.send(theirs).expect("the test goes on");
        Box::pin(async move { Ok(Box::new(TokioIo::new(ours)) as Box<dyn Transport>) })
    }
}

/// Echoes the body of `/local`.
struct Echo;

impl LocalRoutes for Echo {
    fn claims(&self, _: &Method, path: &str) -> bool {
        path == "/local"
    }

    fn serve(
        &self,
        request: Request<RequestBody>,
        _: Origin,
    ) -> Pin<Box<dyn Future<Output = Response<Full<Bytes>>>>> {
        Box::pin(async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            Response::new(Full::new(body))
        })
    }
}

/// A worker and its replicas in the hands of a test.
struct Lab {
    worker: Rc<Worker>,
    /// The first, or only one.
    endpoint: Arc<Endpoint>,
    endpoints: Vec<Arc<Endpoint>>,
    traffic: Traffic,
    outcomes: OutcomeReader,
    dialled: mpsc::UnboundedReceiver<DuplexStream>,
    start: Instant,
    now: Cell<Duration>,
    _publisher: Publisher,
}

/// The test's end of a stream.
struct Peer(DuplexStream);

impl Lab {
    fn new() -> Self {
        Self::with(ProxyConfig::default())
    }

    fn with(config: ProxyConfig) -> Self {
        Self::of(1, config)
    }

    /// With so many replicas; each connection of the worker is to one of them.
    fn of(replicas: u32, config: ProxyConfig) -> Self {
        let load = Arc::<Load>::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let endpoint =
            |number| Arc::new(Endpoint::new(format!("S{number}"), number, address, Arc::clone(&load)));
        let endpoints: Vec<_> = (1..=replicas).map(endpoint).collect();
        let nodes: Vec<_> = (1..=replicas).map(Node::new).collect();
        let ring = Ring::build(&Params::default(), &nodes).expect("they fit");
        let (publisher, readers) =
            cluster(Snapshot::new(0, Arc::new(ring), endpoints.clone(), Routing::default()));
        let (outcomes, outcome_reader) = outcomes(16);
        let (dial, dialled) = mpsc::unbounded_channel();
        let traffic = Traffic::default();
        let shared = Shared {
            readers,
            outcomes,
            local: Some(Arc::new(Echo)),
            traffic: traffic.clone(),
            access: None,
            via: Via::new(7),
            starting: Arc::default(),
            tls: None,
            upstream_tls: None,
            connections: Arc::default(),
            config: watch::channel(config).1,
            stop: watch::channel(false).1,
        };
        let start = Instant::now();
        Self {
            worker: Rc::new(Worker::new(shared, Box::new(ToTest(dial)), start)),
            endpoint: Arc::clone(&endpoints[0]),
            endpoints,
            traffic,
            outcomes: outcome_reader,
            dialled,
            start,
            now: Cell::default(),
            _publisher: publisher,
        }
    }

    /// A client's connection, of which `buffer` bytes may be on their way, and what serves it.
    fn client(&self, buffer: usize) -> (Peer, JoinHandle<()>) {
        let (ours, theirs) = duplex(buffer);
        let peer = SocketAddr::from(([10, 0, 0, 7], 4711));
        let (stream, seen) = Guarded::new(ours, true);
        let worker = Rc::clone(&self.worker);
        let serving =
            tokio::task::spawn_local(connection::serve(worker, TokioIo::new(stream), peer, None, seen));
        (Peer(theirs), serving)
    }

    /// The replica's end of the next connection to it.
    async fn replica(&mut self) -> Peer {
        let dialled = tokio::time::timeout(PATIENCE, self.dialled.recv()).await;
        Peer(dialled.expect("a connection in time").expect("a worker"))
    }

    /// A client whose [`GET`] has reached a replica, on a new connection to it.
    async fn asked(&mut self) -> (Peer, JoinHandle<()>, Peer) {
        let (mut client, serving) = self.client(4096);
        client.send(GET).await;
        let mut replica = self.replica().await;
        replica.read_to("\r\n\r\n").await;
        (client, serving, replica)
    }

    /// The replica that has a request.
    fn busy(&self) -> Arc<Endpoint> {
        let busy = self.endpoints.iter().find(|endpoint| endpoint.in_flight() > 0);
        Arc::clone(busy.expect("one has a request"))
    }

    /// Lets tasks run until they wait.
    async fn settle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets time pass, in ticks.
    async fn pass(&self, time: Duration) {
        self.settle().await;
        let until = self.now.get() + time;
        while self.now.get() < until {
            self.now.set(self.now.get() + TICK);
            self.worker.tick(self.start + self.now.get());
            self.settle().await;
        }
    }

    fn totals(&self) -> Totals {
        self.traffic.totals()
    }

    fn failed(&self, reason: Reason) -> u64 {
        self.totals().reasons[reason as usize]
    }
}

impl Peer {
    async fn send(&mut self, text: &str) {
        let sent = tokio::time::timeout(PATIENCE, self.0.write_all(text.as_bytes())).await;
        sent.expect("room in time").expect("somebody who reads");
    }

    /// Reads until what came ends with `end`.
    async fn read_to(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        let reading = async {
            while !read.ends_with(end.as_bytes()) {
                let byte = self.0.read_u8().await;
                let byte =
                    byte.unwrap_or_else(|_| panic!("the end after {:?}", String::from_utf8_lossy(&read)));
                read.push(byte);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("in time");
        String::from_utf8(read).expect("text")
    }

    /// Reads to the end of the stream.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let reading = self.0.read_to_end(&mut rest);
        tokio::time::timeout(PATIENCE, reading).await.expect("in time").expect("the end");
        String::from_utf8(rest).expect("text")
    }
}

/// Runs a test on a thread that runs local tasks.
async fn local<F: Future>(test: F) -> F::Output {
    LocalSet::new().run_until(test).await
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A request with a body of four bytes, of which `sent` come with it.
fn post(sent: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\nContent-Length: 4\r\n\r\n{sent}")
}
