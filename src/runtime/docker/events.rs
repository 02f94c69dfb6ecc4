//! Events of the engine, reduced to what matters for replicas. Pure.

use std::collections::HashMap;

use docker_api::models::EventMessage;

use super::signals;

/// The actions that are subscribed to.
pub(super) const ACTIONS: [&str; 7] = ["start", "die", "kill", "oom", "health_status", "pause", "unpause"];

/// An event of one container. Events may be missing or come twice: they make the actor look
/// sooner, the list of containers has the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EngineEvent {
    /// Id of the container.
    pub(super) container: String,
    /// What happened to it.
    pub(super) kind: EventKind,
}

/// What happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    /// It was started.
    Started {
        /// Whether it has the label by which containers are discovered.
        discovered: bool,
    },
    /// Its program ended.
    Exited {
        /// Whether it has the label by which containers are discovered.
        discovered: bool,
    },
    /// It was sent the signal with this number.
    Signalled(i32),
    /// It was paused or resumed, ran out of memory, or is unhealthy: a heartbeat has to check it.
    Suspect,
}

impl EngineEvent {
    /// Reads an event of the engine; `None` for one that does not matter here. `label` is the one
    /// by which containers are discovered, as key and value.
    pub(super) fn parse(event: EventMessage, label: Option<&(String, String)>) -> Option<Self> {
        let actor = event.actor?;
        let attributes = actor.attributes.unwrap_or_default();
        let discovered = has_label(&attributes, label);
        let kind = match event.action?.as_str() {
            "start" => EventKind::Started { discovered },
            "die" => EventKind::Exited { discovered },
            "kill" => EventKind::Signalled(attributes.get("signal").and_then(|name| signals::number(name))?),
            "oom" | "pause" | "unpause" | "health_status: unhealthy" => EventKind::Suspect,
            _ => return None,
        };
        Some(Self { container: actor.id?, kind })
    }
}

/// An event carries the container's labels among its attributes.
fn has_label(attributes: &HashMap<String, String>, label: Option<&(String, String)>) -> bool {
    label.is_some_and(|(key, value)| attributes.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(action: &str, attributes: &serde_json::Value) -> Option<EventKind> {
        let actor = json!({ "ID": "c1", "Attributes": attributes });
        let event = json!({ "Action": action, "Type": "container", "Actor": actor });
        let label = ("app".to_owned(), "web".to_owned());
        EngineEvent::parse(serde_json::from_value(event).unwrap(), Some(&label)).map(|event| event.kind)
    }

    #[test]
    fn events_are_understood() {
        let golden = [
            ("start", json!({ "app": "web" }), Some(EventKind::Started { discovered: true })),
            ("start", json!({ "app": "db" }), Some(EventKind::Started { discovered: false })),
            ("die", json!({ "exitCode": "137" }), Some(EventKind::Exited { discovered: false })),
            ("die", json!({ "app": "web" }), Some(EventKind::Exited { discovered: true })),
            ("kill", json!({ "signal": "9" }), Some(EventKind::Signalled(9))),
            ("kill", json!({}), None),
            ("oom", json!({}), Some(EventKind::Suspect)),
            ("unpause", json!({}), Some(EventKind::Suspect)),
            ("health_status: unhealthy", json!({}), Some(EventKind::Suspect)),
            ("health_status: healthy", json!({}), None),
            ("exec_start: sh", json!({}), None),
        ];
        for (action, attributes, expected) in golden {
            assert_eq!(kind(action, &attributes), expected, "{action}");
        }
    }
}
