//! The typed tree that settings have their places in: types and defaults of all values.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::types::{CommandLine, OnExit, PublicAdmin, RuntimeKind};
use crate::admin::AdminConfig;
use crate::control::ControlConfig;
use crate::names::HostPort;
use crate::proxy::{Message, PoolConfig, ProxyConfig};
use crate::ring::{Family, Params, Placement, Probing};
use crate::routes::{HostPattern, PathPrefix, RedirectStatus, RedirectTarget, Routes};
use crate::runtime::Revision;
use crate::runtime::docker::DockerConfig;
use crate::runtime::engine;
use crate::runtime::process::ProcessConfig;
use crate::runtime::swarm::SwarmConfig;
use crate::telemetry::access::AccessLogConfig;
use crate::telemetry::logs::LogFormat;
use crate::tls::{ConnectorConfig, TlsConfig};

/// Everything `ringherd serve` needs, checked: the tree that the settings have their places in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Public address.
    pub listen: SocketAddr,
    /// Address of the admin API.
    pub admin_listen: SocketAddr,
    /// Whether `/rep`, `/add` and `/rm` are served on the public address.
    pub public_admin: PublicAdmin,
    /// Public address for TLS.
    pub tls_listen: Option<SocketAddr>,
    /// Certificates for it, as they were given together.
    pub tls: TlsConfig,
    /// File of the first certificate, of its key and of what is stapled to it; with `certificates` they are in `tls`.
    pub(super) tls_certificate: Option<String>,
    pub(super) tls_key: Option<String>,
    pub(super) tls_ocsp: Option<String>,
    pub(super) tls_self_signed: bool,
    /// File of the authorities of clients; also in `tls`.
    pub(super) tls_client_ca: Option<String>,
    /// Those of the file.
    pub(super) certificates: Vec<CertificateSettings>,
    /// The pools of the file with what holds for each; none if there is only one, which is this.
    pub(super) named_pools: Vec<(String, Config)>,
    /// The share of client connections that are only for this pool, in percent, if it is given.
    pub(super) connection_share: Option<u32>,
    /// Which pool a request goes to, made of `route_tables`; `None` where all go to the first.
    pub routes: Option<Routes>,
    /// Routes, each by itself.
    pub(super) route_tables: Vec<RouteSettings>,
    /// Revisions, each by itself; those that replicas can have are in `control`.
    pub(super) revision_tables: Vec<RevisionSettings>,
    /// Name of the revision that replicas have at the start, which is in `control`.
    pub(super) deploy_revision: String,
    /// Header rules; together they are in `proxy`.
    pub(super) headers: Vec<HeaderSettings>,
    /// Whether requests without TLS are sent to `tls_listen`; also in `proxy`.
    pub(super) https_redirect: bool,
    /// How replicas are spoken to.
    pub(super) upstream: UpstreamSettings,
    /// What TLS sessions with replicas are made with, if they speak TLS; made of `upstream`.
    pub upstream_tls: Option<ConnectorConfig>,
    /// Worker threads of the data plane (at least 1).
    pub workers: usize,
    /// How long requests in flight may take to finish at shutdown.
    pub grace: Duration,
    /// Log lines.
    pub log_format: LogFormat,
    /// The access log.
    pub access: AccessLogConfig,
    /// Part of the data plane.
    pub proxy: ProxyConfig,
    /// The same, on the way to replicas.
    pub pool: PoolConfig,
    /// Part of the control plane.
    pub control: ControlConfig,
    /// Part of the admin service.
    pub admin: AdminConfig,
    /// How replicas come to exist.
    pub runtime: RuntimeKind,
    /// Replicas that others run; see [`Config::runtime`].
    pub(super) upstreams: Vec<HostPort>,
    /// What replicas run; also in `containers`.
    pub(super) command: CommandLine,
    /// Folder that the programs of child processes run in.
    pub(super) process_dir: Option<String>,
    /// What becomes of replicas at a stop; also in `control`.
    pub(super) on_exit: OnExit,
    /// How containers are made; `stop_signal`, `stop_timeout` and `env` hold for child processes too.
    pub(super) containers: engine::Spec,
    /// Cores of a replica; also in `containers`.
    pub(super) cpus: Option<f64>,
    /// Label of containers that others run.
    pub(super) discover: Option<(String, String)>,
    /// Parameters of the ring, each by itself; together they are in `control`.
    pub(super) ring: RingSettings,
    /// File of the token, which is in `admin`.
    pub(super) admin_token_file: Option<String>,
    /// File of the secret of sticky sessions, which is in `proxy`.
    pub(super) sticky_secret_file: Option<String>,
}

/// A certificate of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CertificateSettings {
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
    pub(super) ocsp: Option<String>,
}

/// A route of the file, not yet checked beside the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RouteSettings {
    pub(super) name: Option<String>,
    pub(super) host: HostPattern,
    pub(super) path: PathPrefix,
    pub(super) pool: Option<String>,
    pub(super) strip_prefix: bool,
    pub(super) weight: Option<u16>,
    pub(super) redirect: Option<RedirectTarget>,
    pub(super) redirect_status: Option<RedirectStatus>,
    pub(super) response_timeout: Option<Duration>,
    pub(super) stream_timeout: Option<Duration>,
}

