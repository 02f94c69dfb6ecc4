//! The composition root: puts the parts together, runs them, and takes them down in order.
//! The only module that knows all the others; it decides nothing of its own.

mod certificates;
mod descriptors;
mod pools;
mod reload;
mod requests;
mod signals;
mod sockets;
mod upstream;
mod workers;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use tokio::runtime::LocalRuntime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, Context, Listener, Sources};
use crate::cluster::KeySource;
use crate::config::{Config, PublicAdmin};
use crate::control::ControlError;
use crate::proxy::worker::ClientCounts;
use crate::proxy::{LocalRoutes, Origin, RequestBody, Shared, StickySecret, Via};
use crate::runtime::process::reap_orphans;
use crate::telemetry::access::AccessLogHandle;
use crate::telemetry::{Journal, Traffic, logs};
use crate::tls::{Acceptor, CertificateError};
use descriptors::ConnectionLimit;
use pools::{Pools, Started};
pub use reload::Reload;
use reload::Reloader;
use signals::{Signal, Signals};
use sockets::Sockets;
use workers::Workers;

/// What `ringherd serve` can fail with once its configuration is checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} (--{setting}): {source}; {}", listen_hint(.source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The setting it comes from.
        setting: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error("cannot start: {0} (--tls-certificate, --tls-key, [[certificates]])")]
    Certificate(#[from] CertificateError),
    /// TLS to replicas cannot be set up.
    #[error(
        "cannot start: {0} (--upstream-ca, --upstream-certificate, --upstream-key, --upstream-server-name)"
    )]
    UpstreamTls(CertificateError),
    /// The limit on open files is too low.
    #[error(
        "cannot start {replicas} replicas and {workers} workers: the limit on open files is {limit}, they \
         need {needed}; raise it (ulimit -n, LimitNOFILE), or lower --replicas or --workers"
    )]
    Descriptors {
        /// The limit.
        limit: u64,
        /// What it has to be.
        needed: u64,
        /// Replicas to start with.
        replicas: u32,
        /// Worker threads.
        workers: usize,
    },
    /// The access log cannot be opened.
    #[error("cannot open the access log {} (--access-log): {source}; choose another file, or check its folder", path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The kernel has no ring for this process.
    #[error(
        "cannot start: io_uring is not available (--io uring): {0}; it needs Linux 6.1, \
         kernel.io_uring_disabled=0 and, in a container, a seccomp profile that allows it; or use --io auto"
    )]
    Ring(io::Error),
    /// The operating system refuses threads, signals or the like.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// The control plane cannot start.
    #[error("cannot start: {0}")]
    Control(#[from] ControlError),
    /// The supervisor ended although nobody told it to.
    #[error("the control plane ended: {0}; please report this")]
    Supervisor(String),
    /// A worker ended although nobody told it to.
    #[error("a worker thread ended: {0}")]
    Worker(String),
}

fn listen_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "another program listens there: stop it, or choose another port",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose another port",
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address",
        _ => "choose another address",
    }
}

/// Runs the balancer until a signal ends it.
///
/// # Errors
/// See [`Error`]. No process is left behind; of containers, what could not be stopped is taken over
/// by the next balancer.
pub fn run(mut config: Config, reload: Reload) -> Result<(), Error> {
    logs::init(config.log_format);
    let traffic = Traffic::of_pools(config.pools().len());
    let limit = ConnectionLimit::new(&config, traffic.clone())?;
    let sockets = Sockets::bind(&config)?;
    let tls = certificates::load(&config.tls, config.tls_listen.is_some())?;
    config.proxy.https_port = config.proxy.https_port.and(sockets.tls_address.map(|address| address.port()));
    limit.configure(config.proxy.clone());
    // The control plane has this thread; each worker has its own.
    let runtime = LocalRuntime::new()?;
    let outcome = runtime.block_on(serve(config, reload, sockets, traffic, limit, tls));
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_background();
    logs::finish();
    outcome
}

