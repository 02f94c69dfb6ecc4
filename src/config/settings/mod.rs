//! The settings: the one place where each is declared.
//!
//! A declaration says where a setting is in the file, its flag, the place of its value in
//! [`Config`], what values it takes within which bounds, what it does, and whether a reload changes
//! it. Its type and its default are those of the field at that place. Everything else is made from
//! this: flags, variables, keys of the file, help, documentation, example, schema, what
//! `ringherd check` prints, and the list of what needs a restart.

mod headers;
mod process;
mod replicas;
mod resilience;
mod tls;
mod traffic;
mod upstream;

use std::time::Duration;

use super::model::{Entry, Needs, Section, Setting, entries};
use super::tree::Config;
use super::types::RuntimeKind;

/// All sections, in the order of display.
pub(super) static MODEL: [Section<Config>; 19] = [
    Section::of("server", "Server", process::SERVER),
    Section::of("tls", "TLS", tls::TLS),
    Section::tables("certificates", "Certificates", &tls::CERTIFICATES),
    Section::of("replicas", "Replicas", replicas::REPLICAS),
    Section::of("upstream", "Upstream", upstream::UPSTREAM),
    Section::of("containers", "Containers", replicas::CONTAINERS),
    Section::of("ring", "Ring", traffic::RING),
    Section::of("routing", "Routing", traffic::ROUTING),
    Section::of("health", "Health", traffic::HEALTH),
    Section::of("outlier-detection", "Outlier detection", resilience::OUTLIERS),
    Section::of("queue", "Queue", resilience::QUEUE),
    Section::of("sticky", "Sticky sessions", resilience::STICKY),
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
    pub fn changes_needing_restart(&self, other: &Self) -> Vec<&'static str> {
        self.changes(other, |setting| !setting.on_reload && !setting.of_replicas)
    }

    /// Flags of the settings that differ in `other` and of which replicas are made.
    pub fn changes_of_replicas(&self, other: &Self) -> Vec<&'static str> {
        self.changes(other, |setting| setting.of_replicas)
    }

    fn changes(&self, other: &Self, kind: impl Fn(&Setting) -> bool) -> Vec<&'static str> {
        let differs = |entry: &&Entry<Self>| kind(&entry.setting) && entry.shown(self) != entry.shown(other);
        entries(&MODEL).filter(differs).map(|entry| entry.setting.flag).collect()
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
