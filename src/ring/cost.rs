//! What a slot costs at a replica, for the placements that need no virtual nodes.
//!
//! With `u` a hash of (slot, number) taken as a fraction of 2⁶⁴, the cost is `−log2(u) / weight`.
//! `−log u` is exponentially distributed, so the least of several such costs falls to a replica
//! with a probability proportional to its weight (weighted rendezvous hashing: C. Schindelhauer
//! and G. Schomaker, "Weighted distributed hash tables", 2005). Equal costs go to the larger
//! hash; no two hashes are equal, since the mixing is a bijection. All arithmetic is in integers
//! and gives the same costs on every machine.

use super::Node;
use super::log2::neg_log2;

/// The most costs that one build works out, a few seconds' work: bounds `M · N`.
pub(super) const MAX_COSTS: u32 = 1 << 30;

/// Fractional bits of a reciprocal weight. A logarithm has at most 39 bits, which leaves 25.
const RECIPROCAL_BITS: u32 = 24;

/// The cost proper in the high half, ties broken in favour of the larger hash in the low half.
/// At one replica, the slot with the larger hash always costs less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost(u128);

impl Cost {
    /// What `slot` costs at `node`, whose weight is above 0.
    pub(super) fn new(slot: u32, node: Node) -> Self {
        Self::of(hash(slot, node.number), node.weight)
    }

    fn of(hash: u64, weight: u8) -> Self {
        let reciprocal = (1 << RECIPROCAL_BITS) / u64::from(weight);
        Self(u128::from(neg_log2(hash) * reciprocal) << 64 | u128::from(!hash))
    }
}

/// Slot and replica number, mixed into 64 well-spread bits. One round of `fx` is a multiplication,
/// which never carries a high bit into a low one; folding the halves between rounds does.
pub(super) fn hash(slot: u32, number: u32) -> u64 {
    mix(part_of_slot(slot), part_of_number(number))
}

/// All nodes with weight, the cheapest for `slot` first, as indexes into `nodes`.
pub(super) fn order(slot: u32, nodes: &[Node]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..nodes.len()).filter(|&index| nodes[index].weight > 0).collect();
    order.sort_by_cached_key(|&index| Cost::new(slot, nodes[index]));
    order
}

/// The nodes with weight, prepared to find the cheapest of them for one slot after another.
pub(super) struct Candidates {
    groups: Vec<Group>,
}

/// Nodes of one weight. Among them the largest hash has the least cost, so that only one of a
/// group needs a logarithm.
struct Group {
    weight: u8,
    /// Indexes into the nodes.
    indexes: Vec<u16>,
    /// What each number contributes to the first round of mixing.
    numbers: Vec<u64>,
}

impl Candidates {
    /// Those of `nodes`.
    pub(super) fn new(nodes: &[Node]) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (index, node) in (0..).zip(nodes).filter(|(_, node)| node.weight > 0) {
            let found = groups.iter().position(|group| group.weight == node.weight);
            let at = found.unwrap_or_else(|| {
                groups.push(Group { weight: node.weight, indexes: Vec::new(), numbers: Vec::new() });
                groups.len() - 1
            });
            groups[at].indexes.push(index);
            groups[at].numbers.push(part_of_number(node.number));
        }
        Self { groups }
    }

    /// Index of the node at which `slot` costs least; `None` where no node has weight.
    pub(super) fn cheapest(&self, slot: u32) -> Option<u16> {
        let slot = part_of_slot(slot);
        match &self.groups[..] {
            [group] => group.largest(slot, |_| true).map(|(_, index)| index),
            groups => least(groups, |group| group.largest(slot, |_| true)),
        }
    }

    /// The same among those at which it costs more than `cost`.
    pub(super) fn cheapest_above(&self, cost: Cost, slot: u32) -> Option<u16> {
        let slot = part_of_slot(slot);
        least(&self.groups, |group| group.largest(slot, |hash| Cost::of(hash, group.weight) > cost))
    }
}

/// The cheapest of what `best` finds in each group: a hash and the index of its node.
fn least(groups: &[Group], best: impl Fn(&Group) -> Option<(u64, u16)>) -> Option<u16> {
    let found = groups.iter().filter_map(|group| best(group).map(|found| (group.weight, found)));
    found.min_by_key(|&(weight, (hash, _))| Cost::of(hash, weight)).map(|(_, (_, index))| index)
}

impl Group {
    /// The largest hash that is eligible, and the index of its node.
    #[inline]
    fn largest(&self, slot: u64, eligible: impl Fn(u64) -> bool) -> Option<(u64, u16)> {
        let (mut at, mut largest) = (None, 0);
        for (index, number) in self.numbers.iter().enumerate() {
            let hash = mix(slot, *number);
            if hash >= largest && eligible(hash) {
                (at, largest) = (Some(index), hash);
            }
        }
        at.map(|at| (largest, self.indexes[at]))
    }
}

/// Mixes what slot and number contribute. The first round is a multiplication of their sum, which
/// is the sum of their multiples.
#[inline]
fn mix(slot: u64, number: u64) -> u64 {
    let mut x = slot.wrapping_add(number);
    x ^= x >> 32;
    for _ in 0..2 {
        x = fxhash::hash64(&x);
        x ^= x >> 32;
    }
    x
}

fn part_of_slot(slot: u32) -> u64 {
    fxhash::hash64(&(u64::from(slot) << 32))
}

fn part_of_number(number: u32) -> u64 {
    fxhash::hash64(&u64::from(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ring::node::some_nodes;

    /// The definition of the mixing.
    fn mixed(slot: u32, number: u32) -> u64 {
        let mut x = u64::from(slot) << 32 | u64::from(number);
        for _ in 0..3 {
            x = fxhash::hash64(&x);
            x ^= x >> 32;
        }
        x
    }

    proptest! {
        #[test]
        fn mixing_in_parts_is_mixing(slot: u32, number: u32) {
            prop_assert_eq!(hash(slot, number), mixed(slot, number));
        }

        #[test]
        fn from_one_cheapest_to_the_next_is_the_order(nodes in some_nodes(), slot: u32) {
            let candidates = Candidates::new(&nodes);
            let cost = |index: &u16| Cost::new(slot, nodes[usize::from(*index)]);
            let next = |index: &u16| candidates.cheapest_above(cost(index), slot);
            let walk = std::iter::successors(candidates.cheapest(slot), next).map(usize::from);
            prop_assert_eq!(walk.collect::<Vec<_>>(), order(slot, &nodes));
        }

        #[test]
        fn at_one_replica_the_larger_hash_costs_less(node in (1_u32.., 1_u8..=100), slots: (u32, u32)) {
            let (number, weight) = node;
            let of = |slot| (hash(slot, number), Cost::new(slot, Node { number, weight }));
            let ((hash, cost), (other_hash, other_cost)) = (of(slots.0), of(slots.1));
            prop_assert_eq!(hash.cmp(&other_hash), cost.cmp(&other_cost).reverse());
        }
    }

    #[test]
    fn hashes_of_a_slot_are_distinct() {
        let mut hashes: Vec<u64> = (1..=5_000).map(|number| hash(7, number)).collect();
        hashes.sort_unstable();
        assert!(hashes.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
