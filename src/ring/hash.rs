//! The hash functions: keys to request ids, request ids to slots (H), virtual nodes to their
//! first slots (Φ).

use std::hash::Hasher;

use super::reduce::Affine;
use super::{Family, MAX_SLOTS};

/// H and Φ of one family for one number of slots `M`, with `fx` the 64-bit `fxhash` of a `u64`:
///
/// | family | H: request id `r` | Φ: virtual node `j` of replica `i` |
/// |---|---|---|
/// | `classic` | `(r² + 2r + 17) mod M` | `(i² + j² + 2j + 25) mod M` |
/// | `modified` | `(3·fx(r) + 5·fx(r) + 20) mod M` | `(H(i) + j·H(i + j)) mod M` |
///
/// All arithmetic is exact, as if on unbounded integers.
#[derive(Clone, Copy, Debug)]
pub struct Hash {
    /// `modified`: `3·fx + 5·fx + ⌊19·ln 3⌋ = 8·fx + 20` of `fx`. `classic`: `x + 16` of the square.
    last: Affine,
    /// `classic` only: the root of the square, `r² + 2r + 17 = (r + 1)² + 16`.
    root: Option<Affine>,
    slots: u32,
}

impl Hash {
    /// The functions of `family` for `slots` slots; a number outside 1 to [`MAX_SLOTS`] is
    /// brought to the nearer end.
    pub fn new(family: Family, slots: u32) -> Self {
        let slots = slots.clamp(1, MAX_SLOTS);
        match family {
            Family::Classic => {
                Self { last: Affine::new(1, 16, slots), root: Some(Affine::new(1, 1, slots)), slots }
            }
            Family::Modified => Self { last: Affine::new(8, 20, slots), root: None, slots },
        }
    }

    /// H: the slot of a request id.
    #[inline]
    pub fn request(&self, r: u64) -> u32 {
        if let Some(root) = &self.root {
            return self.classic_request(root, r);
        }
        self.last.of(fx(r))
    }

    /// Out of line, so that the default family is straight code wherever a lookup is inlined.
    #[inline(never)]
    fn classic_request(&self, root: &Affine, r: u64) -> u32 {
        let root = u64::from(root.of(r));
        self.last.of(root * root)
    }

    /// Φ: the first slot of virtual node `j` of replica `i`.
    pub fn virtual_node(&self, i: u32, j: u32) -> u32 {
        if self.root.is_some() {
            let (i, j) = (u128::from(i), u128::from(j));
            return ((i * i + j * j + 2 * j + 25) % u128::from(self.slots)) as u32;
        }
        let (i, j) = (u64::from(i), u64::from(j));
        // Below 2²⁴ + 2³²·2²⁴: no overflow.
        let sum = u64::from(self.request(i)) + j * u64::from(self.request(i + j));
        (sum % u64::from(self.slots)) as u32
    }

    /// How many slots request ids can reach at all. `modified`: `8·fx` takes every multiple of
    /// the greatest common divisor of 8 and `M`. `classic`: one for each square modulo `M`,
    /// found by trying all roots.
    pub fn reachable_slots(&self) -> u32 {
        if self.root.is_none() {
            return self.slots >> self.slots.trailing_zeros().min(3);
        }
        let mut reached = vec![false; self.slots as usize];
        (0..self.slots).for_each(|r| reached[self.request(u64::from(r)) as usize] = true);
        reached.into_iter().filter(|&slot| slot).count() as u32
    }
}

#[inline]
fn fx(x: u64) -> u64 {
    fxhash::hash64(&x)
}

/// The request id of a key that is not a number: `fxhash` of its bytes, which reads them in words
/// of the machine's byte order (the golden values are those of little-endian machines). Of the
/// empty key it is 0, so a caller that has no key should draw an id instead.
pub fn hash_key(key: &[u8]) -> u64 {
    let mut hasher = fxhash::FxHasher64::default();
    hasher.write(key);
    hasher.finish()
}

/// The request id of a key: a canonical decimal `u64` (no sign, no leading zero except in `0`)
/// is that number, anything else is hashed.
pub fn request_id(text: &[u8]) -> u64 {
    canonical_decimal(text).unwrap_or_else(|| hash_key(text))
}

fn canonical_decimal(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] => text.iter().try_fold(0_u64, |number, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_canonical_number_is_itself() {
        for number in [0, 1, 9, 10, 132_574, u64::MAX - 1, u64::MAX] {
            assert_eq!(request_id(number.to_string().as_bytes()), number);
        }
    }

    #[test]
    fn any_other_text_is_hashed() {
        for text in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1a",
            "18446744073709551616",
            "99999999999999999999",
            "home",
        ] {
            assert_eq!(request_id(text.as_bytes()), hash_key(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn few_slots_are_reached_where_the_size_is_a_power_of_two() {
        assert_eq!(Hash::new(Family::Classic, 512).reachable_slots(), 87);
        assert_eq!(Hash::new(Family::Modified, 512).reachable_slots(), 64);
        assert_eq!(Hash::new(Family::Modified, 4).reachable_slots(), 1);
        assert_eq!(Hash::new(Family::Modified, 65_539).reachable_slots(), 65_539);
    }

    proptest! {
        #[test]
        fn classic_is_the_formula(r: u64, i: u32, j in 0..MAX_SLOTS, slots in 1..=MAX_SLOTS) {
            let hash = Hash::new(Family::Classic, slots);
            let m = u128::from(slots);
            let (r128, i128, j128) = (u128::from(r) % m, u128::from(i), u128::from(j));
            prop_assert_eq!(u128::from(hash.request(r)), (r128 * r128 + 2 * r128 + 17) % m);
            let phi = (i128 * i128 + j128 * j128 + 2 * j128 + 25) % m;
            prop_assert_eq!(u128::from(hash.virtual_node(i, j)), phi);
        }

        #[test]
        fn modified_is_the_formula(r: u64, i: u32, j in 0..MAX_SLOTS, slots in 1..=MAX_SLOTS) {
            let hash = Hash::new(Family::Modified, slots);
            let m = u128::from(slots);
            let h = |x: u64| (3 * u128::from(fx(x)) + 5 * u128::from(fx(x)) + 20) % m;
            prop_assert_eq!(u128::from(hash.request(r)), h(r));
            let phi = (h(u64::from(i)) + u128::from(j) * h(u64::from(i) + u64::from(j))) % m;
            prop_assert_eq!(u128::from(hash.virtual_node(i, j)), phi);
        }

        #[test]
        fn slots_reached_are_slots_counted(slots in 1_u32..200) {
            let hash = Hash::new(Family::Modified, slots);
            let reached: std::collections::HashSet<u32> = (0..4_000).map(|r| hash.request(r)).collect();
            prop_assert_eq!(reached.len() as u32, hash.reachable_slots());
        }
    }
}
