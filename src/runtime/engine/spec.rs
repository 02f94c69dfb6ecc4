//! The part of the configuration that Docker and Swarm share: how a replica's container is made.

use std::time::Duration;

use super::Host;
use crate::replica::StopSignal;

/// Whether a replica's root file system is read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReadOnly {
    /// Yes.
    #[default]
    On,
    /// No: the image writes where it likes.
    Off,
}

/// How a replica's container is made. No field ever comes from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Address of the engine.
    pub host: Host,
    /// Name of the pool: 1 to 32 of `a-z0-9-`. Balancers of different pools never touch each other's
    /// replicas.
    pub pool: String,
    /// Name or id of the image; `None` for that of the container the balancer runs in, else
    /// `ringherd`.
    pub image: Option<String>,
    /// Name or id of the network; `None` for that of the container the balancer runs in, else one
    /// that is created for the pool.
    pub network: Option<String>,
    /// Port that replicas listen on in their containers.
    pub port: u16,
    /// Memory limit of a replica, in bytes; `None` for no limit.
    pub memory: Option<u64>,
    /// CPU limit of a replica, in billionths of a core; `None` for no limit.
    pub nano_cpus: Option<u64>,
    /// Environment of a replica, as `KEY=VALUE`.
    pub env: Vec<String>,
    /// Program and arguments in place of the image's own, with `{port}`, `{name}` and `{number}`
    /// replaced. Empty for the image's own, or `ringherd replica` in ringherd's image.
    pub command: Vec<String>,
    /// Whether the root file system is read-only.
    pub read_only: ReadOnly,
    /// More folders in memory, as `PATH` or `PATH:OPTIONS`.
    pub tmpfs: Vec<String>,
    /// Volumes and folders of the host, as `SOURCE:TARGET` or `SOURCE:TARGET:ro`.
    pub volumes: Vec<String>,
    /// User that the program runs as, with a group behind `:`; `None` for that of the image.
    pub user: Option<String>,
    /// Capabilities that a replica has, such as `NET_BIND_SERVICE`; all others are dropped.
    pub capabilities: Vec<String>,
    /// What tells a replica to end.
    pub stop_signal: StopSignal,
    /// Time between that signal and SIGKILL when a replica is stopped.
    pub stop_timeout: Duration,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            host: Host::default(),
            pool: "default".to_owned(),
            image: None,
            network: None,
            port: 5000,
            memory: None,
            nano_cpus: None,
            env: Vec::new(),
            command: Vec::new(),
            read_only: ReadOnly::On,
            tmpfs: Vec::new(),
            volumes: Vec::new(),
            user: None,
            capabilities: Vec::new(),
            stop_signal: StopSignal::default(),
            stop_timeout: Duration::from_secs(5),
        }
    }
}

/// `cores` as [`Spec::nano_cpus`].
pub fn nano_cpus(cores: f64) -> u64 {
    (cores * 1e9).round() as u64
}
