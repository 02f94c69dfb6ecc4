//! The admin API: `/rep`, `/add` and `/rm`, and what an operator asks of a running balancer.
//!
//! One [`Admin`] serves both places the API is reached at: the admin listener, and the public
//! one inside a worker of the data plane, which asks [`is_public_route`] what belongs here.
//! A request passes `host`, `origin` and `auth` before its `route` is looked at, and its
//! body is limited by `body` and parsed ([`request`]) before the supervisor hears of it; so what
//! is refused changes nothing. It knows the [`crate::control::Control`] handle, and neither the
//! supervisor behind it nor how connections are accepted.

mod answer;
mod audit;
mod auth;
mod body;
mod change;
mod dashboard;
mod document;
mod error;
mod host;
pub mod listener;
mod metrics;
mod origin;
mod reply;
pub mod request;
mod route;
mod service;
pub mod sources;
mod statistics;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

pub use reply::Body;
pub use route::is_public_route;
pub use service::{Admin, Context, Listener};
pub use sources::Sources;

/// What the admin service is told by the configuration.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AdminConfig {
    /// Bearer token that every admin request must carry, if set.
    pub token: Option<String>,
    /// Host names, besides addresses and `localhost`, that admin requests may be sent to.
    pub hosts: Vec<String>,
}

/// Without the token: configurations end up in logs.
impl fmt::Debug for AdminConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminConfig")
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("hosts", &self.hosts)
            .finish()
    }
}
