//! Which containers of an earlier run of this balancer are adopted. Pure.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::container::{Container, ContainerStatus};
use crate::runtime::Revision;
use crate::runtime::engine::labels::ReplicaLabels;
use crate::runtime::engine::{labels, naming};

/// The containers that the engine listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Containers with the labels of our pool and instance, whatever their status.
    pub(super) own: Vec<Container>,
    /// Containers of others that run and have the label by which containers are discovered.
    pub(super) discovered: Vec<Container>,
    /// [`Discovered::revision`](super::discovered::Discovered::revision) when the list was asked for.
    pub(super) revision: u64,
}

/// A container of an earlier run that can be adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Adoptable {
    /// Id of the container.
    pub(super) container: String,
    /// The replica that its labels describe.
    pub(super) replica: ReplicaLabels,
}

/// Splits the containers of the first list: replicas to adopt, one for each number and name, and the
/// rest, left behind by a crash or an unfinished change.
pub(super) fn partition(mut own: Vec<Container>) -> (Vec<Adoptable>, Vec<Container>) {
    let successors = successors(&own);
    // Of two containers with one number, one that runs is preferred, then one that has not left the ring, then one
    // that is not the successor of the other, then the younger one: it was wanted last. So a deploy that was
    // interrupted is taken back as far as the replicas from before it live, and one that had succeeded is not.
    own.sort_by_key(|container| {
        (
            container.status != ContainerStatus::Running,
            container.is_leaving(),
            successors.contains(&container.id),
            Reverse(container.created),
            container.id.clone(),
        )
    });
    let (mut numbers, mut slugs) = (HashSet::new(), HashSet::new());
    let (mut adoptable, mut rest) = (Vec::new(), Vec::new());
    for container in own {
        // A container that never ran is no replica, nor one that was renamed and has exited since.
        let over = match container.status {
            ContainerStatus::Created => true,
            ContainerStatus::Running => false,
            ContainerStatus::Exited => container.is_leaving(),
        };
        match labels::parse(&container.labels).filter(|_| !over) {
            Some(replica)
                if !numbers.contains(&replica.number) && !slugs.contains(&naming::slug(&replica.name)) =>
            {
                numbers.insert(replica.number);
                slugs.insert(naming::slug(&replica.name));
                adoptable.push(Adoptable { container: container.id, replica });
            }
            _ => rest.push(container),
        }
    }
    (adoptable, rest)
}

/// The ids of containers that a deploy has made beside those whose places they take, and which run.
fn successors(own: &[Container]) -> HashSet<String> {
    let runs =
        |container: &&Container| container.status == ContainerStatus::Running && !container.is_leaving();
    let mut by_number: HashMap<u32, Vec<_>> = HashMap::new();
    for container in own.iter().filter(runs) {
        if let Some(replica) = labels::parse(&container.labels) {
            by_number.entry(replica.number).or_default().push((container, replica));
        }
    }
    // Those of one number; a deploy has made two of them at most.
    let is_successor = |(container, replica): &(&Container, ReplicaLabels),
                        all: &[(&Container, ReplicaLabels)]| {
        all.iter().any(|(other, incumbent)| {
            // After a deploy the label stays. One back to the revision from before makes another with the reverse.
            let reverse = incumbent.replaces.as_deref() == Some(shown(replica));
            let older = (other.created, &other.id) < (container.created, &container.id);
            replica.replaces.as_deref() == Some(shown(incumbent)) && (!reverse || older)
        })
    };
    let found = by_number.values().flat_map(|all| all.iter().filter(|one| is_successor(one, all)));
    found.map(|(container, _)| container.id.clone()).collect()
}

