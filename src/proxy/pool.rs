//! A pool as one worker sees it: its rules, its connections to replicas, and the requests that wait for them.
//! What makes one pool ill takes nothing from the others.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use hyper::client::conn::http1 as client;
use tokio::sync::watch;

use super::connection_share::{BusyConnections, ConnectionLimits, ConnectionShare, Taken};
use super::header_rules::HeaderRules;
use super::queue::Queue;
use super::shared::SharedConnections;
use super::sticky::{Sticky, StickyConfig, StickySecret};
use super::time_limits::Limits;
use super::timeline::Millis;
use super::transport::Connect;
use super::upstream::IdleConnections;
use super::worker::buffer_for;
use super::{ProxyConfig, UpstreamHttp};
use crate::cluster::{OutcomeQueue, PoolSnapshot};
use crate::tls::Connector;

/// What the data plane is told of the way to the replicas of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Time to connect to a replica.
    pub connect_timeout: Duration,
    /// How long a request waits for a replica where none takes requests and one is starting.
    pub wait_for_replica: Duration,
    /// Most requests that wait, over all workers, where all replicas have as many as they may.
    pub queue: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Time from the end of the request to the head of its response.
    pub response_timeout: Duration,
    /// What replicas speak.
    pub upstream_http: UpstreamHttp,
    /// How long an idle connection to a replica is kept; below the replica's own time-out.
    pub upstream_keep_alive: Duration,
    /// The client connections that are its own, where there are other pools.
    pub connection_share: ConnectionShare,
    /// Largest body of a request, in bytes, if that is limited.
    pub max_body: Option<u64>,
    /// Largest head of a replica's response, in bytes.
    pub max_response_header_bytes: usize,
    /// Most fields in the head of a replica's response.
    pub max_response_headers: usize,
    /// Longest pause within a body that is an endless stream of events, and within a tunnel.
    pub stream_timeout: Duration,
    /// What is changed in heads of its requests and responses, behind what is changed for all.
    pub header_rules: Option<Arc<HeaderRules>>,
    /// Whether responses name the replica that they come from.
    pub expose_replica: bool,
    /// Whether interim responses of replicas are passed on.
    pub early_hints: bool,
    /// Sticky sessions.
    pub sticky: StickyConfig,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            wait_for_replica: Duration::from_secs(2),
            queue: 1024,
            queue_timeout: Duration::from_secs(1),
            // A long poll, or a model that thinks, takes half a minute and more.
            response_timeout: Duration::from_secs(60),
            upstream_http: UpstreamHttp::H1,
            // Node closes after 5 s and others later; below it a re-used connection is live.
            upstream_keep_alive: Duration::from_secs(4),
            connection_share: ConnectionShare::default(),
            max_body: None,
            max_response_header_bytes: 64 * 1024,
            max_response_headers: 256,
            stream_timeout: Duration::from_secs(60 * 60),
            header_rules: None,
            expose_replica: false,
            early_hints: false,
            sticky: StickyConfig::default(),
        }
    }
}

/// What all workers share of a pool.
#[derive(Clone, Debug)]
pub struct PoolShared {
    /// Its name.
    pub name: Arc<str>,
    /// Where failures are reported.
    pub outcomes: OutcomeQueue,
    /// How many replicas are about to take requests, none of which do yet.
    pub starting: Arc<AtomicUsize>,
    /// The client connections that its requests are on, where there are other pools.
    pub busy: BusyConnections,
    /// What makes TLS sessions with replicas, if they speak it.
    pub tls: Option<Connector>,
    /// The configuration in force; a new value is taken over within a tick.
    pub config: watch::Receiver<PoolConfig>,
}

/// A pool as one worker sees it. Never leaves its thread.
pub(crate) struct Pool {
    /// In the snapshot.
    pub(crate) index: usize,
    pub(crate) name: Arc<str>,
    config: RefCell<PoolConfig>,
    changes: RefCell<watch::Receiver<PoolConfig>>,
    /// Those of the configurations.
    pub(crate) limits: Limits,
    pub(crate) outcomes: OutcomeQueue,
    pub(crate) connector: Box<dyn Connect>,
    pub(crate) idle: IdleConnections,
    /// There where replicas speak HTTP/2, and in place of `idle`.
    pub(crate) shared: Option<Rc<SharedConnections>>,
    client: RefCell<client::Builder>,
    sticky: RefCell<Sticky>,
    sticky_secret: StickySecret,
    /// See [`PoolShared::starting`].
    pub(crate) starting: Arc<AtomicUsize>,
    /// See [`PoolShared::busy`].
    busy: BusyConnections,
    /// Those of the configurations.
    connection_limits: Cell<ConnectionLimits>,
    /// Requests that wait for a replica.
    pub(crate) waiting: Cell<usize>,
    /// Those that wait for room at one.
    pub(crate) queue: Queue,
    /// Of the members, as of the last tick.
    ejections: Cell<u64>,
}

