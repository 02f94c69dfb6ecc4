//! A worker: one thread, one runtime, one listening socket, its own connections to replicas.

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use hyper::server::conn::http1 as server;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::clock::{Clock, TICK};
use super::connection::{Clients, Ends};
use super::entrance::{self, Entrant, Warned};
use super::newcomers::Newcomers;
use super::per_client::{ClientPlace, PerClient};
use super::pool::{Pool, PoolShared};
use super::rate_table::RateTable;
use super::saved_head::Buffers;
use super::sticky::StickySecret;
use super::time_limits::ClientLimits;
use super::transport::{Connect, TcpConnector, TlsConnector};
use super::tunnels::Tunnels;
use super::via::Via;
use super::{HalfClose, LocalRoutes, ProxyConfig, connection, engine, handshake};
use crate::cluster::{Reader, Readers};
use crate::listen::open::{Counted, Open, Total};
use crate::listen::{Engine, Guarded, Listener, Stream, accept_loop};
use crate::telemetry::access::AccessLog;
use crate::telemetry::{Recorder, Traffic};
use crate::tls::Acceptor;

/// How often idle connections to replicas are looked through.
const IDLE_SWEEP: Duration = Duration::from_millis(500);

/// Between two warnings that all connections are in use.
const FULL_WARNING_PAUSE: Duration = Duration::from_secs(60);

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    /// Where requests go.
    pub readers: Readers,
    /// The pools, by their index in the snapshot. At least one.
    pub pools: Vec<PoolShared>,
    /// Requests that are answered here instead of being routed.
    pub local: Option<Arc<dyn LocalRoutes>>,
    /// Where requests are counted.
    pub traffic: Traffic,
    /// Where they are logged, if they are.
    pub access: Option<AccessLog>,
    /// What makes TLS sessions, for connections to the listener that speaks it.
    pub tls: Option<Acceptor>,
    /// How bytes are received and sent.
    pub engine: Engine,
    /// Client connections of all workers.
    pub connections: Arc<Total>,
    /// What is counted of each client, over all workers.
    pub per_client: ClientCounts,
    /// How the balancer names itself.
    pub via: Via,
    /// What cookies of sticky sessions are signed with where nothing is configured.
    pub sticky_secret: StickySecret,
    /// The configuration in force; a new value is taken over within a tick.
    pub config: watch::Receiver<ProxyConfig>,
    /// Turns true when the balancer stops.
    pub stop: watch::Receiver<bool>,
}

/// What is counted of each client: its connections and its requests. Both are bounded.
#[derive(Clone, Debug, Default)]
pub struct ClientCounts {
    connections: Arc<PerClient>,
    rates: Arc<RateTable>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("local", &self.local.is_some()).finish_non_exhaustive()
    }
}

