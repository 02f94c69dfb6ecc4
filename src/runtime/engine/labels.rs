//! The labels by which a balancer recognises what it has made on an engine, also in an earlier run.
//! Only objects with the labels of its own pool are ever touched.

use std::collections::HashMap;
use std::hash::BuildHasher;

use crate::runtime::Launch;

/// The pool; on every object.
pub const POOL: &str = "io.ringherd.pool";
/// The balancer that owns the container, where only one may.
pub const INSTANCE: &str = "io.ringherd.instance";
/// The run of a balancer that made the container, where only one may own it: a random word.
pub const RUN: &str = "io.ringherd.run";
/// The replica's number on the ring.
pub const NUMBER: &str = "io.ringherd.number";
/// The replica's name as the user gave it.
pub const NAME: &str = "io.ringherd.name";
/// Name of the revision that the replica runs; missing for the one without a name.
pub const REVISION: &str = "io.ringherd.revision";
/// On a replica that was started beside another one of its number, to take its place: the revision of that one,
/// as it is shown.
pub const REPLACES: &str = "io.ringherd.replaces";
/// On a Swarm service and its containers: a random word, unique to a launch, by which a balancer recognises what it has
/// created or updated even if the response was lost, and the tasks of the service as it is now.
pub const LAUNCH: &str = "io.ringherd.launch";
/// On a Swarm service that is being removed, so that every balancer takes its replica off the ring:
/// when the balancer that removes it last renewed the label, in seconds since the Unix epoch.
pub const LEAVING: &str = "io.ringherd.leaving";
/// On a Swarm service that takes part in a deploy: its claim to the number, and when the balancer that deploys last
/// renewed the label, in seconds since the Unix epoch. `beside ID TIME`: the service with this id has the number;
/// `over ID TIME`: this one has taken it from that service; `vacant TIME`: nobody is to serve the number.
pub const PLACE: &str = "io.ringherd.place";
/// Version of the balancer that made the object; for people only.
pub const VERSION: &str = "io.ringherd.version";

/// A replica as its labels describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaLabels {
    /// Name as the user gave it; not empty.
    pub name: String,
    /// Number on the ring.
    pub number: u32,
    /// Name of its revision; empty for the one without a name.
    pub revision: String,
    /// The revision beside which it was started, to take its place.
    pub replaces: Option<String>,
}

/// The labels of a new replica. `instance` is `None` if every balancer of the pool shares it.
pub fn for_replica(pool: &str, instance: Option<&str>, launch: &Launch) -> HashMap<&'static str, String> {
    let mut labels = HashMap::from([
        (POOL, pool.to_owned()),
        (NAME, launch.name.clone()),
        (NUMBER, launch.number.to_string()),
        (VERSION, env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    labels.extend(instance.map(|instance| (INSTANCE, instance.to_owned())));
    let revision = &launch.revision.name;
    labels.extend((!revision.is_empty()).then(|| (REVISION, revision.clone())));
    labels.extend(launch.replaces.clone().map(|replaced| (REPLACES, replaced)));
    labels
}

/// Whether an object with these labels belongs to `pool`, and to `instance` if one is given.
pub fn are_own<S: BuildHasher>(
    labels: &HashMap<String, String, S>,
    pool: &str,
    instance: Option<&str>,
) -> bool {
    let is = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
    is(POOL, pool) && instance.is_none_or(|instance| is(INSTANCE, instance))
}

/// Reads the labels of a replica; `None` without a name or a number.
pub fn parse<S: BuildHasher>(labels: &HashMap<String, String, S>) -> Option<ReplicaLabels> {
    let name = labels.get(NAME).filter(|name| !name.is_empty())?.clone();
    let number = labels.get(NUMBER)?.parse().ok()?;
    let revision = labels.get(REVISION).cloned().unwrap_or_default();
    Some(ReplicaLabels { name, number, revision, replaces: labels.get(REPLACES).cloned() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime::{ReplicaId, Revision};

    fn launch(name: &str, number: u32) -> Launch {
        let (existing, revision, replaces) = Default::default();
        Launch { id: ReplicaId(1), name: name.to_owned(), number, existing, revision, replaces }
    }

    fn owned(labels: HashMap<&'static str, String>) -> HashMap<String, String> {
        labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    #[test]
    fn labels_are_read_as_they_were_written() {
        let launch = launch("Server 1", 7);
        let labels = owned(for_replica("blue", Some("lb"), &launch));
        let (revision, replaces) = Default::default();
        let read = ReplicaLabels { name: "Server 1".into(), number: 7, revision, replaces };
        assert_eq!(parse(&labels), Some(read.clone()));
        assert!(!labels.contains_key(REVISION) && !labels.contains_key(REPLACES));
        let revision = Arc::new(Revision { name: "v2".into(), ..Revision::default() });
        let successor = Launch { revision, replaces: Some("base".into()), ..launch };
        let of_successor = ReplicaLabels { revision: "v2".into(), replaces: Some("base".into()), ..read };
        assert_eq!(parse(&owned(for_replica("blue", None, &successor))), Some(of_successor));
        assert!(are_own(&labels, "blue", Some("lb")));
        assert!(are_own(&labels, "blue", None));
        assert!(!are_own(&labels, "green", None));
        assert!(!are_own(&labels, "blue", Some("other")));
    }

    #[test]
    fn a_pool_alone_owns_nothing_of_an_instance() {
        let labels = owned(for_replica("blue", None, &launch("S", 1)));
        assert!(are_own(&labels, "blue", None));
        assert!(!are_own(&labels, "blue", Some("lb")));
        assert!(!are_own(&HashMap::new(), "", None));
    }

    #[test]
    fn labels_without_a_name_or_number_describe_nothing() {
        for (key, value) in [(NUMBER, "-1"), (NUMBER, "many"), (NUMBER, ""), (NAME, "")] {
            let mut labels = owned(for_replica("blue", None, &launch("S", 1)));
            labels.insert(key.into(), value.into());
            assert_eq!(parse(&labels), None, "{key}={value}");
        }
    }
}