impl Pool {
    /// The pool of this index, whose connections to replicas `connector` makes.
    pub(super) fn new(
        index: usize,
        shared: PoolShared,
        connector: Box<dyn Connect>,
        of_clients: &ProxyConfig,
        sticky_secret: StickySecret,
    ) -> Self {
        let PoolShared { name, outcomes, starting, busy, tls, config: mut changes } = shared;
        let config = changes.borrow_and_update().clone();
        let limits = Limits::default();
        limits.set(&config, of_clients);
        Self {
            index,
            name,
            limits,
            outcomes,
            connector,
            idle: IdleConnections::new(config.upstream_keep_alive),
            shared: (config.upstream_http == UpstreamHttp::H2)
                .then(|| Rc::new(SharedConnections::new(tls.is_some(), &config))),
            client: RefCell::new(client_for(&config, of_clients)),
            sticky: RefCell::new(Sticky::new(&config.sticky, &sticky_secret)),
            sticky_secret,
            starting,
            busy,
            connection_limits: Cell::new(config.connection_share.limits(of_clients.max_connections)),
            waiting: Cell::new(0),
            queue: Queue::default(),
            ejections: Cell::new(0),
            config: RefCell::new(config),
            changes: RefCell::new(changes),
        }
    }

    /// One more client connection is busy with a request of the pool; `None` if there is none for it.
    pub(crate) fn take_connection(&self) -> Option<Taken> {
        self.busy.take(self.connection_limits.get())
    }

    /// It is not any more.
    pub(crate) fn give_back_connection(&self, taken: Taken) {
        self.busy.give_back(taken);
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Ref<'_, PoolConfig> {
        self.config.borrow()
    }

    /// What makes and knows the cookies of sticky sessions.
    pub(crate) fn sticky(&self) -> Ref<'_, Sticky> {
        self.sticky.borrow()
    }

    /// What connections to replicas are made with.
    pub(crate) fn client(&self) -> Ref<'_, client::Builder> {
        self.client.borrow()
    }

    /// Takes over another configuration, if there is one. Connections that exist keep their limit on heads;
    /// deadlines that are set already keep their time.
    pub(super) fn follow_changes(&self, of_clients: &ProxyConfig) {
        let mut changes = self.changes.borrow_mut();
        // An error means that the balancer is ending, and nothing changes any more.
        if changes.has_changed().unwrap_or(false) {
            self.config.replace(changes.borrow_and_update().clone());
            self.reconfigure(of_clients);
        }
    }

    /// Takes over what was changed of `of_clients`, too.
    pub(super) fn reconfigure(&self, of_clients: &ProxyConfig) {
        let config = self.config();
        self.idle.keep_for(config.upstream_keep_alive);
        if let Some(shared) = &self.shared {
            shared.keep_for(config.upstream_keep_alive);
        }
        self.client.replace(client_for(&config, of_clients));
        self.limits.set(&config, of_clients);
        self.connection_limits.set(config.connection_share.limits(of_clients.max_connections));
        self.sticky.replace(Sticky::new(&config.sticky, &self.sticky_secret));
    }

    /// Whether members were taken out of the choice since the last call.
    pub(super) fn has_ejected(&self, snapshot: &PoolSnapshot) -> bool {
        let ejections = snapshot.ejections();
        self.ejections.replace(ejections) != ejections
    }

    /// Closes connections that have been idle for too long, and all to replicas that are no longer there.
    pub(super) fn sweep(&self, now: Millis, snapshot: &PoolSnapshot) {
        self.idle.sweep(now, snapshot);
        if let Some(shared) = &self.shared {
            shared.sweep(now, snapshot);
        }
    }
}

fn client_for(config: &PoolConfig, of_clients: &ProxyConfig) -> client::Builder {
    let mut client = client::Builder::new();
    client
        .max_header_size(config.max_response_header_bytes)
        .max_buf_size(buffer_for(config.max_response_header_bytes))
        .max_headers(config.max_response_headers)
        // To be removed from a response, not to be refused (RFC 9112, section 5.1).
        .allow_spaces_after_header_name_in_responses(true)
        .preserve_header_case(of_clients.preserve_header_case);
    client
}
