//! Balanced placement: rendezvous placement with a capacity for each replica.
//!
//! A replica of weight `w` holds at most `⌈M · w / W · 65/64⌉` slots, `W` the sum of the weights:
//! 1.6 % above its due. All pairs of slot and replica are gone through in ascending cost
//! ([`cost`](super::cost)); a pair whose slot has no owner yet, and whose replica is not full,
//! makes it the owner.
//!
//! That is the one stable matching of slots and replicas, for both sides rank a pair by its cost,
//! and no two costs are equal. So it is found without sorting all pairs, by deferred acceptance
//! (D. Gale and L. S. Shapley, "College admissions and the stability of marriage", 1962): each slot
//! proposes to its replicas in ascending cost, and a full replica keeps its cheapest. The order of
//! the proposals does not matter. It is a function of slots, numbers and weights alone.
//!
//! A change of one replica changes the capacities of all by a little. So besides its own slots
//! a few others move: some 0.2 % of all with 200 replicas on the default number of slots.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Node;
use super::cost::{Candidates, Cost, hash};
use super::rendezvous;

/// Capacity over due, as a fraction.
const HEADROOM: (u64, u64) = (65, 64);

/// The slots that a replica holds, the dearest on top: the one with the smallest hash.
type Held = BinaryHeap<Reverse<(u64, u32)>>;

/// The owner of each of `slots` slots, as an index into `nodes`, one of which has weight.
pub(super) fn owners(slots: u32, nodes: &[Node]) -> Box<[u16]> {
    let capacities = capacities(slots, nodes);
    // The first proposals.
    let mut owners = rendezvous::owners(slots, nodes);
    let mut counts = vec![0; nodes.len()];
    owners.iter().for_each(|&owner| counts[usize::from(owner)] += 1);
    if counts.iter().zip(&capacities).all(|(count, capacity)| count <= capacity) {
        return owners;
    }
    let mut held = held(&owners, &counts, nodes);
    let mut rejected: Vec<u32> = Vec::new();
    for (held, &capacity) in held.iter_mut().zip(&capacities) {
        let excess = held.len().saturating_sub(capacity);
        rejected.extend((0..excess).filter_map(|_| held.pop()).map(|Reverse((_, slot))| slot));
    }
    let candidates = Candidates::new(nodes);
    while let Some(slot) = rejected.pop() {
        let rejected_by = nodes[usize::from(owners[slot as usize])];
        let next = candidates.cheapest_above(Cost::new(slot, rejected_by), slot);
        let next = next.expect("the capacities hold more than all slots");
        owners[slot as usize] = next;
        let index = usize::from(next);
        held[index].push(Reverse((hash(slot, nodes[index].number), slot)));
        if held[index].len() > capacities[index] {
            rejected.extend(held[index].pop().map(|Reverse((_, dearest))| dearest));
        }
    }
    owners
}

/// The most slots that each node holds.
fn capacities(slots: u32, nodes: &[Node]) -> Vec<usize> {
    let total: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
    let (more, than) = HEADROOM;
    // At most 2²⁴ · 100 · 65: no overflow.
    let capacity =
        |node: &Node| (u64::from(slots) * u64::from(node.weight) * more).div_ceil(total * than) as usize;
    nodes.iter().map(capacity).collect()
}

/// What each node holds, of which the numbers are known.
fn held(owners: &[u16], counts: &[usize], nodes: &[Node]) -> Vec<Held> {
    let mut held: Vec<Vec<_>> = counts.iter().map(|&count| Vec::with_capacity(count)).collect();
    for (slot, &owner) in (0..).zip(owners) {
        let owner = usize::from(owner);
        held[owner].push(Reverse((hash(slot, nodes[owner].number), slot)));
    }
    held.into_iter().map(Held::from).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ring::node::some_nodes;

    /// The definition: all pairs in ascending cost.
    fn greedy(slots: u32, nodes: &[Node]) -> Vec<u16> {
        let weighted =
            |slot| (0_u16..).zip(nodes).filter(|(_, node)| node.weight > 0).map(move |pair| (slot, pair));
        let mut pairs: Vec<_> = (0..slots)
            .flat_map(weighted)
            .map(|(slot, (index, &node))| (Cost::new(slot, node), slot, index))
            .collect();
        pairs.sort_unstable();
        let mut room = capacities(slots, nodes);
        let mut owners = vec![None; slots as usize];
        for (_, slot, index) in pairs {
            if owners[slot as usize].is_none() && room[usize::from(index)] > 0 {
                room[usize::from(index)] -= 1;
                owners[slot as usize] = Some(index);
            }
        }
        owners.into_iter().map(|owner| owner.expect("there is room for all")).collect()
    }

    proptest! {
        #[test]
        fn it_is_the_greedy_matching(nodes in some_nodes(), slots in 1_u32..700) {
            prop_assert_eq!(owners(slots, &nodes).into_vec(), greedy(slots, &nodes));
        }

        #[test]
        fn nobody_is_above_capacity(nodes in some_nodes(), slots in 1_u32..5_000) {
            let mut owned = vec![0; nodes.len()];
            owners(slots, &nodes).iter().for_each(|&owner| owned[usize::from(owner)] += 1);
            let total: u32 = nodes.iter().map(|node| u32::from(node.weight)).sum();
            for (owned, node) in owned.iter().zip(&nodes) {
                let due = f64::from(slots) * f64::from(node.weight) / f64::from(total);
                prop_assert!(f64::from(*owned) < due * 65.0 / 64.0 + 1.0, "{} slots of {}", owned, due);
            }
        }
    }
}
