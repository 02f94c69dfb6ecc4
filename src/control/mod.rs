//! The control plane: keeps the replicas that are wanted alive and on the ring.
//!
//! A pool's supervisor is the single writer of its part of the cluster. What it does is decided by the pure
//! [`pool`], which takes events and the time and returns actions; the supervisor only performs
//! them. Others talk to it through a [`Control`] handle and read its [`View`].

pub mod deploy;
mod drain;
pub mod error;
mod health;
mod lag;
pub mod name;
mod observer;
pub mod pool;
mod probe;
mod probe_http2;
mod reach;
pub mod request;
#[cfg(any(test, feature = "test-util"))]
pub mod sim;
mod supervisor;
pub mod transition;
pub mod view;
mod writer;

#[cfg(test)]
mod tests;

pub use deploy::{
    DeployConfig, DeployOrder, DeployRequest, DeployState, DeployStep, DeployView, DeployedNumber, Experience,
};
pub use error::ControlError;
pub use observer::Observer;
pub use reach::Reach;
pub use request::{Add, Control, Remove, Request, RingChange};
pub use supervisor::{PoolParts, Supervisor, Supervisors, supervisors};
pub use transition::{EjectionCause, ExitCause, Transition};
pub use view::{ReplicaView, ReplicaViews, State, View};

use std::net::SocketAddr;
use std::time::Duration;

use crate::cluster::KeySource;
use crate::listen::proxy_protocol;
use crate::ring::Params;

/// What the control plane is told by the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlConfig {
    /// Replicas to start with (0 to `max_replicas`).
    pub replicas: u32,
    /// Where others run them: `host:port` of each to start with.
    pub upstreams: Vec<String>,
    /// Most replicas there may be, those being added included (1 to 65,535).
    pub max_replicas: u32,
    /// The ring.
    pub ring: Params,
    /// What is hashed.
    pub key: KeySource,
    /// Bounded load as configured.
    pub bounded_load: BoundedLoad,
    /// Most requests in flight at one replica; 0 for no cap.
    pub max_requests: u32,
    /// Heartbeats.
    pub health: HealthConfig,
    /// How long a replica that comes takes a growing share of its keys.
    pub slow_start: Duration,
    /// Ejection by what requests meet with.
    pub outliers: OutlierConfig,
    /// How long a leaving replica may finish its requests.
    pub drain_timeout: Duration,
    /// How long a new replica has for its first good heartbeat.
    pub start_timeout: Duration,
    /// How long an ejected replica that we own may stay silent before it is replaced.
    pub replace_after: Duration,
    /// Whether replicas outlive a stop of the balancer, to be taken over by the next.
    pub keep_on_stop: bool,
    /// Where the balancer listens itself: no replica is there.
    pub own_addresses: Vec<SocketAddr>,
    /// Revisions, and how they are deployed.
    pub deploy: DeployConfig,
}

/// What a heartbeat asks.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum HealthCheck {
    /// `GET path`.
    #[default]
    Http,
    /// The health service of gRPC (`grpc.health.v1`), for the service of this name; for all of the server
    /// if it is empty.
    Grpc(String),
}

/// Heartbeats of each replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// What is asked.
    pub check: HealthCheck,
    /// Path asked for; any 2xx answer is good. Not asked where the check is that of gRPC.
    pub path: String,
    /// Time between the heartbeats of one replica.
    pub interval: Duration,
    /// Time one heartbeat may take.
    pub timeout: Duration,
    /// Failures in a row that eject a replica (at least 1).
    pub unhealthy_after: u32,
    /// The version of the PROXY protocol that replicas are spoken to in, if they are.
    pub proxy_protocol: Option<proxy_protocol::Version>,
}

/// Outlier detection, with Envoy's names.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierConfig {
    /// Failures in a row that eject a replica; 0 for never.
    pub consecutive_failures: u32,
    /// Over which success rates are compared.
    pub interval: Duration,
    /// How far below the mean a success rate is that ejects, in standard deviations; 0 for never.
    pub stdev_factor: f64,
    /// Replicas that there have to be to compare with.
    pub min_replicas: u32,
    /// Requests that a replica has to have had in a window to be compared.
    pub min_requests: u64,
    /// How long a first ejection lasts; each one after it twice as long.
    pub base_ejection_time: Duration,
    /// The longest.
    pub max_ejection_time: Duration,
    /// How many of those whose heartbeats are good may be ejected, in percent (0 to 100).
    pub max_ejection_percent: u32,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            interval: Duration::from_secs(10),
            stdev_factor: 1.9,
            min_replicas: 5,
            min_requests: 100,
            base_ejection_time: Duration::from_secs(10),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 50,
        }
    }
}

/// Bounded load as configured.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum BoundedLoad {
    /// 1.25 where each request has its own key, off where the key is chosen for affinity.
    #[default]
    Auto,
    /// No bound.
    Off,
    /// The factor, at least 1.
    Factor(f64),
}

impl BoundedLoad {
    /// The factor in force for `key`, or `None` for no bound.
    pub fn factor(self, key: &KeySource) -> Option<f64> {
        match self {
            Self::Auto => (!key.is_affinity()).then_some(1.25),
            Self::Off => None,
            Self::Factor(c) => Some(c),
        }
    }
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            replicas: 3,
            upstreams: Vec::new(),
            max_replicas: 64,
            ring: Params::default(),
            key: KeySource::default(),
            bounded_load: BoundedLoad::default(),
            max_requests: 0,
            health: HealthConfig::default(),
            slow_start: Duration::ZERO,
            outliers: OutlierConfig::default(),
            drain_timeout: Duration::from_secs(10),
            start_timeout: Duration::from_secs(10),
            replace_after: Duration::from_secs(30),
            keep_on_stop: false,
            own_addresses: Vec::new(),
            deploy: DeployConfig::default(),
        }
    }
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            check: HealthCheck::Http,
            path: "/heartbeat".to_owned(),
            interval: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            unhealthy_after: 2,
            proxy_protocol: None,
        }
    }
}
