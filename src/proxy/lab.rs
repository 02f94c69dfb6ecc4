//! A worker without sockets and without time: in-memory streams on both sides, and a clock in the hands of
//! who plays client and replica. For unit tests, [`super::sim`] and through it the fuzz targets.

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
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::transport::{Connect, Connecting, Transport};
use super::worker::{ClientCounts, Worker};
use super::{
    BusyConnections, LocalRoutes, Origin, PoolConfig, PoolShared, ProxyConfig, RequestBody, Shared,
    StickySecret, Via, connection,
};
use crate::cluster::{Endpoint, Load, OutcomeReader, PoolSnapshot, Publisher, Routing, cluster, outcomes};
use crate::listen::{Engine, Guarded};
use crate::ring::{Family, Node, Params, Placement, Probing, Ring};
use crate::telemetry::{RequestTotals, Traffic};

/// Connects to who plays the replica.
struct ToTest(mpsc::UnboundedSender<DuplexStream>);

impl Connect for ToTest {
    fn connect(&self, _: &Endpoint, first: Vec<u8>) -> Connecting {
        let (mut ours, theirs) = duplex(64 * 1024);
        self.0.send(theirs).expect("the test goes on");
        Box::pin(async move {
            ours.write_all(&first).await?;
            Ok(Box::new(TokioIo::new(ours)) as Box<dyn Transport>)
        })
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

/// A worker and its replicas.
pub(super) struct Lab {
    pub(super) worker: Rc<Worker>,
    /// The first, or only one.
    #[cfg(test)]
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    pub(super) traffic: Traffic,
    /// What was reported of replicas.
    #[cfg_attr(not(test), expect(dead_code, reason = "the queue lives as long as its reader"))]
    pub(super) outcomes: OutcomeReader,
    pub(super) dialled: mpsc::UnboundedReceiver<DuplexStream>,
    pub(super) start: Instant,
    pub(super) now: Cell<Duration>,
    _publisher: Publisher,
}

impl Lab {
    /// With so many replicas; each connection of the worker is to one of them.
    pub(super) fn of(replicas: u32, config: ProxyConfig, pool: PoolConfig) -> Self {
        let load = Arc::<Load>::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let endpoint =
            |number| Arc::new(Endpoint::new(format!("S{number}"), number, address, Arc::clone(&load)));
        let endpoints: Vec<_> = (1..=replicas).map(endpoint).collect();
        // Small: each run of a fuzz target builds one.
        let params = Params::new(Family::Modified, Probing::Quadratic, Placement::Ring, 64, 4);
        let params = params.expect("64 is a power of two");
        let nodes: Vec<_> = (1..=replicas).map(Node::new).collect();
        let ring = Ring::build(&params, &nodes).expect("they fit");
        let (publisher, readers) =
            cluster(vec![PoolSnapshot::new(0, Arc::new(ring), endpoints.clone(), Routing::default())]);
        let (outcomes, outcome_reader) = outcomes(16);
        let (dial, dialled) = mpsc::unbounded_channel();
        let traffic = Traffic::default();
        let shared = Shared {
            readers,
            pools: vec![PoolShared {
                name: "default".into(),
                outcomes,
                starting: Arc::default(),
                busy: BusyConnections::default(),
                tls: None,
                config: watch::channel(pool).1,
            }],
            local: Some(Arc::new(Echo)),
            traffic: traffic.clone(),
            access: None,
            via: Via::new(7),
            per_client: ClientCounts::default(),
            sticky_secret: StickySecret::new("the secret of the lab"),
            tls: None,
            engine: Engine::Epoll,
            connections: Arc::default(),
            config: watch::channel(config).1,
            stop: watch::channel(false).1,
        };
        let start = Instant::now();
        Self {
            worker: Rc::new(Worker::new(shared, |_| Box::new(ToTest(dial.clone())), start)),
            #[cfg(test)]
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

    /// The client's end of a new connection, of which `buffer` bytes may be on their way, and what serves it.
    pub(super) fn connect(&self, buffer: usize) -> (DuplexStream, JoinHandle<()>) {
        let (ours, theirs) = duplex(buffer);
        let peer = SocketAddr::from(([10, 0, 0, 7], 4711));
        let (stream, seen) = Guarded::or_http2(ours, true, self.worker.config().http2);
        let worker = Rc::clone(&self.worker);
        let serving =
            tokio::task::spawn_local(connection::serve(worker, TokioIo::new(stream), peer, None, seen));
        (theirs, serving)
    }

    /// Lets tasks run until they wait.
    pub(super) async fn settle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn totals(&self) -> RequestTotals {
        self.traffic.totals().all()
    }
}