/// One worker: what the requests on its thread share without a lock. Never leaves the thread.
pub(crate) struct Worker {
    config: RefCell<ProxyConfig>,
    /// Those of the configuration.
    pub(crate) limits: ClientLimits,
    pub(crate) reader: Reader,
    /// By their index in the snapshot.
    pools: Box<[Pool]>,
    pub(crate) local: Option<Arc<dyn LocalRoutes>>,
    pub(crate) clients: Clients,
    pub(crate) newcomers: Newcomers,
    pub(crate) per_client: Arc<PerClient>,
    pub(crate) rate_table: Arc<RateTable>,
    pub(crate) warned: Warned,
    pub(crate) tunnels: Tunnels,
    pub(crate) clock: Clock,
    server: RefCell<server::Builder>,
    pub(crate) recorder: Recorder,
    pub(crate) access: Option<RefCell<AccessLog>>,
    pub(crate) head_buffers: Buffers,
    /// Where the text of request ids is cut from.
    pub(crate) id_text: RefCell<BytesMut>,
    via: Via,
    /// Whether a request waits at a replica that was taken out of the choice.
    pub(crate) waits_in_vain: Cell<bool>,
    closing: Cell<bool>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("closing", &self.closing).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker whose time begins at `start`, and whose connections to the replicas of a pool are made by what
    /// `connector` makes for it.
    pub(crate) fn new(
        shared: Shared,
        mut connector: impl FnMut(&PoolShared) -> Box<dyn Connect>,
        start: Instant,
    ) -> Self {
        let config = shared.config.borrow().clone();
        let pool = |(index, pool): (usize, PoolShared)| {
            let connector = connector(&pool);
            Pool::new(index, pool, connector, &config, shared.sticky_secret.clone())
        };
        Self {
            pools: shared.pools.into_iter().enumerate().map(pool).collect(),
            limits: ClientLimits::new(&config),
            clients: Clients::default(),
            newcomers: Newcomers::default(),
            per_client: shared.per_client.connections,
            rate_table: shared.per_client.rates,
            warned: Warned::default(),
            tunnels: Tunnels::default(),
            reader: shared.readers.reader(),
            local: shared.local,
            clock: Clock::new(start),
            server: RefCell::new(server_for(&config)),
            via: shared.via,
            waits_in_vain: Cell::new(false),
            config: RefCell::new(config),
            recorder: shared.traffic.recorder(),
            access: shared.access.map(RefCell::new),
            head_buffers: Buffers::default(),
            id_text: RefCell::default(),
            closing: Cell::new(false),
        }
    }

    /// The pool of this index.
    ///
    /// # Panics
    /// When there is none.
    #[inline]
    pub(crate) fn pool(&self, index: usize) -> &Pool {
        &self.pools[index]
    }

    /// Whether there is no other.
    pub(crate) fn has_one_pool(&self) -> bool {
        self.pools.len() == 1
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Ref<'_, ProxyConfig> {
        self.config.borrow()
    }

    /// How the balancer names itself to replicas, if it does.
    pub(crate) fn via(&self) -> Option<&Via> {
        self.config().via.then_some(&self.via)
    }

    /// What serves the connections of clients.
    pub(crate) fn server(&self) -> Ref<'_, server::Builder> {
        self.server.borrow()
    }

    /// Takes over another configuration. Connections that exist keep their limit on heads;
    /// deadlines that are set already keep their time.
    pub(crate) fn reconfigure(&self, config: ProxyConfig) {
        if config.upstream_proxy_protocol != self.config().upstream_proxy_protocol {
            self.pools.iter().for_each(|pool| pool.idle.clear());
        }
        self.server.replace(server_for(&config));
        self.limits.set(&config);
        self.pools.iter().for_each(|pool| pool.reconfigure(&config));
        self.config.replace(config);
    }

    /// Moves the time on to `now`. Requests whose replica was taken out of the choice meanwhile look for
    /// another, and tunnels whose replica leaves get their end.
    pub(crate) fn tick(&self, now: Instant) {
        self.clock.tick(now);
        self.tunnels.tick(&self.clock, now);
        self.reader.refresh();
        let has_ejected = self.reader.with(|snapshot| {
            // Each is asked: what they ejected is not to be news at the next tick.
            let ejecting = self.pools.iter().filter(|pool| pool.has_ejected(snapshot.pool(pool.index)));
            ejecting.count() > 0
        });
        if self.waits_in_vain.replace(false) || has_ejected {
            self.clock.wake_all();
        }
    }

    /// Whether connections are to end as soon as they have responded.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// From now on they are; tells those that wait.
    pub(crate) fn begin_close(&self) {
        self.closing.set(true);
        self.clock.wake_all();
    }
}

/// Least bytes of a connection that are read at once, and that wait to be written: a body of 64 KiB with its
/// head. With less, each part of a large body costs a read and a write more.
const LEAST_BUFFER: usize = 80 * 1024;

/// The same where a head may have so many bytes, which is read into that buffer. What a client or a replica
/// that does not read makes us hold is a few of them: see `docs/limits.md`.
pub(super) fn buffer_for(max_head: usize) -> usize {
    max_head.max(LEAST_BUFFER)
}

