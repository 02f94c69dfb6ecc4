//! Exact reduction modulo the number of slots without a division.
//!
//! The method is that of D. Lemire, O. Kaser, N. Kurz, "Faster remainder by direct computation"
//! (2019), with the affine map folded into the precomputed numbers.
//!
//! Let `c = ⌈2¹²⁸ / m⌉ = (2¹²⁸ + e) / m` with `0 ≤ e < m`, and `n = a·x + b` with `n mod m = r`.
//! Then `F = n·c mod 2¹²⁸ = r·2¹²⁸/m + n·e/m`, the fraction `r/m` in units of 2⁻¹²⁸ with an error
//! below `n < 2⁶⁸`; it is below 2¹²⁸ itself, since `2¹²⁸/m ≥ 2¹⁰⁴`.
//!
//! Only the high half of `F` is worked out, and without the carries of the low one, which are
//! less than 2. Adding 2 gives `h` with `r·2⁶⁴/m ≤ F/2⁶⁴ < h ≤ F/2⁶⁴ + 2 ≤ r·2⁶⁴/m + 2⁴ + 2`, so
//! that `r ≤ h·m / 2⁶⁴ < r + 1` for `m ≤ 2²⁴`: the integer part is `r`.

use super::MAX_SLOTS;

/// Limits under which the proof above holds: `a·x + b < 2⁶⁸` for every `x`.
const MAX_FACTOR: u32 = 8;
const MAX_TERM: u32 = 32;

/// The map `x ↦ (a·x + b) mod m`, exact for every `u64`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    /// Halves of `a·c mod 2¹²⁸`.
    scale_high: u64,
    scale_low: u64,
    /// The high half of `b·c mod 2¹²⁸`, and 2.
    offset: u64,
    modulus: u64,
}

impl Affine {
    /// The map with factor `a` (at most 8) and term `b` (at most 32) modulo `m`, which is 1 to
    /// [`MAX_SLOTS`].
    pub(super) fn new(a: u32, b: u32, m: u32) -> Self {
        debug_assert!(a <= MAX_FACTOR && b <= MAX_TERM && (1..=MAX_SLOTS).contains(&m));
        // For m = 1 this is 2¹²⁸ mod 2¹²⁸ = 0, and all that follows still holds.
        let c = (u128::MAX / u128::from(m)).wrapping_add(1);
        let (scale, offset) = (c.wrapping_mul(u128::from(a)), c.wrapping_mul(u128::from(b)));
        Self {
            scale_high: high(scale),
            scale_low: scale as u64,
            offset: high(offset).wrapping_add(2),
            modulus: u64::from(m),
        }
    }

    /// `(a·x + b) mod m`: three multiplications.
    #[inline]
    pub(super) fn of(&self, x: u64) -> u32 {
        let low = high(u128::from(self.scale_low) * u128::from(x));
        let fraction = self.scale_high.wrapping_mul(x).wrapping_add(low).wrapping_add(self.offset);
        high(u128::from(fraction) * u128::from(self.modulus)) as u32
    }
}

/// The high half.
#[inline]
fn high(product: u128) -> u64 {
    (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(a: u32, b: u32, m: u32, x: u64) -> u32 {
        ((u128::from(a) * u128::from(x) + u128::from(b)) % u128::from(m)) as u32
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn equals_the_division(
            a in 0..=MAX_FACTOR, b in 0..=MAX_TERM, m in 1..=MAX_SLOTS, x: u64, below in 0_u64..64
        ) {
            let affine = Affine::new(a, b, m);
            // Multiples of m and their neighbours are where a rounding error would show.
            let multiple = x / u64::from(m) * u64::from(m);
            for x in [x, below, u64::MAX - below, multiple, multiple.wrapping_sub(1), multiple.wrapping_add(below)] {
                prop_assert_eq!(affine.of(x), naive(a, b, m, x), "a {} b {} m {} x {}", a, b, m, x);
            }
        }
    }

    #[test]
    fn equals_the_division_at_the_ends_of_every_small_and_some_large_sizes() {
        let sizes = (1..=4_096).chain(MAX_SLOTS - 4_096..=MAX_SLOTS).chain([65_536, 65_537, 65_539]);
        for m in sizes {
            for (a, b) in [(1, 0), (1, 1), (1, 16), (8, 20), (8, 32)] {
                let affine = Affine::new(a, b, m);
                for x in [0, 1, u64::from(m) - 1, u64::from(m), 1 << 61, 1 << 63, u64::MAX - 1, u64::MAX] {
                    assert_eq!(affine.of(x), naive(a, b, m, x), "a {a} b {b} m {m} x {x}");
                }
            }
        }
    }
}
