//! A replica as the ring knows it: a number and a weight.

use super::MAX_WEIGHT;

/// A replica on the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its identity on the ring, at least 1.
    pub number: u32,
    /// 0 to [`MAX_WEIGHT`]; 0 owns nothing but keeps the number.
    pub weight: u8,
}

impl Node {
    /// A replica of full weight.
    pub fn new(number: u32) -> Self {
        Self { number, weight: MAX_WEIGHT }
    }

    /// `max(1, round(K · weight / 100))`, halves rounded up; none for weight 0.
    pub(super) fn virtual_nodes(self, full: u32) -> u32 {
        match self.weight {
            0 => 0,
            // At most 2²⁴ · 100 + 50: no overflow.
            weight => ((full * u32::from(weight) + 50) / 100).max(1),
        }
    }
}

/// Members as a property test draws them: few weights and many, one of them above 0.
#[cfg(test)]
pub(super) fn some_nodes() -> impl proptest::strategy::Strategy<Value = Vec<Node>> {
    use proptest::prelude::*;

    let weights =
        prop_oneof![3 => Just(MAX_WEIGHT), 2 => prop::sample::select(vec![0, 1, 50]), 1 => 0..=MAX_WEIGHT];
    prop::collection::btree_map(1_u32..40, weights, 1..30)
        .prop_map(|nodes| nodes.into_iter().map(|(number, weight)| Node { number, weight }).collect())
        .prop_filter("one has weight", |nodes: &Vec<Node>| nodes.iter().any(|node| node.weight > 0))
}