/// The life of a balancer, in order.
#[expect(clippy::too_many_lines, reason = "it is read from the start to the stop")]
async fn serve(
    config: Config,
    reload: Reload,
    sockets: Sockets,
    traffic: Traffic,
    limit: ConnectionLimit,
    tls: Option<Acceptor>,
) -> Result<(), Error> {
    // Before any replica is started: a signal must never find us without a handler.
    let mut signals = Signals::new(!reload.has_file)?;
    tokio::task::spawn_local(reap_orphans()?);
    let journal = Journal::default();
    let own_addresses =
        [sockets.public_address, sockets.admin_address].into_iter().chain(sockets.tls_address);
    let Started { pools, mut supervising, shared: shared_pools, readers } =
        Pools::start(&config, own_addresses.collect(), &journal)?;
    let (access, handle) = requests::open(&config.access)?.unzip();
    requests::reopen_on_signal(handle.as_ref())?;
    let losses = handle.as_ref().map(AccessLogHandle::losses);
    let certificates = tls.as_ref().map(|acceptor| Arc::clone(acceptor.certificates()));
    let sources = Sources { journal: journal.clone(), traffic: traffic.clone(), certificates, losses };
    let admin = Admin::new(config.admin.clone(), pools.handles()).with_sources(sources);
    let (stop_admin, administering) = administer(&admin, sockets.admin)?;

    let sticky_secret = StickySecret::drawn();
    tell_of_drawn_secret(&config);
    let started = tokio::select! {
        () = pools.wait_for_replicas() => true,
        _ = signals.end() => false,
    };
    let mut outcome = Ok(());
    if started {
        let (stop, stopped) = watch::channel(false);
        let addresses = std::iter::once(sockets.public_address).chain(sockets.tls_address);
        let local = public_routes(&config, addresses, &admin);
        let public_admin = local.is_some();
        let (proxy, proxy_config) = watch::channel(limit.proxy());
        let shared = Shared {
            readers,
            pools: shared_pools,
            local,
            traffic,
            access,
            via: Via::new(fastrand::u64(..)),
            sticky_secret,
            tls: tls.clone(),
            engine: config.proxy.io.engine().map_err(Error::Ring)?,
            connections: Arc::default(),
            per_client: ClientCounts::default(),
            config: proxy_config,
            stop: stopped,
        };
        if let Some(acceptor) = &tls {
            tokio::task::spawn_local(certificates::watch(acceptor.clone(), journal.clone()));
        }
        pools.watch(&journal);
        let mut workers = Workers::spawn(proxy, config.grace, sockets.public, sockets.tls, &shared)?;
        if let Some(address) = sockets.tls_address {
            tracing::info!(%address, redirects = config.proxy.https_port.is_some(), "listening for TLS");
        }
        tracing::info!(address = %sockets.public_address, workers = config.workers, public_admin, "listening");
        let reloader = Reloader {
            at_start: config.clone(),
            read: reload.read,
            admin: admin.clone(),
            limit,
            tls: tls.zip(sockets.tls_address.map(|address| address.port())),
            journal: journal.clone(),
        };
        outcome = tokio::select! {
            outcome = run_until_stopped(&reloader, &pools, &mut signals, &mut workers) => outcome,
            why = supervising.ended() => Err(Error::Supervisor(why)),
        };
        admin.begin_stop();
        pools.prepare_stop().await;
        stop.send_replace(true);
        unless_signalled(workers.finish(), &mut signals).await;
    } else {
        drop(access);
    }
    admin.begin_stop();
    unless_signalled(pools.stop_replicas(), &mut signals).await;
    unless_signalled(pools.finish_children(), &mut signals).await;
    unless_signalled(requests::finish(handle, config.grace), &mut signals).await;
    admin.end_streams();
    stop_admin.cancel();
    let _ = administering.await;
    drop(supervising);
    tracing::info!("stopped");
    outcome
}

