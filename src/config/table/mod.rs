//! The table of settings: the one place where a setting is declared.
//!
//! Flags, environment variables, keys of the file, help, documentation, the effective
//! configuration and the list of what needs a restart are all made from it. What a value means
//! for the rest of the program is decided when the configuration is checked.

mod container;
mod process;
mod telemetry;
mod traffic;

use std::time::Duration;

use super::setting::{Group, Setting};

/// All settings, in the order of display.
pub static GROUPS: [Group; 10] = [
    Group { heading: "Listening", settings: process::LISTENING },
    Group { heading: "Replicas", settings: process::REPLICAS },
    Group { heading: "Containers", settings: container::CONTAINERS },
    Group { heading: "Ring", settings: traffic::RING },
    Group { heading: "Routing", settings: traffic::ROUTING },
    Group { heading: "Health", settings: traffic::HEALTH },
    Group { heading: "Time-outs and limits", settings: traffic::LIMITS },
    Group { heading: "Requests", settings: telemetry::REQUESTS },
    Group { heading: "Admin", settings: process::ADMIN },
    Group { heading: "Process", settings: process::PROCESS },
];

const HOUR: Duration = Duration::from_secs(60 * 60);

/// All settings, in the order of display.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

/// The setting with this key.
pub fn find(key: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.key == key)
}
