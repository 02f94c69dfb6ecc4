//! The state of one worker: what the requests on its thread share without a lock.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use tokio::sync::watch;

use super::clock::Clock;
use super::progress::Limits;
use super::upstream::Pool;
use super::{LocalRoutes, ProxyConfig};
use crate::cluster::{OutcomeQueue, Reader, Readers};
use crate::telemetry::access::AccessLog;
use crate::telemetry::{Recorder, Traffic};

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    /// Where requests go.
    pub readers: Readers,
    /// Where failures are reported.
    pub outcomes: OutcomeQueue,
    /// Requests that are answered here instead of being routed.
    pub local: Option<Arc<dyn LocalRoutes>>,
    /// Where requests are counted.
    pub traffic: Traffic,
    /// Where they are logged, if they are.
    pub access: Option<AccessLog>,
    /// The configuration in force; a new value is taken over within a tick.
    pub config: watch::Receiver<ProxyConfig>,
    /// Turns true when the balancer stops.
    pub stop: watch::Receiver<bool>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("local", &self.local.is_some()).finish_non_exhaustive()
    }
}

/// One worker; never leaves its thread.
pub(crate) struct Worker {
    config: Cell<ProxyConfig>,
    pub(crate) reader: Reader,
    pub(crate) outcomes: OutcomeQueue,
    pub(crate) local: Option<Arc<dyn LocalRoutes>>,
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) server: RefCell<server::Builder>,
    pub(crate) client: client::Builder,
    pub(crate) recorder: Recorder,
    pub(crate) access: Option<RefCell<AccessLog>>,
    /// Where the text of request ids is cut from.
    pub(crate) id_text: RefCell<BytesMut>,
    closing: Cell<bool>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("closing", &self.closing).finish_non_exhaustive()
    }
}

impl Worker {
    pub(crate) fn new(shared: Shared) -> Self {
        let config = *shared.config.borrow();
        Self {
            pool: Pool::new(config.upstream_keep_alive),
            config: Cell::new(config),
            reader: shared.readers.reader(),
            outcomes: shared.outcomes,
            local: shared.local,
            clock: Clock::new(Instant::now()),
            server: RefCell::new(server_for(&config)),
            client: client::Builder::new(),
            recorder: shared.traffic.recorder(),
            access: shared.access.map(RefCell::new),
            id_text: RefCell::default(),
            closing: Cell::new(false),
        }
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> ProxyConfig {
        self.config.get()
    }

    /// Takes over another configuration. Connections that exist keep their limit on heads;
    /// deadlines that are set already keep their time.
    pub(crate) fn reconfigure(&self, config: ProxyConfig) {
        self.pool.keep_for(config.upstream_keep_alive);
        self.server.replace(server_for(&config));
        self.config.set(config);
    }

    /// Whether connections are to end as soon as they have answered.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// From now on they are; tells those that wait.
    pub(crate) fn begin_close(&self) {
        self.closing.set(true);
        self.clock.wake_all();
    }

    pub(crate) fn limits(&self) -> Limits {
        let config = self.config();
        Limits { head: config.header_timeout, keep_alive: config.keep_alive, body: config.body_timeout }
    }
}

fn server_for(config: &ProxyConfig) -> server::Builder {
    let mut server = server::Builder::new();
    // Without half-close hyper tries one read more for each request, to see a client that
    // has gone; the end of a client is seen when its answer is written instead.
    server.half_close(true).max_header_size(config.max_header_bytes);
    server
}
