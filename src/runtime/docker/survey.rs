//! What a list of containers means for those of ours that nobody here knows yet. Pure.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::seen::{Seen, State};
use crate::runtime::engine::{labels, naming};

/// In the names of containers that had to make way.
pub(super) const LEAVING: &str = "-leaving-";

/// All containers that concern us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Those with the labels of our pool and instance, in any state.
    pub(super) own: Vec<Seen>,
    /// Those of others that run and have the label to be discovered by.
    pub(super) others: Vec<Seen>,
    /// State of the guest book when the list was asked for.
    pub(super) revision: u64,
}

/// A container of an earlier life of this balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// Its id.
    pub(super) container: String,
    /// What it is.
    pub(super) replica: labels::Replica,
}

/// Sorts what the first list shows: replicas to take over, one for each number and name, and the
/// rest, which a crash or a change under way left behind.
pub(super) fn sort(mut own: Vec<Seen>) -> (Vec<Offer>, Vec<Seen>) {
    // Where two claim a number, the one that runs was there first or is its replacement: the
    // younger one is what was wanted last.
    own.sort_by_key(|seen| {
        let leaving = seen.name.contains(LEAVING);
        (seen.state != State::Running, leaving, Reverse(seen.created), seen.id.clone())
    });
    let (mut numbers, mut slugs) = (HashSet::new(), HashSet::new());
    let (mut offers, mut rest) = (Vec::new(), Vec::new());
    for seen in own {
        // One that never ran is no replica, nor one that was let go and has ended since.
        let over = match seen.state {
            State::Created => true,
            State::Running => false,
            State::Ended => seen.name.contains(LEAVING),
        };
        match labels::replica(&seen.labels).filter(|_| !over) {
            Some(replica)
                if !numbers.contains(&replica.number) && !slugs.contains(&naming::slug(&replica.name)) =>
            {
                numbers.insert(replica.number);
                slugs.insert(naming::slug(&replica.name));
                offers.push(Offer { container: seen.id, replica });
            }
            _ => rest.push(seen),
        }
    }
    (offers, rest)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;

    fn seen(id: &str, name: &str, number: &str, state: State, created: i64) -> Seen {
        let labels = [(labels::NAME, name), (labels::NUMBER, number)];
        let labels: HashMap<_, _> =
            labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let container = naming::object_name("p", name);
        Seen {
            id: id.into(),
            name: container,
            labels,
            state,
            addresses: BTreeMap::new(),
            created,
            stop_signal: 15,
        }
    }

    fn sorted(own: Vec<Seen>) -> (Vec<String>, Vec<String>) {
        let (offers, rest) = sort(own);
        (
            offers.into_iter().map(|offer| offer.container).collect(),
            rest.into_iter().map(|seen| seen.id).collect(),
        )
    }

    #[test]
    fn running_and_dead_replicas_are_offered_and_half_made_ones_are_not() {
        let (offers, rest) = sorted(vec![
            seen("a", "S1", "1", State::Ended, 1),
            seen("b", "S2", "2", State::Running, 1),
            seen("c", "S3", "3", State::Created, 1),
            seen("d", "S4", "many", State::Running, 1),
        ]);
        assert_eq!((offers, rest), (vec!["b".into(), "a".into()], vec!["d".into(), "c".into()]));
    }

    #[test]
    fn of_two_with_a_number_or_a_name_one_is_offered() {
        let (offers, rest) = sorted(vec![
            seen("old", "S1", "1", State::Running, 1),
            seen("young", "S1-X", "1", State::Running, 2),
            seen("dead", "S1-Y", "1", State::Ended, 3),
        ]);
        assert_eq!((offers, rest), (vec!["young".into()], vec!["old".into(), "dead".into()]));
        let mut left = seen("left", "S 1", "1", State::Running, 9);
        left.name.push_str(LEAVING);
        let (offers, rest) = sorted(vec![left, seen("b", "s-1", "2", State::Running, 1)]);
        assert_eq!((offers, rest), (vec!["b".into()], vec!["left".into()]));
    }

    #[test]
    fn one_that_was_let_go_does_not_come_back_once_it_has_ended() {
        let mut own = vec![seen("a", "S1", "1", State::Ended, 1), seen("b", "S2", "2", State::Running, 1)];
        for seen in &mut own {
            seen.name.push_str(LEAVING);
        }
        assert_eq!(sorted(own), (vec!["b".into()], vec!["a".into()]));
    }
}
