//! The labels by which a balancer recognises what it has made on an engine, in an earlier life
//! too. Only what carries the labels of its own pool is ever touched.

use std::collections::HashMap;
use std::hash::BuildHasher;

/// The pool, on everything that is made.
pub const POOL: &str = "io.ringherd.pool";
/// The balancer that keeps the replica, where only one may.
pub const INSTANCE: &str = "io.ringherd.instance";
/// The life of a balancer in which it was made, where only one may keep it: a random word.
pub const RUN: &str = "io.ringherd.run";
/// The replica's number on the ring.
pub const NUMBER: &str = "io.ringherd.number";
/// The replica's name as the user gave it.
pub const NAME: &str = "io.ringherd.name";
/// Version of the balancer that made it; for people, nothing depends on it.
pub const VERSION: &str = "io.ringherd.version";

/// What the labels say of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Its number on the ring.
    pub number: u32,
}

/// The labels of a new replica. `instance` is `None` where any balancer of the pool may keep it.
pub fn for_replica(
    pool: &str,
    instance: Option<&str>,
    name: &str,
    number: u32,
) -> HashMap<&'static str, String> {
    let mut labels = HashMap::from([
        (POOL, pool.to_owned()),
        (NAME, name.to_owned()),
        (NUMBER, number.to_string()),
        (VERSION, env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    labels.extend(instance.map(|instance| (INSTANCE, instance.to_owned())));
    labels
}

/// Whether something with these labels belongs to `pool`, and to `instance` where one is given.
pub fn are_own<S: BuildHasher>(
    labels: &HashMap<String, String, S>,
    pool: &str,
    instance: Option<&str>,
) -> bool {
    let is = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
    is(POOL, pool) && instance.is_none_or(|instance| is(INSTANCE, instance))
}

/// The replica that these labels describe, if they describe one.
pub fn replica<S: BuildHasher>(labels: &HashMap<String, String, S>) -> Option<Replica> {
    let name = labels.get(NAME).filter(|name| !name.is_empty())?.clone();
    let number = labels.get(NUMBER)?.parse().ok()?;
    Some(Replica { name, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(labels: HashMap<&'static str, String>) -> HashMap<String, String> {
        labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    #[test]
    fn labels_are_read_as_they_were_written() {
        let labels = owned(for_replica("blue", Some("lb"), "Server 1", 7));
        assert_eq!(replica(&labels), Some(Replica { name: "Server 1".into(), number: 7 }));
        assert!(are_own(&labels, "blue", Some("lb")));
        assert!(are_own(&labels, "blue", None));
        assert!(!are_own(&labels, "green", None));
        assert!(!are_own(&labels, "blue", Some("other")));
    }

    #[test]
    fn a_pool_alone_owns_nothing_of_an_instance() {
        let labels = owned(for_replica("blue", None, "S", 1));
        assert!(are_own(&labels, "blue", None));
        assert!(!are_own(&labels, "blue", Some("lb")));
        assert!(!are_own(&HashMap::new(), "", None));
    }

    #[test]
    fn labels_without_a_name_or_number_describe_nothing() {
        for (key, value) in [(NUMBER, "-1"), (NUMBER, "many"), (NUMBER, ""), (NAME, "")] {
            let mut labels = owned(for_replica("blue", None, "S", 1));
            labels.insert(key.into(), value.into());
            assert_eq!(replica(&labels), None, "{key}={value}");
        }
    }
}