fn server_for(config: &ProxyConfig) -> server::Builder {
    let mut server = server::Builder::new();
    // Without half-close hyper reads on while a request is under way. That costs no system call:
    // the read before has found the socket empty.
    server
        .half_close(config.half_close == HalfClose::Serve)
        .max_header_size(config.max_header_bytes)
        .max_buf_size(buffer_for(config.max_header_bytes))
        .preserve_header_case(config.preserve_header_case);
    server
}

/// The sockets that one worker listens on.
#[derive(Debug)]
pub struct Listeners {
    /// For HTTP without TLS.
    pub plain: StdListener,
    /// For HTTP over TLS; needs [`Shared::tls`].
    pub tls: Option<StdListener>,
}

/// Starts worker `index` on its listeners. The thread ends after `shared.stop`: when the
/// last request in flight has its response, or after `grace`.
///
/// # Errors
/// When the operating system refuses the thread.
pub fn spawn(
    index: usize,
    listeners: Listeners,
    grace: Duration,
    shared: Shared,
) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || engine::block_on(shared.engine, run(listeners, grace, shared)))
}

#[expect(clippy::too_many_lines, reason = "both listeners share what is made here")]
async fn run(listeners: Listeners, grace: Duration, shared: Shared) -> io::Result<()> {
    let (engine, connections) = (shared.engine, Arc::clone(&shared.connections));
    let plain = Listener::on(engine, listeners.plain)?;
    let tls = listeners.tls.map(|tls| Listener::on(engine, tls)).transpose()?.zip(shared.tls.clone());
    let (stop, config) = (shared.stop.clone(), shared.config.clone());
    let connector = |pool: &PoolShared| -> Box<dyn Connect> {
        match pool.tls.clone() {
            Some(connector) => Box::new(TlsConnector(connector, engine)),
            None => Box::new(TcpConnector(engine)),
        }
    };
    let worker = Rc::new(Worker::new(shared, connector, Instant::now()));
    let open = Rc::new(Open::sharing(connections));
    let ticking = tokio::task::spawn_local(tick(Rc::clone(&worker), Rc::clone(&open), config));
    let stopped = || {
        let mut stop = stop.clone();
        async move {
            // An error means that the balancer is gone, which is a stop as well.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    };
    let enter = |place: Option<Counted>| {
        worker.recorder.accepted();
        (Rc::clone(&worker), place.map_or_else(|| open.enter(), Counted::taken))
    };
    let accept = |tcp: Stream, peer, place| {
        let (worker, counted) = enter(place);
        // In a box, because spawning moves the future several times, and this one is large.
        if entrance::is_guarded(&worker) {
            let stop = stop.clone();
            tokio::task::spawn_local(Box::pin(async move {
                if let Some(Entrant { tcp, ends, place }) = entrance::pass(&worker, tcp, peer, stop).await {
                    serve_plain(Rc::clone(&worker), tcp, ends).await;
                    drop(place);
                }
                worker.recorder.closed();
                drop(counted);
            }));
            return;
        }
        tokio::task::spawn_local(Box::pin(async move {
            serve_plain(Rc::clone(&worker), tcp, Ends::from(peer)).await;
            worker.recorder.closed();
            drop(counted);
        }));
    };
    let handshakes = Rc::new(Open::default());
    let accept_tls = |acceptor: &Acceptor, tcp: Stream, peer, place| {
        let (worker, counted) = enter(place);
        let (acceptor, handshakes, stop) = (acceptor.clone(), Rc::clone(&handshakes), stop.clone());
        tokio::task::spawn_local(async move {
            let secured = Box::pin(secure(&worker, &acceptor, &handshakes, tcp, peer, stop)).await;
            if let Some((serving, place)) = secured {
                serving.await;
                drop(place);
            }
            worker.recorder.closed();
            drop(counted);
        });
    };
    // The limit is that of the moment; a lower one ends no connection that is in use.
    let warned = Cell::new(None::<Instant>);
    let make_room = || {
        let displaced = worker.clients.displace(&worker.newcomers);
        if warned.get().is_none_or(|before| before.elapsed() > FULL_WARNING_PAUSE) {
            warned.set(Some(Instant::now()));
            tracing::warn!(
                displaced,
                "all connections are in use (--max-connections); those that are idle longest make room"
            );
        }
    };
    // Not sooner than somebody needs it.
    let room = async |is_needed: &dyn Fn() -> bool| {
        let limit = || worker.config().max_connections;
        let make_room = || {
            if is_needed() {
                make_room();
            }
        };
        open.room_within(limit, make_room).await
    };
    let secured = async {
        if let Some((listener, acceptor)) = tls {
            let accept = |tcp, peer, place| accept_tls(&acceptor, tcp, peer, place);
            accept_loop(listener, stopped(), &room, accept).await;
        }
    };
    tokio::join!(accept_loop(plain, stopped(), &room, accept), secured);
    worker.begin_close();
    if tokio::time::timeout(grace, open.fewer_than(1)).await.is_err() {
        tracing::warn!(
            connections = open.count(),
            "requests still in flight after the grace time are cut off"
        );
    }
    ticking.abort();
    Ok(())
}

/// Serves a connection without TLS. Its future is that of [`connection::serve`]: another around it would
/// be moved once more.
fn serve_plain(worker: Rc<Worker>, tcp: Stream, ends: Ends) -> impl Future<Output = ()> {
    let may_be_http2 = worker.config().http2;
    let (stream, seen) = Guarded::or_http2(tcp, worker.local.is_some(), may_be_http2);
    connection::serve(worker, TokioIo::new(stream), ends, None, seen)
}

/// Lets a connection of TLS pass the entrance; `None` if it does not.
async fn admit(
    worker: &Worker,
    tcp: Stream,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
) -> Option<Entrant> {
    if entrance::is_guarded(worker) {
        // In a box, so that nobody else pays for its size.
        return Box::pin(entrance::pass(worker, tcp, peer, stop)).await;
    }
    Some(Entrant { tcp, ends: Ends::from(peer), place: None })
}

/// What serves a connection of TLS whose handshake is done, and its place; `None` if it is not to be served. In a
/// box that holds nothing of what was needed before.
async fn secure(
    worker: &Rc<Worker>,
    acceptor: &Acceptor,
    handshakes: &Rc<Open>,
    tcp: Stream,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
) -> Option<(Pin<Box<dyn Future<Output = ()>>>, Option<ClientPlace>)> {
    let Entrant { tcp, ends, place } = admit(worker, tcp, peer, stop.clone()).await?;
    let (stream, session) = handshake::secure(worker, acceptor, handshakes, tcp, ends.peer, stop).await?;
    let (stream, seen) = if session.speaks_http2() {
        Guarded::http2(stream)
    } else {
        Guarded::new(stream, worker.local.is_some())
    };
    let serving = connection::serve(Rc::clone(worker), TokioIo::new(stream), ends, Some(session), seen);
    Some((Box::pin(serving), place))
}

async fn tick(worker: Rc<Worker>, open: Rc<Open>, mut config: watch::Receiver<ProxyConfig>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut swept = Instant::now();
    loop {
        interval.tick().await;
        let now = Instant::now();
        worker.tick(now);
        // An error means that the balancer is ending, and nothing changes any more.
        if config.has_changed().unwrap_or(false) {
            worker.reconfigure(config.borrow_and_update().clone());
        }
        worker.pools.iter().for_each(|pool| pool.follow_changes(&worker.config()));
        // The limit may be another, and connections of other workers may have ended.
        open.recheck();
        if now - swept >= IDLE_SWEEP {
            swept = now;
            worker.clients.free_buffers();
            worker.reader.with(|snapshot| {
                let now = worker.clock.now();
                worker.pools.iter().for_each(|pool| pool.sweep(now, snapshot.pool(pool.index)));
            });
        }
    }
}