/// A revision of the file, not yet checked beside the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RevisionSettings {
    pub(super) name: String,
    pub(super) command: CommandLine,
    pub(super) image: Option<String>,
    pub(super) env: Vec<String>,
}

/// Header rules of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeaderSettings {
    pub(super) on: Option<Message>,
    pub(super) pool: Option<String>,
    pub(super) route: Option<String>,
    pub(super) remove: Vec<String>,
    pub(super) set: Vec<String>,
    pub(super) add: Vec<String>,
    pub(super) always: bool,
}

/// How replicas are spoken to, not yet checked together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UpstreamSettings {
    pub(super) tls: bool,
    pub(super) ca: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}

/// Parameters of the ring, not yet checked together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RingSettings {
    pub(super) family: Family,
    pub(super) probing: Probing,
    pub(super) placement: Placement,
    pub(super) slots: u32,
    pub(super) virtual_nodes: u32,
}

/// Which runtime, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeConfig {
    /// Child processes.
    Process(ProcessConfig),
    /// Replicas that others run.
    Fixed(Vec<HostPort>),
    /// Containers of one engine.
    Docker(DockerConfig),
    /// Services of a Swarm.
    Swarm(SwarmConfig),
}

/// The name of the pool that there is where none is configured.
pub const DEFAULT_POOL: &str = "default";

impl Config {
    /// The pools, by their index: the name of each, and what holds for it. Never empty.
    pub fn pools(&self) -> Vec<(&str, &Self)> {
        if self.named_pools.is_empty() {
            return vec![(DEFAULT_POOL, self)];
        }
        self.named_pools.iter().map(|(name, config)| (name.as_str(), config)).collect()
    }

    /// Replicas to start with, of all pools.
    pub fn replicas(&self) -> u32 {
        self.pools().iter().map(|(_, config)| config.control.replicas).fold(0, u32::saturating_add)
    }

    /// Whether all replicas are those that are built in, to try things out: no program, image or
    /// server of the user's.
    pub fn has_only_demo_replicas(&self) -> bool {
        // A deploy may put others in their place.
        let is_of_demo = |revision: &Revision| revision.command.is_none() && revision.image.is_none();
        self.pools().iter().all(|(_, pool)| {
            let revisions = &pool.control.deploy.revisions;
            pool.is_of_demo_replicas() && revisions.iter().all(|revision| is_of_demo(revision))
        })
    }

    /// Whether those of this pool are.
    pub(super) fn is_of_demo_replicas(&self) -> bool {
        self.runtime != RuntimeKind::Fixed
            && self.command == CommandLine::default()
            && self.containers.image.is_none()
            && self.discover.is_none()
    }

    /// The runtime that is asked for, with its part of the configuration.
    pub fn runtime(&self) -> RuntimeConfig {
        let spec = || self.containers.clone();
        match self.runtime {
            RuntimeKind::Process => RuntimeConfig::Process(ProcessConfig {
                command: self.command.0.clone(),
                env: self.containers.env.clone(),
                dir: self.process_dir.as_ref().map(PathBuf::from),
                stop_signal: self.containers.stop_signal,
                stop_timeout: self.containers.stop_timeout,
            }),
            RuntimeKind::Fixed => RuntimeConfig::Fixed(self.upstreams.clone()),
            RuntimeKind::Docker => RuntimeConfig::Docker(DockerConfig {
                spec: spec(),
                instance: self.listen.to_string(),
                discover: self.discover.clone(),
            }),
            RuntimeKind::Swarm => RuntimeConfig::Swarm(SwarmConfig { spec: spec() }),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5000)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5001)),
            public_admin: PublicAdmin::Auto,
            tls_listen: None,
            tls: TlsConfig::default(),
            tls_certificate: None,
            tls_key: None,
            tls_ocsp: None,
            tls_self_signed: false,
            tls_client_ca: None,
            certificates: Vec::new(),
            named_pools: Vec::new(),
            connection_share: None,
            routes: None,
            route_tables: Vec::new(),
            revision_tables: Vec::new(),
            deploy_revision: Revision::BASE.to_owned(),
            headers: Vec::new(),
            https_redirect: false,
            upstream: UpstreamSettings::default(),
            upstream_tls: None,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            grace: Duration::from_secs(10),
            log_format: LogFormat::Auto,
            access: AccessLogConfig::default(),
            proxy: ProxyConfig::default(),
            pool: PoolConfig::default(),
            control: ControlConfig::default(),
            admin: AdminConfig::default(),
            runtime: RuntimeKind::Process,
            upstreams: Vec::new(),
            command: CommandLine::default(),
            process_dir: None,
            on_exit: OnExit::Remove,
            containers: engine::Spec::default(),
            cpus: None,
            discover: None,
            ring: RingSettings::default(),
            admin_token_file: None,
            sticky_secret_file: None,
        }
    }
}

impl Default for RingSettings {
    fn default() -> Self {
        let params = Params::default();
        Self {
            family: params.family(),
            probing: params.probing(),
            placement: params.placement(),
            slots: params.slots(),
            virtual_nodes: params.virtual_nodes(),
        }
    }
}
