//! A reload: reads the configuration again and gives each part of the running balancer its own.

use serde_json::json;

use super::certificates;
use super::descriptors::ConnectionLimit;
use super::pools::Pools;
use super::workers::Workers;
use crate::admin::Admin;
use crate::config::{Config, Problems};
use crate::proxy::ProxyConfig;
use crate::telemetry::Journal;
use crate::tls::Acceptor;

/// How the configuration is read again.
pub struct Reload {
    /// Reads it.
    pub read: ReadAgain,
    /// Whether it comes from a file, too. If not, the end of its terminal ends the balancer.
    pub has_file: bool,
}

/// Reads the configuration.
pub type ReadAgain = Box<dyn Fn() -> Result<Config, Problems>>;

/// What a reload reaches.
pub(super) struct Reloader {
    /// The configuration of the start, which settings that need a restart are compared with.
    pub(super) at_start: Config,
    pub(super) read: ReadAgain,
    pub(super) admin: Admin,
    pub(super) limit: ConnectionLimit,
    /// Those of the TLS listener, and its port, if there is one.
    pub(super) tls: Option<(Acceptor, u16)>,
    pub(super) journal: Journal,
}

impl Reloader {
    /// Applies what can change in a running balancer, and names what cannot. An error leaves
    /// everything as it is.
    pub(super) async fn reload(&self, pools: &Pools, workers: &Workers) {
        let mut next = match (self.read)() {
            Ok(next) => next,
            Err(problems) => {
                tracing::error!(%problems, "configuration not reloaded: nothing changed");
                return self.record_refusal(&problems);
            }
        };
        let restart = self.at_start.changes_needing_restart(&next);
        let of_replicas = self.at_start.changes_of_replicas(&next);
        // First, since they alone can refuse.
        if let Err(error) = pools.reload(&next).await {
            tracing::error!(%error, "configuration not reloaded: nothing changed");
            return self.record_refusal(&error);
        }
        let port = self.tls.as_ref().map(|(_, port)| *port);
        next.proxy.https_port = next.proxy.https_port.and(port);
        self.limit.configure(next.proxy.clone());
        workers.reconfigure(self.limit.proxy());
        self.admin.reconfigure(next.admin.clone());
        tracing::info!(needs_restart = restart.join(", "), "configuration reloaded");
        if !of_replicas.is_empty() {
            let settings = of_replicas.join(", ");
            tracing::warn!(
                settings,
                "replicas keep what they were made of: restart the balancer to make them anew"
            );
        }
        if let Some((acceptor, _)) = &self.tls {
            certificates::tell(acceptor, &acceptor.reload(&next.tls), &self.journal);
        }
        pools.reload_tls(&next, &self.journal);
        let facts = json!({
            "message": "configuration reloaded",
            "needs_restart": restart,
            "needs_new_replicas": of_replicas,
        });
        self.journal.record("config", &facts);
    }

    /// Waits until there are more or fewer replicas, and returns what the data plane may do then: each
    /// needs descriptors. Cancel safe.
    pub(super) async fn limit_after_replicas(&self, pools: &Pools) -> ProxyConfig {
        loop {
            let changed = pools.other_than(self.limit.replicas()).await;
            // Without a supervisor the balancer is ending.
            let Some(present) = changed else { return std::future::pending().await };
            let before = self.limit.proxy().max_connections;
            self.limit.set_replicas(present);
            let config = self.limit.proxy();
            if config.max_connections != before {
                return config;
            }
        }
    }

    fn record_refusal(&self, why: &dyn std::fmt::Display) {
        let message = format!("configuration not reloaded, nothing changed: {why}");
        self.journal
            .record("config", &json!({"message": message, "needs_restart": [], "needs_new_replicas": []}));
    }
}