/// Serves the admin API until the token is cancelled, and sends its statistics.
fn administer(admin: &Admin, listener: TcpListener) -> io::Result<(CancellationToken, JoinHandle<()>)> {
    let statistics = admin.clone();
    tokio::task::spawn_local(async move { statistics.publish_statistics().await });
    let stop = CancellationToken::new();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    tracing::info!(%address, dashboard = admin::server::dashboard_url(address), "admin API is up");
    let serving = admin::server::serve(listener, admin.clone(), stop.clone());
    Ok((stop, tokio::task::spawn_local(serving)))
}

/// Says that sticky sessions end with this balancer, if they do.
fn tell_of_drawn_secret(config: &Config) {
    let is_drawn = |(_, pool): &(&str, &Config)| {
        matches!(pool.control.key, KeySource::Sticky(_)) && pool.pool.sticky.secret.is_none()
    };
    if config.pools().iter().any(is_drawn) {
        tracing::warn!(
            "cookies of sticky sessions are signed with a secret drawn at this start: other balancers and the \
             next start replace them (--sticky-secret-file)"
        );
    }
}

/// Waits for a step of the stop; a second signal ends the process instead.
async fn unless_signalled<T>(step: impl Future<Output = T>, signals: &mut Signals) -> T {
    tokio::select! {
        outcome = step => outcome,
        signal = signals.end() => signal.exit_at_once(),
    }
}

/// Serves until a signal says stop, or a worker ends by itself.
async fn run_until_stopped(
    reloader: &Reloader,
    pools: &Pools,
    signals: &mut Signals,
    workers: &mut Workers,
) -> Result<(), Error> {
    loop {
        let signal = tokio::select! {
            signal = signals.next() => signal,
            why = workers.ended() => return Err(Error::Worker(why)),
            config = reloader.limit_after_replicas(pools) => {
                workers.reconfigure(config);
                continue;
            }
        };
        match signal {
            // A ring may have to be built, which a stop does not wait for.
            Signal::Reload => tokio::select! {
                () = reloader.reload(pools, workers) => {}
                signal = signals.end() => {
                    announce_stop(signal, reloader);
                    return Ok(());
                }
            },
            Signal::Interrupt | Signal::Terminate | Signal::TerminalClosed => {
                announce_stop(signal, reloader);
                return Ok(());
            }
        }
    }
}

fn announce_stop(signal: Signal, reloader: &Reloader) {
    let grace = reloader.at_start.grace;
    tracing::info!(%signal, ?grace, "stopping; a second signal stops at once");
}

/// The admin routes on the public addresses, where the configuration allows them.
fn public_routes(
    config: &Config,
    mut public: impl Iterator<Item = SocketAddr>,
    admin: &Admin,
) -> Option<Arc<dyn LocalRoutes>> {
    let wanted = match config.public_admin {
        PublicAdmin::On => true,
        PublicAdmin::Off => false,
        // A program that can reach loopback can reach the admin address as well. But in front of a
        // service of its own there may be a proxy on this machine, through which outsiders come.
        PublicAdmin::Auto => {
            public.all(|address| address.ip().is_loopback())
                && config.has_only_demo_replicas()
                && config.proxy.proxy_protocol.is_empty()
        }
    };
    wanted.then(|| Arc::new(AdminRoutes(admin.clone())) as Arc<dyn LocalRoutes>)
}

/// Lets the data plane hand admin requests to the admin service without knowing it.
struct AdminRoutes(Admin);

impl LocalRoutes for AdminRoutes {
    fn claims(&self, method: &Method, path: &str) -> bool {
        admin::is_public_route(method, path)
    }

    fn serve(
        &self,
        request: Request<RequestBody>,
        origin: Origin,
    ) -> Pin<Box<dyn Future<Output = Response<Full<Bytes>>>>> {
        let admin = self.0.clone();
        let Origin { peer, is_secure, invalid_target } = origin;
        let context = Context { listener: Listener::Public, peer, is_secure, flawed_target: invalid_target };
        Box::pin(async move { admin.handle(request, context).await.map(admin::Body::into_text) })
    }
}
