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
