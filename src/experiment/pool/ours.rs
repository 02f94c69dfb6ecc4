//! Which replicas are there because of the experiments, and so may be taken away again. Pure.
//!
//! A replica is known by its number: when it dies, its replacement has another name and the same
//! number. Only a number that was not there at first can be ours.

use std::collections::BTreeSet;

use crate::client::ReplicaReport;
use crate::names::FoldedName;

/// What is ours.
#[derive(Debug, Default)]
pub(super) struct Ours {
    /// Whether the whole balancer is.
    all: bool,
    /// Numbers of replicas that were there at first.
    first: BTreeSet<u32>,
    /// Names that were asked for, of replicas that have not been seen since.
    claimed: Vec<String>,
    /// Numbers of replicas that came under such a name.
    numbers: BTreeSet<u32>,
}

impl Ours {
    /// Of a pool with these replicas: all of it, or nothing yet.
    pub(super) fn new(all: bool, replicas: &[ReplicaReport]) -> Self {
        Self { all, first: replicas.iter().map(|replica| replica.number).collect(), ..Self::default() }
    }

    /// Notes names that are about to be asked for.
    pub(super) fn claim(&mut self, names: &[String]) {
        self.claimed.extend_from_slice(names);
    }

    /// Forgets names that were refused, or whose replicas are gone.
    pub(super) fn unclaim(&mut self, names: &[String]) {
        self.claimed.retain(|claimed| !names.contains(claimed));
    }

    /// Learns the numbers of replicas that have come.
    pub(super) fn look(&mut self, replicas: &[ReplicaReport]) {
        for replica in replicas.iter().filter(|replica| !self.first.contains(&replica.number)) {
            if let Some(at) = self.claimed.iter().position(|claimed| *claimed == replica.name) {
                self.claimed.swap_remove(at);
                self.numbers.insert(replica.number);
            }
        }
    }

    /// Forgets numbers of replicas that were taken away: others may get them now.
    pub(super) fn removed(&mut self, numbers: &[u32]) {
        self.numbers.retain(|number| !numbers.contains(number));
    }

    pub(super) fn has(&self, replica: &ReplicaReport) -> bool {
        self.all || self.numbers.contains(&replica.number)
    }
}

/// The first of `wanted` that no replica has.
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
    fn a_replica_that_was_there_or_was_refused_is_never_ours() {
        let theirs = [replica(1, "Server 1"), replica(2, "Experiment A")];
        let mut ours = Ours::new(false, &theirs);
        let names = ["Experiment A", "Experiment B"].map(str::to_owned);
        ours.claim(&names);
        ours.look(&theirs);
        assert!(!theirs.iter().any(|replica| ours.has(replica)));
        ours.unclaim(&names);
        let came_later = replica(3, "Experiment B");
        ours.look(std::slice::from_ref(&came_later));
        assert!(!ours.has(&came_later), "its addition by us was refused");
    }

    #[test]
    fn the_replacement_of_one_of_ours_is_ours_until_it_is_taken_away() {
        let mut ours = Ours::new(false, &[replica(1, "Server 1")]);
        ours.claim(&["Experiment 1".to_owned()]);
        ours.look(&[replica(1, "Server 1"), replica(2, "Experiment 1")]);
        let replacement = replica(2, "Server-AB12CD");
        assert!(ours.has(&replacement));
        ours.removed(&[2]);
        assert!(!ours.has(&replacement));
    }

    #[test]
    fn names_are_free_as_the_balancer_folds_them() {
        let replicas = [replica(1, "experiment_1"), replica(2, "EXPERIMENT-2")];
        let names = (1..).map(|number| format!("Experiment {number}"));
        assert_eq!(free(&replicas, names).as_deref(), Some("Experiment 3"));
    }
}
