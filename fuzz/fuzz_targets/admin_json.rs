//! Bodies of the admin API: no bytes make a parser panic, what is accepted obeys the rules, and
//! it is the same after being written and read again.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use ringherd::admin::request::{parse_add, parse_remove, parse_ring_change, parse_weight};
use ringherd::control::{RingChange, name};
use serde_json::{Map, Value, json};

fuzz_target!(|body: &[u8]| {
    if let Ok(add) = parse_add(body) {
        assert_names(add.count, &add.names);
        let again = json!({ "n": add.count, "hostnames": add.names, "endpoints": add.endpoints });
        assert_eq!(parse_add(again.to_string().as_bytes()), Ok(add));
    }
    if let Ok(remove) = parse_remove(body) {
        assert_names(remove.count, &remove.names);
        let again = json!({ "n": remove.count, "hostnames": remove.names });
        assert_eq!(parse_remove(again.to_string().as_bytes()), Ok(remove));
    }
    if let Ok(weight) = parse_weight(body) {
        assert!(weight <= 100);
        assert_eq!(parse_weight(json!({ "weight": weight }).to_string().as_bytes()), Ok(weight));
    }
    if let Ok(change) = parse_ring_change(body) {
        assert_ne!(change, RingChange::default());
        assert_eq!(parse_ring_change(written(&change).as_bytes()), Ok(change));
    }
});

/// The rules for `n` and `hostnames`.
fn assert_names(count: u32, names: &[String]) {
    assert!(count >= 1 && names.len() as u64 <= u64::from(count));
    assert!(names.iter().all(|name| name::check(name).is_ok()));
    let folded: HashSet<_> = names.iter().map(|name| name::fold(name)).collect();
    assert_eq!(folded.len(), names.len());
}

fn written(change: &RingChange) -> String {
    let RingChange { family, probing, placement, slots, virtual_nodes, key } = change;
    let fields = [
        ("family", family.map(|family| json!(family.to_string()))),
        ("probing", probing.map(|probing| json!(probing.to_string()))),
        ("placement", placement.map(|placement| json!(placement.to_string()))),
        ("slots", slots.map(|slots| json!(slots))),
        ("virtual_nodes", virtual_nodes.map(|virtual_nodes| json!(virtual_nodes))),
        ("key", key.as_ref().map(|key| json!(key.to_string()))),
    ];
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect::<Map<_, _>>()).to_string()
}
