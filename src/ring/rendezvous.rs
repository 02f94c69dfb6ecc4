//! Rendezvous placement: each replica has a cost for each slot, and the cheapest owns it.
//!
//! With `u` a hash of (slot, number) taken as a fraction of 2⁶⁴, the cost is `−log2(u) / weight`.
//! `−log u` is exponentially distributed, so the least of several such costs falls to a replica
//! with a probability proportional to its weight (weighted rendezvous hashing: C. Schindelhauer
//! and G. Schomaker, "Weighted distributed hash tables", 2005). Equal costs go to the larger
//! hash; no two hashes of a slot are equal, since the mixing is a bijection.
//!
//! A cost depends on one replica alone. So removing a replica, or lowering its weight, moves
//! slots from it and no others; adding one, or raising its weight, moves slots to it and no
//! others. All arithmetic is in integers and gives the same owners on every machine.

use super::Node;
use super::log2::neg_log2;

/// The most scores that one build works out, a few seconds' work: bounds `M · N`.
pub(super) const MAX_SCORES: u32 = 1 << 30;

/// Fractional bits of a reciprocal weight. A logarithm has at most 39 bits, which leaves 25.
const RECIPROCAL_BITS: u32 = 24;

/// Part of the nodes that has to have changed for a build from nothing to be cheaper than one
/// from the table before it.
const CHANGED_DIVISOR: usize = 4;

/// The owner of each of `slots` slots, as an index into `nodes`, one of which has weight.
pub(super) fn owners(slots: u32, nodes: &[Node]) -> Box<[u16]> {
    let groups = groups(nodes);
    (0..slots).map(|slot| owner(slot, nodes, &groups)).collect()
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
    let groups = groups(nodes);
    let owner_after = |(slot, &owner_before): (u32, &u16)| match places[usize::from(owner_before)] {
        None => owner(slot, nodes, &groups),
        Some(stayed) => come
            .iter()
            .copied()
            .chain([stayed])
            .min_by_key(|&index| cost(slot, nodes[usize::from(index)]))
            .expect("one has stayed"),
    };
    Some((0..).zip(owners).map(owner_after).collect())
}

/// Nodes of one weight. Among them the largest hash has the least cost, so that only one of a
/// group needs a logarithm.
struct Group {
    indexes: Vec<u16>,
    /// What each number contributes to the first round of mixing.
    numbers: Vec<u64>,
}

/// The nodes with weight, by that.
fn groups(nodes: &[Node]) -> Vec<Group> {
    let mut by_weight: Vec<(u8, Group)> = Vec::new();
    for (index, node) in (0..).zip(nodes).filter(|(_, node)| node.weight > 0) {
        let found = by_weight.iter().position(|(weight, _)| *weight == node.weight);
        let at = found.unwrap_or_else(|| {
            by_weight.push((node.weight, Group { indexes: Vec::new(), numbers: Vec::new() }));
            by_weight.len() - 1
        });
        by_weight[at].1.indexes.push(index);
        by_weight[at].1.numbers.push(part_of_number(node.number));
    }
    by_weight.into_iter().map(|(_, group)| group).collect()
}

/// The owner of `slot`; one of the nodes has weight.
fn owner(slot: u32, nodes: &[Node], groups: &[Group]) -> u16 {
    let slot_part = part_of_slot(slot);
    let best = groups.iter().map(|group| group.largest(slot_part));
    if let [_] = groups {
        return best.into_iter().next().expect("there is one");
    }
    best.min_by_key(|&index| cost(slot, nodes[usize::from(index)])).expect("a node has weight")
}

impl Group {
    /// The node with the largest hash.
    fn largest(&self, slot_part: u64) -> u16 {
        let (mut at, mut largest) = (0, 0);
        for (index, number_part) in self.numbers.iter().enumerate() {
            let hash = mix_parts(slot_part, *number_part);
            if hash > largest {
                (at, largest) = (index, hash);
            }
        }
        self.indexes[at]
    }
}

/// All nodes with weight, the cheapest for `slot` first, as indexes into `nodes`.
pub(super) fn order(slot: u32, nodes: &[Node]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..nodes.len()).filter(|&index| nodes[index].weight > 0).collect();
    order.sort_by_cached_key(|&index| cost(slot, nodes[index]));
    order
}

/// What a slot costs at a node of weight above 0: the cost proper in the high half, ties broken
/// in favour of the larger hash in the low half.
fn cost(slot: u32, node: Node) -> u128 {
    let hash = mix(slot, node.number);
    let reciprocal = (1 << RECIPROCAL_BITS) / u64::from(node.weight);
    u128::from(neg_log2(hash) * reciprocal) << 64 | u128::from(!hash)
}

/// Mixes slot and number into 64 well-spread bits. One round of `fx` is a multiplication, which
/// never carries a high bit into a low one; folding the halves between rounds does.
fn mix(slot: u32, number: u32) -> u64 {
    mix_parts(part_of_slot(slot), part_of_number(number))
}

/// Mixes what slot and number contribute. The first round is a multiplication of their sum, which
/// is the sum of their multiples.
#[inline]
fn mix_parts(slot: u64, number: u64) -> u64 {
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

    /// The definition of the mixing.
    fn mixed(slot: u32, number: u32) -> u64 {
        let mut x = u64::from(slot) << 32 | u64::from(number);
        for _ in 0..3 {
            x = fxhash::hash64(&x);
            x ^= x >> 32;
        }
        x
    }

    fn some_nodes() -> impl Strategy<Value = Vec<Node>> {
        let weights = prop::sample::select(vec![0, 1, 50, 100, 100, 100]);
        prop::collection::btree_map(1_u32..40, weights, 1..30)
            .prop_map(|nodes| nodes.into_iter().map(|(number, weight)| Node { number, weight }).collect())
            .prop_filter("one has weight", |nodes: &Vec<Node>| nodes.iter().any(|node| node.weight > 0))
    }

    proptest! {
        #[test]
        fn mixing_in_parts_is_mixing(slot: u32, number: u32) {
            prop_assert_eq!(mix(slot, number), mixed(slot, number));
        }

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

    #[test]
    fn hashes_of_a_slot_are_distinct() {
        let mut hashes: Vec<u64> = (1..=5_000).map(|number| mix(7, number)).collect();
        hashes.sort_unstable();
        assert!(hashes.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
