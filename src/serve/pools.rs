//! The pools of this balancer: each with its runtime, its supervisor, and its part of the data plane.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::select_all;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::{Error, upstream};
use crate::admin::{self, PoolHandle};
use crate::cluster::{self, Readers, RoutePublisher};
use crate::config::{Config, DEFAULT_POOL, RuntimeConfig, RuntimeKind};
use crate::control::{
    self, Control, ControlConfig, ControlError, Observer, PoolParts, Reach, Request, Supervisors, View,
};
use crate::proxy::{BusyConnections, PoolConfig, PoolShared, UpstreamHttp};
use crate::runtime::output::Outputs;
use crate::runtime::{Fixed, Process, Runtime, RuntimeEvent, docker, swarm};
use crate::telemetry::{Journal, Upkeep};
use crate::tls::Connector;

/// How long connections wait in the kernel's queue for the first replicas, so that a client
/// that comes right after the start is not told that there are none.
const START_PATIENCE: Duration = Duration::from_secs(3);

/// Failed requests of a pool that may wait to be looked at.
const OUTCOME_QUEUE: usize = 1024;

/// All pools, by their index in the snapshot.
pub(super) struct Pools {
    all: Vec<Pool>,
    routes: RefCell<RoutePublisher>,
    /// Where the balancer listens itself: no replica is there.
    own_addresses: Vec<SocketAddr>,
    /// The tasks of child processes.
    children: Vec<TaskTracker>,
}

/// What pools begin with.
pub(super) struct Started {
    pub(super) pools: Pools,
    /// The tasks of their supervisors.
    pub(super) supervising: Supervising,
    /// What the workers are told of them, by their index.
    pub(super) shared: Vec<PoolShared>,
    /// Where the workers read what the supervisors publish.
    pub(super) readers: Readers,
}

/// The tasks of the supervisors.
pub(super) struct Supervising(JoinSet<()>);

impl Supervising {
    /// Waits until one ends that nobody told to, and says why. Cancel safe.
    pub(super) async fn ended(&mut self) -> String {
        match self.0.join_next().await {
            Some(Err(error)) => error.to_string(),
            _ => "it stopped by itself".to_owned(),
        }
    }
}

/// A pool that runs.
struct Pool {
    name: String,
    control: Control,
    /// What makes TLS sessions with replicas, if they speak it.
    upstream_tls: Option<Connector>,
    starting: Arc<AtomicUsize>,
    config: watch::Sender<PoolConfig>,
    /// How replicas came to exist at the start.
    runtime: RuntimeKind,
    /// What the supervisor was told last.
    told: RefCell<ControlConfig>,
    /// What its replicas write.
    outputs: Outputs,
    /// How often its supervisor did what.
    upkeep: Arc<Upkeep>,
}

impl Pools {
    /// Starts the supervisors of the pools that are configured, which start replicas.
    ///
    /// # Errors
    /// Files of TLS cannot be used, or the control plane does not take the configuration.
    pub(super) fn start(
        config: &Config,
        own_addresses: Vec<SocketAddr>,
        journal: &Journal,
    ) -> Result<Started, Error> {
        let (mut parts, mut begun, mut children) = (Vec::new(), Vec::new(), Vec::new());
        for (name, config) in config.pools() {
            let upstream_tls = upstream::load(config)?;
            let (outcomes, outcome_reader) = cluster::outcomes(OUTCOME_QUEUE);
            let BuiltRuntime { runtime, events, endpoints, children: tasks, outputs } =
                build_runtime(config.runtime());
            children.push(tasks);
            let mut control = config.control.clone();
            control.own_addresses.clone_from(&own_addresses);
            let told = RefCell::new(control.clone());
            parts.push(PoolParts { config: control, runtime, events, outcomes: outcome_reader, endpoints });
            begun.push((name, config, upstream_tls, outcomes, told, outputs));
        }
        let Supervisors { pools: supervisors, mut routes, readers } = control::supervisors(parts)?;
        routes.publish(config.routes.clone());
        let busy = BusyConnections::default();
        let (mut pools, mut shared, mut supervising) = (Vec::new(), Vec::new(), JoinSet::new());
        for (begun, (control, supervisor)) in std::iter::zip(begun, supervisors) {
            let (name, config, upstream_tls, outcomes, told, outputs) = begun;
            let http2 = config.pool.upstream_http == UpstreamHttp::H2;
            let supervisor = supervisor.reaching(Reach { tls: upstream_tls.clone(), http2 });
            let observer = Observer::of_pool(name, journal.clone());
            let upkeep = Arc::clone(&observer.upkeep);
            supervising.spawn_local(supervisor.observed_by(observer).run());
            let (sender, receiver) = watch::channel(config.pool.clone());
            let starting = Arc::<AtomicUsize>::default();
            shared.push(PoolShared {
                name: name.into(),
                outcomes,
                starting: Arc::clone(&starting),
                busy: busy.of_another_pool(),
                tls: upstream_tls.clone(),
                config: receiver,
            });
            let (name, runtime) = (name.to_owned(), config.runtime);
            pools.push(Pool {
                name,
                control,
                upstream_tls,
                starting,
                config: sender,
                runtime,
                told,
                outputs,
                upkeep,
            });
        }
        let pools = Self { all: pools, routes: RefCell::new(routes), own_addresses, children };
        Ok(Started { pools, supervising: Supervising(supervising), shared, readers })
    }

