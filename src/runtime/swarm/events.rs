//! Events of a manager that are a reason for a pass at once: changes of services, which every manager
//! sends, and the ends of tasks on its own node. Passes do not depend on them.

use std::time::Duration;

use docker_api::models::EventMessage;
use docker_api::opts::{EventFilter, EventsOpts};
use futures_util::StreamExt;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use crate::runtime::engine::{Engine, labels, naming};

/// The actions that are subscribed to. `docker-api` cannot subscribe to services only.
const ACTIONS: [&str; 4] = ["create", "update", "remove", "die"];

/// Pause before subscribing again after the end of the stream.
const PAUSE: Duration = Duration::from_secs(2);

/// Sends a value to `changes` for each change in `pool`, until the receiver is dropped.
pub(super) async fn watch(engine: Engine, pool: String, changes: Sender<()>) {
    let actions = ACTIONS.map(|action| EventFilter::Event(action.to_owned()));
    let options = EventsOpts::builder().filter(actions.into()).build();
    while !changes.is_closed() {
        let mut events = engine.docker().events(&options);
        while let Some(Ok(event)) = events.next().await {
            if concerns(&pool, &event) {
                // A value that is waiting stands for this change too.
                let _ = changes.try_send(());
            }
        }
        sleep(PAUSE).await;
    }
}

/// Whether an event is about a service of the pool, or the container of one of its tasks.
fn concerns(pool: &str, event: &EventMessage) -> bool {
    let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
    let attribute = |key| attributes.and_then(|attributes| attributes.get(key)).map(String::as_str);
    match (event.type_.as_deref(), event.action.as_deref()) {
        (Some("service"), _) => {
            // Shortened names have this prefix too.
            let prefix = naming::object_name(pool, "");
            attribute("name").is_some_and(|name| name.starts_with(&prefix))
        }
        (Some("container"), Some("die")) => attribute(labels::POOL) == Some(pool),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_events_of_the_own_pool_matter() {
        let concerns = |kind: &str, action: &str, key: &str, value: &str| {
            let actor = json!({ "ID": "1", "Attributes": { key: value } });
            let event = json!({ "Type": kind, "Action": action, "Actor": actor });
            super::concerns("blue", &serde_json::from_value(event).unwrap())
        };
        assert!(concerns("service", "update", "name", "ringherd-blue-s1"));
        assert!(!concerns("service", "update", "name", "ringherd-green-s1"));
        assert!(concerns("container", "die", labels::POOL, "blue"));
        assert!(!concerns("container", "create", labels::POOL, "blue"));
        assert!(!concerns("container", "die", labels::POOL, "green"));
        assert!(!concerns("network", "create", "name", "ringherd-blue-s1"));
    }
}
