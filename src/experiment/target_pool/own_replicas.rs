//! Records which replicas the experiments have added, and so may remove. Pure.
//!
//! A replica is identified by its number: if it dies, its replacement has another name and the same
//! number. A number that existed before the experiments is never one of these.

use std::collections::BTreeSet;

use crate::client::ReplicaReport;
use crate::names::FoldedName;

/// The replicas that the experiments have added.
#[derive(Debug, Default)]
pub(super) struct OwnReplicas {
    /// Whether the whole balancer was started for the experiments.
    all: bool,
    /// Numbers of the replicas before the experiments.
    before: BTreeSet<u32>,
    /// Names of replicas that were requested and have not been observed yet.
    claimed: Vec<String>,
    /// Numbers of replicas that were observed with such a name.
    numbers: BTreeSet<u32>,
}

impl OwnReplicas {
    /// The record for a pool with these replicas: all of them, or none yet.
    pub(super) fn new(all: bool, replicas: &[ReplicaReport]) -> Self {
        Self { all, before: replicas.iter().map(|replica| replica.number).collect(), ..Self::default() }
    }

    /// Records names before they are requested.
    pub(super) fn claim(&mut self, names: &[String]) {
        self.claimed.extend_from_slice(names);
    }

    /// Forgets names that were refused, or whose replicas are removed.
    pub(super) fn unclaim(&mut self, names: &[String]) {
        self.claimed.retain(|claimed| !names.contains(claimed));
    }

    /// Records the numbers of replicas that have appeared.
    pub(super) fn update(&mut self, replicas: &[ReplicaReport]) {
        for replica in replicas.iter().filter(|replica| !self.before.contains(&replica.number)) {
            if let Some(at) = self.claimed.iter().position(|claimed| *claimed == replica.name) {
                self.claimed.swap_remove(at);
                self.numbers.insert(replica.number);
            }
        }
    }

    /// Forgets the numbers of removed replicas: others may get them now.
    pub(super) fn removed(&mut self, numbers: &[u32]) {
        self.numbers.retain(|number| !numbers.contains(number));
    }

    pub(super) fn has(&self, replica: &ReplicaReport) -> bool {
        self.all || self.numbers.contains(&replica.number)
    }
}

/// The first name of `wanted` that no replica has.
pub(super) fn free(replicas: &[ReplicaReport], mut wanted: impl Iterator<Item = String>) -> Option<String> {
    wanted.find(|name| !replicas.iter().any(|replica| FoldedName::of(&replica.name) == FoldedName::of(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(number: u32, name: &str) -> ReplicaReport {
        serde_json::from_value(serde_json::json!({"number": number, "name": name, "address": null,
            "state": "ready", "weight": 100, "slots": 1, "share": 0.5, "in_flight": 0, "requests": 0,
            "instance": name}))
        .unwrap()
    }

    #[test]
    fn a_replica_that_was_there_or_was_refused_is_never_own() {
        let theirs = [replica(1, "Server 1"), replica(2, "Experiment A")];
        let mut own = OwnReplicas::new(false, &theirs);
        let names = ["Experiment A", "Experiment B"].map(str::to_owned);
        own.claim(&names);
        own.update(&theirs);
        assert!(!theirs.iter().any(|replica| own.has(replica)));
        own.unclaim(&names);
        let came_later = replica(3, "Experiment B");
        own.update(std::slice::from_ref(&came_later));
        assert!(!own.has(&came_later), "its addition by us was refused");
    }

    #[test]
    fn the_replacement_of_an_own_replica_is_own_until_it_is_taken_away() {
        let mut own = OwnReplicas::new(false, &[replica(1, "Server 1")]);
        own.claim(&["Experiment 1".to_owned()]);
        own.update(&[replica(1, "Server 1"), replica(2, "Experiment 1")]);
        let replacement = replica(2, "Server-AB12CD");
        assert!(own.has(&replacement));
        own.removed(&[2]);
        assert!(!own.has(&replacement));
    }

    #[test]
    fn names_are_free_as_the_balancer_folds_them() {
        let replicas = [replica(1, "experiment_1"), replica(2, "EXPERIMENT-2")];
        let names = (1..).map(|number| format!("Experiment {number}"));
        assert_eq!(free(&replicas, names).as_deref(), Some("Experiment 3"));
    }
}
