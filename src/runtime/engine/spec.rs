//! What replicas in containers are made of: the part of the configuration that Docker and Swarm
//! share.

use std::time::Duration;

use super::Host;

/// How a replica's container is made. Nothing of it ever comes from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Where the engine is.
    pub host: Host,
    /// Name of the pool: 1 to 32 of `a-z0-9-`. Replicas of different pools never meet.
    pub pool: String,
    /// Image; `None` for our own: that of the container the balancer runs in, else `ringherd`.
    pub image: Option<String>,
    /// Network; `None` for that of the container the balancer runs in, else one of the pool's.
    pub network: Option<String>,
    /// Port that replicas listen on in their containers.
    pub port: u16,
    /// Memory limit of a replica, in bytes.
    pub memory: Option<u64>,
    /// CPU limit of a replica, in units of a billionth of a core, as the API has it.
    pub nano_cpus: Option<u64>,
    /// Variables of a replica's environment, as `KEY=VALUE`.
    pub env: Vec<String>,
    /// Program and arguments in place of the image's own, `{port}`, `{name}` and `{number}`
    /// replaced. Empty: what the image runs by itself, or `ringherd replica` in our own image.
    pub command: Vec<String>,
    /// Time between SIGTERM and SIGKILL.
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
            stop_timeout: Duration::from_secs(5),
        }
    }
}

/// `cores` as [`Spec::nano_cpus`].
pub fn nano_cpus(cores: f64) -> u64 {
    (cores * 1e9).round() as u64
}
