//! Which containers of an earlier run of this balancer are adopted. Pure.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::container::{Container, ContainerStatus};
use crate::runtime::engine::{labels, naming};

/// Part of the names of containers that were renamed because another replica has their name.
pub(super) const LEAVING_SUFFIX: &str = "-leaving-";

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
    pub(super) replica: labels::ReplicaLabels,
}

/// Splits the containers of the first list: replicas to adopt, one for each number and name, and the
/// rest, left behind by a crash or an unfinished change.
pub(super) fn partition(mut own: Vec<Container>) -> (Vec<Adoptable>, Vec<Container>) {
    // Of two containers with one number, one that runs is preferred, then the younger one: it was
    // wanted last.
    own.sort_by_key(|container| {
        let leaving = container.name.contains(LEAVING_SUFFIX);
        (
            container.status != ContainerStatus::Running,
            leaving,
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
            ContainerStatus::Exited => container.name.contains(LEAVING_SUFFIX),
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

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
        left.name.push_str(LEAVING_SUFFIX);
        let (adoptable, rest) =
            partitioned(vec![left, container("b", "s-1", "2", ContainerStatus::Running, 1)]);
        assert_eq!((adoptable, rest), (vec!["b".into()], vec!["left".into()]));
    }

    #[test]
    fn a_renamed_container_is_not_adopted_once_it_has_exited() {
        let mut own = vec![
            container("a", "S1", "1", ContainerStatus::Exited, 1),
            container("b", "S2", "2", ContainerStatus::Running, 1),
        ];
        for container in &mut own {
            container.name.push_str(LEAVING_SUFFIX);
        }
        assert_eq!(partitioned(own), (vec!["b".into()], vec!["a".into()]));
    }
}
