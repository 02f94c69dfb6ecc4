//! Events of a manager that are a reason to look at the Swarm at once: changes of services, of
//! which all managers tell, and the ends of tasks on its own node. Not relied upon.

use std::time::Duration;

use docker_api::models::EventMessage;
use docker_api::opts::{EventFilter, EventsOpts};
use futures_util::StreamExt;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use crate::runtime::engine::{Engine, labels, naming};

/// What is asked for. `docker-api` cannot ask for services alone.
const ACTIONS: [&str; 4] = ["create", "update", "remove", "die"];

/// Before asking again where events have ended.
const PAUSE: Duration = Duration::from_secs(2);

/// Hints at each change in `pool`, for as long as anybody listens.
pub(super) async fn listen(engine: Engine, pool: String, hints: Sender<()>) {
    let actions = ACTIONS.map(|action| EventFilter::Event(action.to_owned()));
    let options = EventsOpts::builder().filter(actions.into()).build();
    while !hints.is_closed() {
        let mut events = engine.docker().events(&options);
        while let Some(Ok(event)) = events.next().await {
            if concerns(&pool, &event) {
                // One that waits already stands for this one too.
                let _ = hints.try_send(());
            }
        }
        sleep(PAUSE).await;
    }
}

/// Whether an event is of a service of the pool, or of a task's container.
fn concerns(pool: &str, event: &EventMessage) -> bool {
    let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
    let attribute = |key| attributes.and_then(|attributes| attributes.get(key)).map(String::as_str);
    match (event.type_.as_deref(), event.action.as_deref()) {
        (Some("service"), _) => {
            // Even a shortened name begins like this.
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
    fn only_the_own_pool_is_a_reason_to_look() {
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
