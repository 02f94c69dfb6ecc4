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

/// The most scores that one build works out, about a second's work: bounds `M · N`.
pub(super) const MAX_SCORES: u32 = 1 << 28;

/// Fractional bits of a reciprocal weight. A logarithm has at most 39 bits, which leaves 25.
const RECIPROCAL_BITS: u32 = 24;

/// The owner of each of `slots` slots, as an index into `nodes`, one of which has weight.
pub(super) fn owners(slots: u32, nodes: &[Node]) -> Box<[u16]> {
    let weighted: Vec<(u16, Node)> =
        (0..).zip(nodes.iter().copied()).filter(|(_, node)| node.weight > 0).collect();
    let owner = |slot| {
        let cheapest = weighted.iter().min_by_key(|(_, node)| cost(slot, *node));
        cheapest.expect("a node has weight").0
    };
    (0..slots).map(owner).collect()
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
    let mut x = u64::from(slot) << 32 | u64::from(number);
    for _ in 0..3 {
        x = fxhash::hash64(&x);
        x ^= x >> 32;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

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