fn shown(replica: &ReplicaLabels) -> &str {
    if replica.revision.is_empty() { Revision::BASE } else { &replica.revision }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn container(id: &str, name: &str, number: &str, status: ContainerStatus, created: i64) -> Container {
        let labels = [(labels::NAME, name), (labels::NUMBER, number)];
        let labels: HashMap<_, _> =
            labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let object_name = naming::object_name("p", name);
        Container {
            id: id.into(),
            name: object_name,
            labels,
            status,
            addresses: BTreeMap::new(),
            created,
            stop_signal: 15,
        }
    }

    fn partitioned(own: Vec<Container>) -> (Vec<String>, Vec<String>) {
        let (adoptable, rest) = partition(own);
        (
            adoptable.into_iter().map(|adoptable| adoptable.container).collect(),
            rest.into_iter().map(|container| container.id).collect(),
        )
    }

    #[test]
    fn running_and_dead_replicas_are_adoptable_and_half_created_ones_are_not() {
        let (adoptable, rest) = partitioned(vec![
            container("a", "S1", "1", ContainerStatus::Exited, 1),
            container("b", "S2", "2", ContainerStatus::Running, 1),
            container("c", "S3", "3", ContainerStatus::Created, 1),
            container("d", "S4", "many", ContainerStatus::Running, 1),
        ]);
        assert_eq!((adoptable, rest), (vec!["b".into(), "a".into()], vec!["d".into(), "c".into()]));
    }

    #[test]
    fn of_two_with_a_number_or_a_name_one_is_adoptable() {
        let (adoptable, rest) = partitioned(vec![
            container("old", "S1", "1", ContainerStatus::Running, 1),
            container("young", "S1-X", "1", ContainerStatus::Running, 2),
            container("dead", "S1-Y", "1", ContainerStatus::Exited, 3),
        ]);
        assert_eq!((adoptable, rest), (vec!["young".into()], vec!["old".into(), "dead".into()]));
        let mut left = container("left", "S 1", "1", ContainerStatus::Running, 9);
        left.name = left.leaving_name();
        let (adoptable, rest) =
            partitioned(vec![left, container("b", "s-1", "2", ContainerStatus::Running, 1)]);
        assert_eq!((adoptable, rest), (vec!["b".into()], vec!["left".into()]));
    }

    /// The same, of a revision, and beside a replica of another one if that is given.
    fn revised(container: Container, revision: &str, replaces: Option<&str>) -> Container {
        let mut labels = container.labels;
        labels.insert(labels::REVISION.to_owned(), revision.to_owned());
        labels.extend(replaces.map(|replaced| (labels::REPLACES.to_owned(), replaced.to_owned())));
        Container { labels, ..container }
    }

    #[test]
    fn a_deploy_that_was_interrupted_is_taken_back_where_the_replicas_before_it_live() {
        let runs = ContainerStatus::Running;
        let old = |number: &str, status| container(&format!("old{number}"), "S", number, status, 1);
        let new = |number: &str, replaced: &str| {
            let name = format!("N{number}");
            revised(container(&format!("new{number}"), &name, number, runs, 2), "v2", Some(replaced))
        };
        let adopted = |own: Vec<Container>| partitioned(own).0;
        // Both live; the old one has died; the new one has taken the place, and the old one is gone.
        assert_eq!(adopted(vec![new("1", "base"), old("1", runs)]), ["old1"]);
        assert_eq!(adopted(vec![new("1", "base"), old("1", ContainerStatus::Exited)]), ["new1"]);
        assert_eq!(adopted(vec![new("1", "base"), old("2", runs)]), ["new1", "old2"]);
        // It was not made beside that one.
        assert_eq!(adopted(vec![new("1", "v1"), old("1", runs)]), ["new1"]);
        // One that took a place in an earlier deploy is an incumbent in the next, also in one back.
        let next = |revision| revised(container("next", "X", "1", runs, 3), revision, Some("v2"));
        assert_eq!(adopted(vec![next("v3"), new("1", "base")]), ["new1"]);
        assert_eq!(adopted(vec![next("base"), new("1", "base")]), ["new1"]);
        // A replacement of the incumbent during the deploy is younger, and no successor.
        let healed = container("healed", "H", "1", runs, 4);
        assert_eq!(adopted(vec![new("1", "base"), healed]), ["healed"]);
    }

    #[test]
    fn a_deploy_that_had_succeeded_stays_where_its_replicas_live() {
        let runs = ContainerStatus::Running;
        let leaving = |status| {
            let mut old = container("old", "S", "1", status, 1);
            old.name = old.leaving_name();
            old
        };
        let new = |status| revised(container("new", "N", "1", status, 2), "v2", Some("base"));
        assert_eq!(partitioned(vec![leaving(runs), new(runs)]), (vec!["new".into()], vec!["old".into()]));
        assert_eq!(partitioned(vec![new(runs), leaving(ContainerStatus::Exited)]).0, ["new"]);
        // Who serves is worth more than who should.
        assert_eq!(partitioned(vec![new(ContainerStatus::Exited), leaving(runs)]).0, ["old"]);
        // The successor of one that was taken back has left the ring, and the incumbent has not.
        let mut new = new(runs);
        new.name = new.leaving_name();
        // A name that a user has chosen says nothing.
        let old = container("old", "S-leaving-me", "1", runs, 1);
        assert_eq!(partitioned(vec![new, old]), (vec!["old".into()], vec!["new".into()]));
    }

    #[test]
    fn a_renamed_container_is_not_adopted_once_it_has_exited() {
        let mut own = vec![
            container("a", "S1", "1", ContainerStatus::Exited, 1),
            container("b", "S2", "2", ContainerStatus::Running, 1),
        ];
        for container in &mut own {
            container.name = container.leaving_name();
        }
        assert_eq!(partitioned(own), (vec!["b".into()], vec!["a".into()]));
    }
}