    /// A handle on each, for the admin API.
    pub(super) fn handles(&self) -> admin::Pools {
        let handle = |pool: &Pool| PoolHandle {
            name: pool.name.clone(),
            control: pool.control.clone(),
            outputs: pool.outputs.clone(),
            upkeep: Arc::clone(&pool.upkeep),
        };
        admin::Pools::new(self.all.iter().map(handle).collect())
    }

    /// Keeps up to date what the workers see of each, and reads files again that change, for as long as the
    /// balancer runs.
    pub(super) fn watch(&self, journal: &Journal) {
        for pool in &self.all {
            pool.watch_starting();
            if let Some(connector) = &pool.upstream_tls {
                tokio::task::spawn_local(upstream::watch(connector.clone(), journal.clone()));
            }
        }
    }

    /// Waits until each pool has those replicas that it can have for now.
    pub(super) async fn wait_for_replicas(&self) {
        // The time is for all of them together.
        let until = tokio::time::Instant::now() + START_PATIENCE;
        for pool in &self.all {
            pool.wait_for_replicas(until).await;
        }
    }

    /// Refuses changes from now on, in all pools.
    pub(super) async fn prepare_stop(&self) {
        for pool in &self.all {
            let _ = pool.control.request(Request::PrepareStop).await;
        }
    }

    /// Stops all replicas of all pools, and waits for them. Cancel safe.
    pub(super) async fn stop_replicas(&self) {
        let mut stopping = JoinSet::new();
        for pool in &self.all {
            let control = pool.control.clone();
            stopping.spawn_local(async move { _ = control.request(Request::Stop).await });
        }
        while stopping.join_next().await.is_some() {}
    }

    /// Waits until the tasks of child processes have ended. Cancel safe.
    pub(super) async fn finish_children(&self) {
        for tasks in &self.children {
            tasks.wait().await;
        }
    }

    /// Waits until there are more or fewer replicas than `before`. `None` when a supervisor has ended. Cancel safe.
    pub(super) async fn other_than(&self, before: usize) -> Option<usize> {
        loop {
            let seen: Vec<_> = self.all.iter().map(|pool| pool.control.view().present).collect();
            let present = seen.iter().sum();
            if present != before {
                return Some(present);
            }
            let changes = std::iter::zip(&self.all, &seen)
                .map(|(pool, &seen)| Box::pin(pool.control.wait_for(move |view| view.present != seen)));
            select_all(changes).await.0.ok()?;
        }
    }
}

impl Pools {
    /// Takes over what can change of replicas and of how they are reached. A pool that is configured no more
    /// keeps what it has.
    ///
    /// # Errors
    /// The supervisor of a pool refuses it, and nothing has changed.
    pub(super) async fn reload(&self, next: &Config) -> Result<(), ControlError> {
        let mut changed = Vec::new();
        for (name, next) in next.pools() {
            let Some(pool) = self.all.iter().find(|pool| pool.name == name) else { continue };
            let before = pool.told.borrow().clone();
            match pool.tell(self.control_of(next, pool)).await {
                Ok(()) => changed.push((pool, before, next)),
                Err(error) => {
                    for (pool, before, _) in changed {
                        // It held a moment ago.
                        let _ = pool.tell(before).await;
                    }
                    return Err(error);
                }
            }
        }
        for (pool, _, next) in changed {
            pool.config.send_replace(next.pool.clone());
        }
        self.follow_routes(next);
        Ok(())
    }

