//! The events as sent, held against their schemas in the document that the admin API serves.

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::common::events::{Event, Events};
use crate::common::{Balancer, request};

/// Where in the document the kinds of events are.
const KINDS: &str = "/paths/~1events/get/responses/200/content/text~1event-stream/x-events";

/// A life in which each kind of event comes, but for an outage.
fn recorded(balancer: &Balancer) -> Vec<Event> {
    let mut events = Events::open(balancer.admin, "/events");
    let mut seen = events.until(|event| event.kind == "stats");
    let calls = [
        ("POST", "/add", r#"{"n":1,"hostnames":["B"]}"#, 200),
        ("POST", "/add", "not JSON", 400),
        ("PUT", "/ring", r#"{"key":"path"}"#, 200),
        ("PUT", "/ring", r#"{"virtual_nodes":9}"#, 200),
        ("DELETE", "/rm", r#"{"n":1,"hostnames":["B"]}"#, 200),
    ];
    for (method, path, body, status) in calls {
        assert_eq!(request(balancer.admin, method, path, Some(body)).status, status, "{path} {body}");
        seen.extend(events.until(|event| event.kind == "change"));
    }
    kill_process(balancer.replica_pid("Server 1"), Signal::KILL).expect("it runs");
    seen.extend(events.until(|event| event.kind == "replica" && event.data["event"] == "died"));
    balancer.signal(Signal::HUP);
    seen.extend(events.until(|event| event.kind == "config"));
    seen
}

/// What a value has that its schema does not allow, in the part of JSON Schema that the document
/// uses for events. Members that are not described are a mistake here.
fn mistakes(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    if let Some(link) = schema["$ref"].as_str() {
        let place = document.pointer(link.trim_start_matches('#')).expect("a place in the document");
        return mistakes(document, place, value);
    }
    let mut found = Vec::new();
    let allowed = match &schema["type"] {
        Value::Array(types) => types.iter().any(|name| is_of(name, value)),
        Value::Null => true,
        name => is_of(name, value),
    };
    let listed = schema["enum"].as_array().is_none_or(|values| values.contains(value));
    let bound = |key: &str| schema[key].as_f64().zip(value.as_f64());
    let within = bound("minimum").is_none_or(|(least, value)| value >= least)
        && bound("maximum").is_none_or(|(most, value)| value <= most);
    if !(allowed && listed && within) {
        found.push(format!("{value} is not {schema}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().expect("a name")).is_none() {
            found.push(format!("{name} is not in {value}"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => found.extend(mistakes(document, schema, member)),
            None => found.push(format!("'{name}' is not described")),
        }
    }
    for item in value.as_array().into_iter().flatten() {
        found.extend(mistakes(document, &schema["items"], item));
    }
    found
}

fn is_of(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("'{other}' is no type of JSON Schema"),
    }
}

#[test]
fn events_are_as_the_openapi_document_describes_them() {
    let balancer = Balancer::start(&["--replicas", "2"]);
    balancer.wait_until_ready(2);
    let document = request(balancer.admin, "GET", "/openapi.json", None).json();
    let kinds = document.pointer(KINDS).expect("the kinds of events");
    let events = recorded(&balancer);
    for event in &events {
        let found = mistakes(&document, &kinds[&event.kind], &event.data);
        assert!(kinds.get(&event.kind).is_some() && found.is_empty(), "{event:?}: {found:#?}");
    }
    let is_null = |kind: &str, key: &str| {
        events.iter().any(|event| event.kind == kind && event.data.get(key) == Some(&Value::Null))
    };
    for (kind, key) in [("change", "change"), ("publish", "build_seconds")] {
        assert!(is_null(kind, key), "no {kind} whose {key} is null: {events:#?}");
    }
}
