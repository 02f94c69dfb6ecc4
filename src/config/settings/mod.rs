//! The settings: the one place where each is declared.
//!
//! A declaration says where a setting is in the file, its flag, the place of its value in
//! [`Config`], what values it takes within which bounds, what it does, and whether a reload changes
//! it. Its type and its default are those of the field at that place. Everything else is made from
//! this: flags, variables, keys of the file, help, documentation, example, schema, what
//! `ringherd check` prints, and the list of what needs a restart.

mod deploys;
mod headers;
mod process;
mod replicas;
mod resilience;
mod routes;
mod tls;
mod traffic;
mod upstream;

use std::time::Duration;

use super::model::{Entry, Needs, Section, Setting, entries};
use super::tree::Config;
use super::types::RuntimeKind;

/// All sections, in the order of display.
pub(super) static MODEL: [Section<Config>; 22] = [
    Section::of("server", "Server", process::SERVER),
    Section::of("tls", "TLS", tls::TLS),
    Section::tables("certificates", "Certificates", &tls::CERTIFICATES),
    Section::of("replicas", "Replicas", replicas::REPLICAS).of_pools(),
    Section::of("upstream", "Upstream", upstream::UPSTREAM).of_pools(),
    Section::of("containers", "Containers", replicas::CONTAINERS).of_pools(),
    Section::named("revision", "Revisions", &deploys::REVISIONS).of_pools(),
    Section::of("deploy", "Deploys", deploys::DEPLOY).of_pools(),
    Section::of("ring", "Ring", traffic::RING).of_pools(),
    Section::of("routing", "Routing", traffic::ROUTING).of_pools(),
    Section::tables("route", "Routes", &routes::ROUTES),
    Section::of("health", "Health", traffic::HEALTH).of_pools(),
    Section::of("outlier-detection", "Outlier detection", resilience::OUTLIERS).of_pools(),
    Section::of("queue", "Queue", resilience::QUEUE).of_pools(),
    Section::of("sticky", "Sticky sessions", resilience::STICKY).of_pools(),
    Section::of("timeouts", "Time-outs", traffic::TIMEOUTS),
    Section::of("limits", "Limits", traffic::LIMITS),
    Section::tables("headers", "Header rules", &headers::HEADERS),
    Section::of("tracing", "Tracing", traffic::TRACING),
    Section::of("access-log", "Access log", process::ACCESS_LOG),
    Section::of("admin", "Admin", process::ADMIN),
    Section::of("log", "Log", process::LOG),
];

/// All settings, in the order of display.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    entries(&MODEL).map(|entry| &entry.setting)
}

/// The setting with this flag.
pub(super) fn find(flag: &str) -> Option<&'static Entry<Config>> {
    entries(&MODEL).find(|entry| entry.setting.flag == flag)
}

impl Config {
    /// Flags of the settings that differ in `other` and take effect at the next start only.
    /// Pools that come or go are among them.
    pub fn changes_needing_restart(&self, other: &Self) -> Vec<String> {
        let mut changes = self.changes(other, |setting| !setting.on_reload && !setting.of_replicas);
        changes.extend(self.pools_not_in(other).chain(other.pools_not_in(self)));
        changes
    }

    /// Flags of the settings that differ in `other` and of which replicas are made.
    pub fn changes_of_replicas(&self, other: &Self) -> Vec<String> {
        self.changes(other, |setting| setting.of_replicas)
    }

    /// The settings of a kind that differ: by their flag, and those of a named pool by its name too.
    fn changes(&self, other: &Self, kind: impl Fn(&Setting) -> bool) -> Vec<String> {
        let differing = |one: &Self, other: &Self| -> Vec<&'static str> {
            let differs =
                |entry: &&Entry<Self>| kind(&entry.setting) && entry.shown(one) != entry.shown(other);
            entries(&MODEL).filter(differs).map(|entry| entry.setting.flag).collect()
        };
        let for_all = differing(self, other);
        let mut changes: Vec<_> = for_all.iter().map(|flag| (*flag).to_owned()).collect();
        for (name, pool) in &self.named_pools {
            let Some((_, other)) = other.named_pools.iter().find(|(other, _)| other == name) else {
                continue;
            };
            let of_pool = differing(pool, other).into_iter().filter(|flag| !for_all.contains(flag));
            changes.extend(of_pool.map(|flag| format!("{flag} of pool {name}")));
        }
        changes
    }

    /// The pools that another configuration does not have.
    fn pools_not_in<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = String> + 'a {
        let is_new = |name: &&str| !other.pools().iter().any(|(other, _)| other == name);
        self.pools().into_iter().map(|(name, _)| name).filter(is_new).map(|name| format!("pool {name}"))
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Of settings for replicas in containers.
const CONTAINERS_ONLY: Needs<Config> = Needs {
    what: "--runtime docker or swarm",
    met: |config| matches!(config.runtime, RuntimeKind::Docker | RuntimeKind::Swarm),
    strict: true,
};

/// Of settings for replicas that others run.
const FIXED_ONLY: Needs<Config> =
    Needs { what: "--runtime fixed", met: |config| config.runtime == RuntimeKind::Fixed, strict: true };

/// Of settings for replicas that are child processes.
const PROCESS_ONLY: Needs<Config> =
    Needs { what: "--runtime process", met: |config| config.runtime == RuntimeKind::Process, strict: true };

/// Of settings for replicas that the balancer makes.
const NOT_FIXED: Needs<Config> = Needs {
    what: "--runtime process, docker or swarm",
    met: |config| config.runtime != RuntimeKind::Fixed,
    strict: true,
};
