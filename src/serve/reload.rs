//! A reload: reads the configuration again and gives each part of the running balancer its own.

use serde_json::json;

use super::descriptors::room_for_connections;
use super::workers::Workers;
use crate::admin::Admin;
use crate::config::{Config, Problems};
use crate::control::{Control, Request};
use crate::proxy::ProxyConfig;
use crate::telemetry::{Journal, Traffic};

/// Reads the configuration again.
pub type Reload = Box<dyn Fn() -> Result<Config, Problems>>;

/// What a reload reaches.
pub(super) struct Reloader {
    /// The configuration of the start, which settings that need a restart are compared with.
    pub(super) at_start: Config,
    pub(super) read: Reload,
    pub(super) control: Control,
    pub(super) admin: Admin,
    pub(super) traffic: Traffic,
    pub(super) journal: Journal,
}

impl Reloader {
    /// Applies what can change in a running balancer, and names what cannot. An error leaves
    /// everything as it is.
    pub(super) async fn reload(&self, workers: &Workers) {
        let mut next = match (self.read)() {
            Ok(next) => next,
            Err(problems) => {
                tracing::error!(%problems, "configuration not reloaded: nothing changed");
                return self.record_refusal(&problems);
            }
        };
        next.control.own_addresses.clone_from(&self.at_start.control.own_addresses);
        let restart = self.at_start.changes_needing_restart(&next);
        // First, since it alone can refuse.
        let view = match self.control.request(Request::Reload(Box::new(next.control.clone()))).await {
            Ok(view) => view,
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded: nothing changed");
                return self.record_refusal(&error);
            }
        };
        workers.reconfigure(within_descriptors(&next, &self.traffic));
        self.admin.reconfigure(next.admin);
        tracing::info!(version = view.version, needs_restart = restart.join(", "), "configuration reloaded");
        let facts = json!({"message": "configuration reloaded", "needs_restart": restart});
        self.journal.record("config", &facts);
    }

    fn record_refusal(&self, why: &dyn std::fmt::Display) {
        let message = format!("configuration not reloaded, nothing changed: {why}");
        self.journal.record("config", &json!({"message": message, "needs_restart": []}));
    }
}

/// The configuration of the data plane, with no more connections than descriptors allow.
pub(super) fn within_descriptors(config: &Config, traffic: &Traffic) -> ProxyConfig {
    let room = room_for_connections(config.proxy.max_connections, config.control.max_replicas);
    traffic.limit_connections(room);
    ProxyConfig { max_connections: room, ..config.proxy.clone() }
}