    /// Has requests follow the routes of another configuration, unless one of them leads to a pool that comes with
    /// the next start: then they stay as they are. Routes go by the names of pools, whatever their order is there.
    fn follow_routes(&self, next: &Config) {
        let names: Vec<_> = self.all.iter().map(|pool| pool.name.as_str()).collect();
        match next.routes_to(&names) {
            Ok(routes) if routes.is_some() || names.len() == 1 => self.routes.borrow_mut().publish(routes),
            Ok(_) | Err(_) => {}
        }
    }

    fn control_of(&self, next: &Config, pool: &Pool) -> ControlConfig {
        let mut control = next.control.clone();
        control.own_addresses.clone_from(&self.own_addresses);
        if next.runtime != pool.runtime {
            // How many replicas there are of another runtime is for the next start.
            let told = pool.told.borrow();
            control.replicas = told.replicas;
            control.upstreams.clone_from(&told.upstreams);
        }
        control
    }

    /// Reads the files of TLS to replicas again.
    pub(super) fn reload_tls(&self, next: &Config, journal: &Journal) {
        for (name, next) in next.pools() {
            let pool = self.all.iter().find(|pool| pool.name == name);
            let connector = pool.and_then(|pool| pool.upstream_tls.as_ref());
            if let (Some(connector), Some(config)) = (connector, &next.upstream_tls) {
                upstream::tell(connector.reload(config), journal);
            }
        }
    }
}

impl Pool {
    async fn tell(&self, control: ControlConfig) -> Result<(), ControlError> {
        self.control.request(Request::Reload(Box::new(control.clone()))).await?;
        self.told.replace(control);
        Ok(())
    }

    /// Keeps up to date how many replicas are starting, for as long as the supervisor lives.
    fn watch_starting(&self) {
        let (shown, control) = (Arc::clone(&self.starting), self.control.clone());
        tokio::task::spawn_local(async move {
            // Never found: each view is looked at. Ends with the supervisor.
            let look = |view: &View| {
                shown.store(view.starting(), Ordering::Relaxed);
                false
            };
            let _ = control.wait_for(look).await;
            shown.store(0, Ordering::Relaxed);
        });
    }

    /// Waits until all its replicas are ready; or one is, and the others have shown that they are not.
    async fn wait_for_replicas(&self, until: tokio::time::Instant) {
        // Before the runtime has told which replicas there are, none is not all.
        let all_ready = |view: &View| view.outage.is_none() && view.ready() >= view.replicas.len();
        // One that starts may miss a heartbeat before it listens, which says nothing.
        let known = |view: &View| view.ready() > 0 && view.undecided() == 0;
        let waited = self.control.wait_for(|view| all_ready(view) || known(view));
        let complete = tokio::time::timeout_at(until, waited).await;
        if !complete.is_ok_and(|view| view.is_ok_and(|view| all_ready(&view))) {
            let pool = Some(&*self.name).filter(|name| *name != DEFAULT_POOL);
            tracing::warn!(pool, "not all replicas are ready yet; serving with those that are");
        }
    }
}

/// A runtime, and what belongs to it.
struct BuiltRuntime {
    runtime: Box<dyn Runtime>,
    /// What it says.
    events: UnboundedReceiver<RuntimeEvent>,
    /// The replicas to begin with, where others run them.
    endpoints: Vec<String>,
    /// The tasks of child processes.
    children: TaskTracker,
    /// What replicas write.
    outputs: Outputs,
}

fn build_runtime(config: RuntimeConfig) -> BuiltRuntime {
    let (events, reader) = unbounded_channel();
    let (mut endpoints, mut children) = (Vec::new(), TaskTracker::new());
    let outputs;
    let runtime: Box<dyn Runtime> = match config {
        RuntimeConfig::Process(config) => {
            let process = Process::new(config, events);
            children = process.tasks();
            outputs = process.outputs();
            Box::new(process)
        }
        RuntimeConfig::Fixed(upstreams) => {
            outputs = Outputs::missing_because("others run it; look for its log where they do");
            endpoints = upstreams.iter().map(ToString::to_string).collect();
            Box::new(Fixed::new(events))
        }
        RuntimeConfig::Docker(config) => {
            // What others run and is discovered.
            outputs = Outputs::missing_because("the engine has it: docker logs CONTAINER");
            Box::new(docker::start(config, events, outputs.clone()))
        }
        RuntimeConfig::Swarm(config) => {
            outputs =
                Outputs::missing_because("it has no task that runs yet, or none that this manager knows");
            Box::new(swarm::start(config, events, outputs.clone()))
        }
    };
    // It has no more tasks than it was told to start, and is waited for after the last.
    children.close();
    BuiltRuntime { runtime, events: reader, endpoints, children, outputs }
}
