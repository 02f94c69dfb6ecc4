//! Rendezvous placement: the replica at which a slot costs least owns it ([`cost`](super::cost)).
//!
//! A cost depends on one replica alone. So removing a replica, or lowering its weight, moves
//! slots from it and no others; adding one, or raising its weight, moves slots to it and no
//! others.

use super::Node;
use super::cost::{Candidates, Cost};

/// Part of the nodes that has to have changed for a build from nothing to be cheaper than one
/// from the table before it.
const CHANGED_DIVISOR: usize = 4;

/// The owner of each of `slots` slots, as an index into `nodes`, one of which has weight.
pub(super) fn owners(slots: u32, nodes: &[Node]) -> Box<[u16]> {
    let candidates = Candidates::new(nodes);
    (0..slots).map(|slot| owner(slot, &candidates)).collect()
}

/// The same, from the owners of the slots among `before`. A slot whose owner stays changes hands
/// only to a node that has come; one whose owner has gone is worked out anew. `None` where so many
/// have come or gone that this saves nothing.
pub(super) fn owners_after(owners: &[u16], before: &[Node], nodes: &[Node]) -> Option<Box<[u16]>> {
    let place = |node: &Node| nodes.binary_search_by_key(&node.number, |other| other.number).ok();
    let stays = |node: &Node| place(node).filter(|&index| nodes[index].weight == node.weight);
    let places: Vec<Option<u16>> = before.iter().map(|node| Some(stays(node)? as u16)).collect();
    let mut known = vec![false; nodes.len()];
    places.iter().flatten().for_each(|&index| known[usize::from(index)] = true);
    let come: Vec<u16> = (0..)
        .zip(nodes.iter().zip(known))
        .filter(|(_, (node, known))| node.weight > 0 && !known)
        .map(|(index, _)| index)
        .collect();
    let gone = places.iter().filter(|place| place.is_none()).count();
    if owners.is_empty() || come.len() + gone > nodes.len() / CHANGED_DIVISOR {
        return None;
    }
    let candidates = Candidates::new(nodes);
    let owner_after = |(slot, &owner_before): (u32, &u16)| match places[usize::from(owner_before)] {
        None => owner(slot, &candidates),
        Some(stayed) => come
            .iter()
            .copied()
            .chain([stayed])
            .min_by_key(|&index| Cost::new(slot, nodes[usize::from(index)]))
            .expect("one has stayed"),
    };
    Some((0..).zip(owners).map(owner_after).collect())
}

fn owner(slot: u32, candidates: &Candidates) -> u16 {
    candidates.cheapest(slot).expect("a node has weight")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ring::cost::order;
    use crate::ring::node::some_nodes;

    proptest! {
        #[test]
        fn the_owner_is_the_cheapest(nodes in some_nodes()) {
            let owners = owners(500, &nodes);
            for (slot, &owner) in (0..).zip(&owners) {
                prop_assert_eq!(usize::from(owner), order(slot, &nodes)[0]);
            }
        }

        #[test]
        fn from_the_table_before_comes_the_same(before in some_nodes(), after in some_nodes(), few in 0_usize..4) {
            // Few changes, mostly: more are left to a build from nothing.
            let mut nodes = before.clone();
            for node in after.into_iter().take(few) {
                match nodes.binary_search_by_key(&node.number, |other| other.number) {
                    Ok(index) if node.weight == 1 => drop(nodes.remove(index)),
                    Ok(index) => nodes[index] = node,
                    Err(index) => nodes.insert(index, node),
                }
            }
            prop_assume!(nodes.iter().any(|node| node.weight > 0));
            if let Some(renewed) = owners_after(&owners(500, &before), &before, &nodes) {
                prop_assert_eq!(renewed, owners(500, &nodes));
            }
        }
    }

    /// Busiest relative to its due, over 65,537 slots.
    fn peak(nodes: &[Node]) -> f64 {
        let owners = owners(65_537, nodes);
        let total: f64 = nodes.iter().map(|node| f64::from(node.weight)).sum();
        let relative = |(index, node): (u16, &Node)| {
            let owned = owners.iter().filter(|&&owner| owner == index).count();
            owned as f64 / 65_537.0 * total / f64::from(node.weight)
        };
        (0..).zip(nodes).map(relative).fold(0.0, f64::max)
    }

    #[test]
    fn slots_are_spread_evenly() {
        // What chance allows: a standard deviation is 0.6 % at three replicas, 1.2 % at ten.
        for (count, bound) in [(2, 1.01), (3, 1.012), (10, 1.03), (64, 1.10)] {
            let nodes: Vec<Node> = (1..=count).map(Node::new).collect();
            let peak = peak(&nodes);
            assert!(peak < bound, "{count} replicas: {peak}");
        }
    }

    #[test]
    fn slots_follow_weights() {
        let nodes = [(1, 100), (2, 50), (3, 25), (4, 75)].map(|(number, weight)| Node { number, weight });
        let peak = peak(&nodes);
        assert!(peak < 1.03, "{peak}");
    }
}
