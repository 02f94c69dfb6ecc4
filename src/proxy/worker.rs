//! A worker: one thread, one runtime, one listening socket, its own connections to replicas.

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalRuntime;
use tokio::sync::watch;

use super::clock::{Clock, TICK};
use super::connection::{Clients, Ends};
use super::entrance::{self, Entrant, Warned};
use super::newcomers::Newcomers;
use super::per_client::PerClient;
use super::queue::Queue;
use super::rate_table::RateTable;
use super::saved_head::Buffers;
use super::shared::SharedConnections;
use super::sticky::{Sticky, StickySecret};
use super::timeline::Limits;
use super::transport::{Connect, TcpConnector, TlsConnector};
use super::tunnels::Tunnels;
use super::upstream::IdleConnections;
use super::via::Via;
use super::{HalfClose, LocalRoutes, ProxyConfig, UpstreamHttp, connection, handshake};
use crate::cluster::{OutcomeQueue, Reader, Readers, Snapshot};
use crate::listen::open::Open;
use crate::listen::{Guarded, accept_loop};
use crate::telemetry::access::AccessLog;
use crate::telemetry::{Recorder, Traffic};
use crate::tls::{Acceptor, Connector};

/// How often idle connections to replicas are looked through.
const IDLE_SWEEP: Duration = Duration::from_millis(500);

