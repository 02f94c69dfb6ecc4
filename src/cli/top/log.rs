//! Events as lines of text.

use crate::client::{Event, EventKind, ReplicaChange, plain};

/// The line of an event, or `None` for one that is shown otherwise.
pub(super) fn line(event: &Event) -> Option<String> {
    let text = match &event.kind {
        EventKind::Replica(change) => replica(change),
        EventKind::Publish(publication) => {
            let moved = publication.keys_moved.map_or_else(
                || "another ring".to_owned(),
                |moved| format!("{:.1} % of the keys moved", moved * 100.0),
            );
            format!("version {}, {} on the ring, {moved}", publication.version, publication.replicas)
        }
        EventKind::Change { peer, request, change, outcome } => {
            format!("{peer}: {}: {outcome}", change.as_ref().unwrap_or(request))
        }
        EventKind::Outage { available: true, .. } => "replicas can be added and removed again".to_owned(),
        EventKind::Outage { reason, .. } => format!("replicas can neither be added nor removed: {reason}"),
        EventKind::Config(message) => message.clone(),
        EventKind::Stats(_) => return None,
        EventKind::Other(kind) => format!("something called {kind}"),
    };
    // That of a lone pool says nothing.
    let pool = event.kind.pool().filter(|pool| *pool != "default").map(|pool| format!("{pool}: "));
    let text = pool.unwrap_or_default() + &text;
    Some(format!("{}  {}", clock(event.time), plain(&text)))
}

fn replica(change: &ReplicaChange) -> String {
    let ReplicaChange { replica, number, event, reason, .. } = change;
    let colon = if reason.is_empty() { "" } else { ": " };
    format!("{replica} ({number}) {event}{colon}{reason}")
}

/// The time of day, in UTC.
fn clock(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000 % 86400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Publication, Stats};

    fn told(what: EventKind) -> Option<String> {
        line(&Event { id: None, time: 1_764_000_000_000, kind: what })
    }

    #[test]
    fn each_kind_has_its_line() {
        let died = ReplicaChange {
            pool: "web".to_owned(),
            replica: "S1".to_owned(),
            number: 1,
            event: "died".to_owned(),
            state: String::new(),
            reason: "signal 9\u{1b}[2J".to_owned(),
            address: None,
        };
        let publish = |keys_moved| {
            EventKind::Publish(Publication {
                pool: "default".to_owned(),
                version: 7,
                replicas: 3,
                slots_moved: None,
                keys_moved,
            })
        };
        let change = |change: Option<&str>| EventKind::Change {
            peer: "127.0.0.1:1".to_owned(),
            request: "POST /add".to_owned(),
            change: change.map(str::to_owned),
            outcome: "done".to_owned(),
        };
        for (what, line) in [
            (EventKind::Replica(died), "web: S1 (1) died: signal 9\u{fffd}[2J"),
            (publish(Some(0.3333)), "version 7, 3 on the ring, 33.3 % of the keys moved"),
            (publish(None), "version 7, 3 on the ring, another ring"),
            (change(Some("kill \"S1\"")), "127.0.0.1:1: kill \"S1\": done"),
            (change(None), "127.0.0.1:1: POST /add: done"),
            (
                EventKind::Outage { pool: String::new(), available: false, reason: "gone".to_owned() },
                "replicas can neither be added nor removed: gone",
            ),
            (
                EventKind::Outage { pool: String::new(), available: true, reason: String::new() },
                "replicas can be added and removed again",
            ),
            (EventKind::Config("configuration reloaded".to_owned()), "configuration reloaded"),
            (EventKind::Other("news".to_owned()), "something called news"),
        ] {
            assert_eq!(told(what), Some(format!("16:00:00  {line}")));
        }
        assert_eq!(told(EventKind::Stats(Stats::default())), None);
    }
}
