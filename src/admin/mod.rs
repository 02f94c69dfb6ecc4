//! The admin API: `/rep`, `/add` and `/rm`, and further routes for operators of a running balancer.
//!
//! One [`Admin`] serves both listeners: the admin listener, and the public one inside a worker of the
//! data plane, which asks [`is_public_route`] what belongs here. A request passes the checks of
//! `access` before its `route` is served. Its body is limited by `request_body` and parsed by
//! [`request`] before the supervisor gets a command, so that a refused request changes nothing. This
//! module knows the [`crate::control::Control`] handle of each pool, and neither the supervisor behind it nor how
//! connections are accepted.

mod access;
mod audit;
mod change;
mod dashboard;
mod deploy;
mod error;
mod log;
mod metrics;
mod openapi;
mod pools;
pub mod request;
mod request_body;
mod response;
mod response_body;
mod route;
pub mod server;
mod service;
mod statistics;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::sync::Arc;

pub use access::origin;
pub use pools::{PoolHandle, Pools};
pub use response_body::Body;
pub use route::{Listener, is_public_route};
pub use service::{Admin, Context};

use crate::telemetry::access::Losses;
use crate::telemetry::{Journal, Traffic};
use crate::tls::Certificates;

/// The configuration of the admin service.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AdminConfig {
    /// Bearer token that every admin request must have; `None` for no token.
    pub token: Option<String>,
    /// Host names, besides addresses and `localhost`, that admin requests may be sent to.
    pub hosts: Vec<String>,
    /// Origins that pages may have besides this balancer's own, as browsers send them: those of edges in
    /// front. Admin requests may be sent to their hosts as well.
    pub origins: Vec<String>,
}

/// Without the token, because configurations are logged.
impl fmt::Debug for AdminConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminConfig")
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("hosts", &self.hosts)
            .field("origins", &self.origins)
            .finish()
    }
}

/// The sources of metrics and events, besides the view of the cluster. Those of `Default` stay empty.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// What happened.
    pub journal: Journal,
    /// Counters of the data plane.
    pub traffic: Traffic,
    /// Certificates of the TLS listener, if there is one.
    pub certificates: Option<Arc<Certificates>>,
    /// Losses of the access log, if there is one.
    pub losses: Option<Losses>,
}
