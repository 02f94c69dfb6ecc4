//! A reload: reads the configuration again and gives each part of the running balancer its own.

use std::cell::RefCell;

use serde_json::json;

use super::descriptors::room_for_connections;
use super::workers::Workers;
use crate::admin::Admin;
use crate::config::{Config, Problems};
use crate::control::{Control, ControlConfig, Request};
use crate::proxy::ProxyConfig;
use crate::telemetry::{Journal, Traffic};

/// Reads the configuration again.
pub type Reload = Box<dyn Fn() -> Result<Config, Problems>>;

/// What a reload reaches.
pub(super) struct Reloader {
    /// The configuration of the start, which settings that need a restart are compared with.
    pub(super) at_start: Config,
    pub(super) read: Reload,
    /// How many replicas are configured, and at which upstreams.
    pub(super) replicas: RefCell<(u32, Vec<String>)>,
    pub(super) control: Control,
    pub(super) admin: Admin,
    pub(super) traffic: Traffic,
    pub(super) journal: Journal,
}

impl Reloader {
    /// Applies what can change in a running balancer, and names what cannot. An error leaves
    /// everything as it is.
    pub(super) async fn reload(&self, workers: &Workers) {
        let next = match (self.read)() {
            Ok(next) => next,
            Err(problems) => {
                tracing::error!(%problems, "configuration not reloaded: nothing changed");
                return self.record_refusal(&problems);
            }
        };
        let restart = self.at_start.changes_needing_restart(&next);
        let of_replicas = self.at_start.changes_of_replicas(&next);
        let mut control = next.control.clone();
        if next.runtime != self.at_start.runtime {
            // How many replicas there are of another runtime is for the next start.
            let (replicas, upstreams) = self.replicas.borrow().clone();
            control = ControlConfig { replicas, upstreams, ..control };
        }
        let replicas = (control.replicas, control.upstreams.clone());
        // First, since it alone can refuse.
        let view = match self.control.request(Request::Reload(Box::new(control))).await {
            Ok(view) => view,
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded: nothing changed");
                return self.record_refusal(&error);
            }
        };
        self.replicas.replace(replicas);
        workers.reconfigure(within_descriptors(&next, &self.traffic));
        self.admin.reconfigure(next.admin);
        tracing::info!(version = view.version, needs_restart = restart.join(", "), "configuration reloaded");
        if !of_replicas.is_empty() {
            let settings = of_replicas.join(", ");
            tracing::warn!(
                settings,
                "replicas keep what they were made of: restart the balancer to make them anew"
            );
        }
        let facts = json!({
            "message": "configuration reloaded",
            "needs_restart": restart,
            "needs_new_replicas": of_replicas,
        });
        self.journal.record("config", &facts);
    }

    fn record_refusal(&self, why: &dyn std::fmt::Display) {
        let message = format!("configuration not reloaded, nothing changed: {why}");
        self.journal
            .record("config", &json!({"message": message, "needs_restart": [], "needs_new_replicas": []}));
    }
}

/// The configuration of the data plane, with no more connections than descriptors allow.
pub(super) fn within_descriptors(config: &Config, traffic: &Traffic) -> ProxyConfig {
    let room = room_for_connections(config.proxy.max_connections, config.control.max_replicas);
    traffic.limit_connections(room);
    ProxyConfig { max_connections: room, ..config.proxy }
}