/// Between two warnings that all connections are in use.
const FULL_WARNING_PAUSE: Duration = Duration::from_secs(60);

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    /// Where requests go.
    pub readers: Readers,
    /// Where failures are reported.
    pub outcomes: OutcomeQueue,
    /// Requests that are answered here instead of being routed.
    pub local: Option<Arc<dyn LocalRoutes>>,
    /// How many replicas are about to take requests, none of which do yet.
    pub starting: Arc<AtomicUsize>,
    /// Where requests are counted.
    pub traffic: Traffic,
    /// Where they are logged, if they are.
    pub access: Option<AccessLog>,
    /// What makes TLS sessions, for connections to the listener that speaks it.
    pub tls: Option<Acceptor>,
    /// What makes TLS sessions with replicas, if they speak it.
    pub upstream_tls: Option<Connector>,
    /// Client connections of all workers.
    pub connections: Arc<AtomicUsize>,
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
    pub(crate) limits: Limits,
    pub(crate) reader: Reader,
    pub(crate) outcomes: OutcomeQueue,
    pub(crate) local: Option<Arc<dyn LocalRoutes>>,
    pub(crate) connector: Box<dyn Connect>,
    pub(crate) idle: IdleConnections,
    /// There where replicas speak HTTP/2, and in place of `idle`.
    pub(crate) shared: Option<Rc<SharedConnections>>,
    pub(crate) clients: Clients,
    pub(crate) newcomers: Newcomers,
    pub(crate) per_client: Arc<PerClient>,
    pub(crate) rate_table: Arc<RateTable>,
    pub(crate) warned: Warned,
    pub(crate) tunnels: Tunnels,
    pub(crate) clock: Clock,
    server: RefCell<server::Builder>,
    client: RefCell<client::Builder>,
    pub(crate) recorder: Recorder,
    pub(crate) access: Option<RefCell<AccessLog>>,
    pub(crate) head_buffers: Buffers,
    /// Where the text of request ids is cut from.
    pub(crate) id_text: RefCell<BytesMut>,
    via: Via,
    sticky: RefCell<Sticky>,
    sticky_secret: StickySecret,
    /// See [`Shared::starting`].
    pub(crate) starting: Arc<AtomicUsize>,
    /// Requests that wait for a replica.
    pub(crate) waiting: Cell<usize>,
    /// Those that wait for room at one.
    pub(crate) queue: Queue,
    /// Of the members, as of the last tick.
    ejections: Cell<u64>,
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
    /// A worker whose time begins at `start`, and whose connections to replicas `connector` makes.
    pub(crate) fn new(shared: Shared, connector: Box<dyn Connect>, start: Instant) -> Self {
        let config = shared.config.borrow().clone();
        Self {
            limits: Limits::new(&config),
            idle: IdleConnections::new(config.upstream_keep_alive),
            shared: (config.upstream_http == UpstreamHttp::H2)
                .then(|| Rc::new(SharedConnections::new(shared.upstream_tls.is_some(), &config))),
            clients: Clients::default(),
            newcomers: Newcomers::default(),
            per_client: shared.per_client.connections,
            rate_table: shared.per_client.rates,
            warned: Warned::default(),
            tunnels: Tunnels::default(),
            reader: shared.readers.reader(),
            outcomes: shared.outcomes,
            local: shared.local,
            connector,
            clock: Clock::new(start),
            server: RefCell::new(server_for(&config)),
            via: shared.via,
            sticky: RefCell::new(Sticky::new(&config.sticky, &shared.sticky_secret)),
            sticky_secret: shared.sticky_secret,
            starting: shared.starting,
            waiting: Cell::new(0),
            queue: Queue::default(),
            ejections: Cell::new(0),
            waits_in_vain: Cell::new(false),
            client: RefCell::new(client_for(&config)),
            config: RefCell::new(config),
            recorder: shared.traffic.recorder(),
            access: shared.access.map(RefCell::new),
            head_buffers: Buffers::default(),
            id_text: RefCell::default(),
            closing: Cell::new(false),
        }
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Ref<'_, ProxyConfig> {
        self.config.borrow()
    }

    /// How the balancer names itself to replicas, if it does.
    pub(crate) fn via(&self) -> Option<&Via> {
        self.config().via.then_some(&self.via)
    }

    /// What makes and knows the cookies of sticky sessions.
    pub(crate) fn sticky(&self) -> Ref<'_, Sticky> {
        self.sticky.borrow()
    }

    /// What serves the connections of clients.
    pub(crate) fn server(&self) -> Ref<'_, server::Builder> {
        self.server.borrow()
    }

    /// What connections to replicas are made with.
    pub(crate) fn client(&self) -> Ref<'_, client::Builder> {
        self.client.borrow()
    }

    /// Takes over another configuration. Connections that exist keep their limit on heads;
    /// deadlines that are set already keep their time.
    pub(crate) fn reconfigure(&self, config: ProxyConfig) {
        self.idle.keep_for(config.upstream_keep_alive);
        if config.upstream_proxy_protocol != self.config().upstream_proxy_protocol {
            self.idle.clear();
        }
        if let Some(shared) = &self.shared {
            shared.keep_for(config.upstream_keep_alive);
        }
        self.server.replace(server_for(&config));
        self.client.replace(client_for(&config));
        self.limits.set(&config);
        self.sticky.replace(Sticky::new(&config.sticky, &self.sticky_secret));
        self.config.replace(config);
    }

    /// Moves the time on to `now`. Requests whose replica was taken out of the choice meanwhile look for
    /// another, and tunnels whose replica leaves get their end.
    pub(crate) fn tick(&self, now: Instant) {
        self.clock.tick(now);
        self.tunnels.tick(&self.clock, now);
        self.reader.refresh();
        let ejections = self.reader.with(Snapshot::ejections);
        let waits_in_vain = self.waits_in_vain.replace(false);
        if self.ejections.replace(ejections) != ejections || waits_in_vain {
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
fn buffer_for(max_head: usize) -> usize {
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

fn client_for(config: &ProxyConfig) -> client::Builder {
    let mut client = client::Builder::new();
    client
        .max_header_size(config.max_response_header_bytes)
        .max_buf_size(buffer_for(config.max_response_header_bytes))
        .max_headers(config.max_response_headers)
        // To be removed from a response, not to be refused (RFC 9112, section 5.1).
        .allow_spaces_after_header_name_in_responses(true)
        .preserve_header_case(config.preserve_header_case);
    client
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
        .spawn(move || LocalRuntime::new()?.block_on(run(listeners, grace, shared)))
}

#[expect(clippy::too_many_lines, reason = "both listeners share what is made here")]
async fn run(listeners: Listeners, grace: Duration, shared: Shared) -> io::Result<()> {
    let connections = Arc::clone(&shared.connections);
    let plain = TcpListener::from_std(listeners.plain)?;
    let tls = listeners.tls.map(TcpListener::from_std).transpose()?.zip(shared.tls.clone());
    let (stop, config) = (shared.stop.clone(), shared.config.clone());
    let connector: Box<dyn Connect> = match shared.upstream_tls.clone() {
        Some(connector) => Box::new(TlsConnector(connector)),
        None => Box::new(TcpConnector),
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
    let enter = |tcp: &TcpStream| {
        // Responses are written whole: waiting for more to send would only add delay.
        let _ = tcp.set_nodelay(true);
        worker.recorder.accepted();
        (Rc::clone(&worker), open.enter())
    };
    let accept = |tcp: TcpStream, peer| {
        let (worker, counted) = enter(&tcp);
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
    let accept_tls = |acceptor: &Acceptor, tcp: TcpStream, peer| {
        let (worker, counted) = enter(&tcp);
        let (acceptor, handshakes, stop) = (acceptor.clone(), Rc::clone(&handshakes), stop.clone());
        tokio::task::spawn_local(Box::pin(async move {
            let entrant = admit(&worker, tcp, peer, stop.clone()).await;
            let secured = match entrant {
                Some(Entrant { tcp, ends, place }) => {
                    let secured =
                        handshake::secure(&worker, &acceptor, &handshakes, tcp, ends.peer, stop).await;
                    secured.map(|(stream, session)| (stream, session, ends, place))
                }
                None => None,
            };
            if let Some((stream, session, ends, place)) = secured {
                let (stream, seen) = if session.speaks_http2() {
                    Guarded::http2(stream)
                } else {
                    Guarded::new(stream, worker.local.is_some())
                };
                connection::serve(Rc::clone(&worker), TokioIo::new(stream), ends, Some(session), seen).await;
                drop(place);
            }
            worker.recorder.closed();
            drop(counted);
        }));
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
    let room = || open.room_within(|| worker.config().max_connections, &make_room);
    let secured = async {
        if let Some((listener, acceptor)) = tls {
            let accept = |tcp, peer| accept_tls(&acceptor, tcp, peer);
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
fn serve_plain(worker: Rc<Worker>, tcp: TcpStream, ends: Ends) -> impl Future<Output = ()> {
    let may_be_http2 = worker.config().http2;
    let (stream, seen) = Guarded::or_http2(tcp, worker.local.is_some(), may_be_http2);
    connection::serve(worker, TokioIo::new(stream), ends, None, seen)
}

/// Lets a connection of TLS pass the entrance; `None` if it does not.
async fn admit(
    worker: &Worker,
    tcp: TcpStream,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
) -> Option<Entrant> {
    if entrance::is_guarded(worker) {
        // In a box, so that nobody else pays for its size.
        return Box::pin(entrance::pass(worker, tcp, peer, stop)).await;
    }
    Some(Entrant { tcp, ends: Ends::from(peer), place: None })
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
        // The limit may be another, and connections of other workers may have ended.
        open.recheck();
        if now - swept >= IDLE_SWEEP {
            swept = now;
            worker.reader.with(|snapshot| {
                let now = worker.clock.now();
                worker.idle.sweep(now, snapshot);
                if let Some(shared) = &worker.shared {
                    shared.sweep(now, snapshot);
                }
            });
        }
    }
}
