//! Events of the engine, and the signals they tell of. Pure.

use std::collections::HashMap;

use docker_api::models::EventMessage;

/// The events that are asked for.
pub(super) const ACTIONS: [&str; 7] = ["start", "die", "kill", "oom", "health_status", "pause", "unpause"];

/// The signal that a container is stopped with unless it says otherwise.
pub(super) const SIGTERM: i32 = 15;

/// Signals that tell any program to end, and SIGKILL.
const ENDING: [i32; 4] = [2, 3, 9, SIGTERM];

/// Names and numbers of the signals that images use to be stopped with, as on Linux.
const NAMES: [(&str, i32); 12] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", SIGTERM),
    ("PWR", 30),
    ("WINCH", 28),
];

/// What may have happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    /// Its id.
    pub(super) container: String,
    /// What.
    pub(super) what: What,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It was started, and whether it has the label by which containers of others join.
    Started {
        /// Whether it has.
        discovered: bool,
    },
    /// Its program ended, and whether it has that label.
    Died {
        /// Whether it has.
        discovered: bool,
    },
    /// It was sent a signal.
    Signalled(i32),
    /// It may not answer, or answer again.
    Suspect,
}

/// What an event means, if anything.
pub(super) fn of(event: EventMessage, discover: Option<&(String, String)>) -> Option<Hint> {
    let actor = event.actor?;
    let attributes = actor.attributes.unwrap_or_default();
    let what = match event.action?.as_str() {
        "start" => What::Started { discovered: has(&attributes, discover) },
        "die" => What::Died { discovered: has(&attributes, discover) },
        "kill" => What::Signalled(attributes.get("signal").and_then(|signal| number(signal))?),
        "oom" | "pause" | "unpause" | "health_status: unhealthy" => What::Suspect,
        _ => return None,
    };
    Some(Hint { container: actor.id?, what })
}

/// An event carries the container's labels among its attributes.
fn has(attributes: &HashMap<String, String>, label: Option<&(String, String)>) -> bool {
    label.is_some_and(|(key, value)| attributes.get(key) == Some(value))
}

/// `15`, `TERM`, `SIGTERM` or `SIGRTMIN+3` as a number.
pub(super) fn number(signal: &str) -> Option<i32> {
    if let Ok(number) = signal.parse() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = signal.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN+") {
        return offset.parse().ok().map(|offset: i32| 34 + offset).filter(|number| *number <= 64);
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// Whether a signal tells a container to end that is stopped with `stop_signal`.
pub(super) fn ends(signal: i32, stop_signal: i32) -> bool {
    ENDING.contains(&signal) || signal == stop_signal
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hint(action: &str, attributes: &serde_json::Value) -> Option<What> {
        let actor = json!({ "ID": "c1", "Attributes": attributes });
        let event = json!({ "Action": action, "Type": "container", "Actor": actor });
        let label = ("app".to_owned(), "web".to_owned());
        of(serde_json::from_value(event).unwrap(), Some(&label)).map(|hint| hint.what)
    }

    #[test]
    fn events_are_understood() {
        let golden = [
            ("start", json!({ "app": "web" }), Some(What::Started { discovered: true })),
            ("start", json!({ "app": "db" }), Some(What::Started { discovered: false })),
            ("die", json!({ "exitCode": "137" }), Some(What::Died { discovered: false })),
            ("die", json!({ "app": "web" }), Some(What::Died { discovered: true })),
            ("kill", json!({ "signal": "9" }), Some(What::Signalled(9))),
            ("kill", json!({}), None),
            ("oom", json!({}), Some(What::Suspect)),
            ("unpause", json!({}), Some(What::Suspect)),
            ("health_status: unhealthy", json!({}), Some(What::Suspect)),
            ("health_status: healthy", json!({}), None),
            ("exec_start: sh", json!({}), None),
        ];
        for (action, attributes, expected) in golden {
            assert_eq!(hint(action, &attributes), expected, "{action}");
        }
    }

    #[test]
    fn signals_are_numbers_or_names() {
        let golden = [
            ("15", Some(15)),
            ("SIGTERM", Some(15)),
            ("quit", Some(3)),
            ("SIGRTMIN+3", Some(37)),
            ("SIGRTMIN+99", None),
            ("0", None),
            ("", None),
        ];
        for (text, expected) in golden {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn only_some_signals_end() {
        assert!([2, 3, 9, 15].into_iter().all(|signal| ends(signal, SIGTERM)));
        assert!([1, 10, 12, 28].into_iter().all(|signal| !ends(signal, SIGTERM)));
        assert!(ends(28, 28));
    }
}
