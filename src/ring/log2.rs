//! A logarithm in integers, so that its value is the same on every machine.
//!
//! The `ln` of the standard library is that of the platform and may differ in its last bit;
//! one bit is enough for two balancers to disagree about the owner of a slot.

/// Fractional bits of the result.
pub(super) const FRACTION_BITS: u32 = 32;

/// Segments of the table: eight bits after the leading one.
const SEGMENTS: usize = 256;

/// `1 − log2(1 + k/256)`, with [`FRACTION_BITS`].
const TABLE: [u64; SEGMENTS + 1] = table();

/// `−log2(x / 2⁶⁴)` with [`FRACTION_BITS`] fractional bits, that is 0 to 64 in units of 2⁻³²;
/// 0 counts as 1. Linear between the points of a table: within 3·10⁻⁶ of the true value and,
/// near x = 2⁶⁴, within 0.2 % of it. Never rises as `x` rises.
pub(super) fn neg_log2(x: u64) -> u64 {
    let x = x.max(1);
    let zeros = x.leading_zeros();
    let mantissa = x << zeros;
    let segment = (mantissa >> 55) as usize % SEGMENTS;
    let within = (mantissa >> 23) & u64::from(u32::MAX);
    let (here, next) = (TABLE[segment], TABLE[segment + 1]);
    // A segment is at most 2²⁵ high: no overflow.
    let fraction = here - (((here - next) * within) >> 32);
    (u64::from(zeros) << FRACTION_BITS) + fraction
}

const fn table() -> [u64; SEGMENTS + 1] {
    let mut table = [0; SEGMENTS + 1];
    let mut segment = 0;
    while segment < SEGMENTS {
        table[segment] = (1 << FRACTION_BITS) - log2_of_mantissa((SEGMENTS + segment) as u128);
        segment += 1;
    }
    table
}

/// `log2(numerator / 256)` for a value in [1, 2), bit by bit: squaring doubles the logarithm,
/// and its next bit is whether the square has reached 2.
const fn log2_of_mantissa(numerator: u128) -> u64 {
    const ONE: u32 = 60;
    let mut value = numerator << (ONE - SEGMENTS.trailing_zeros());
    let mut log = 0;
    let mut bit = FRACTION_BITS;
    while bit > 0 {
        bit -= 1;
        value = (value * value) >> ONE;
        if value >= 2 << ONE {
            value >>= 1;
            log |= 1 << bit;
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn close_to_the_real_one(x in 1_u64.., shift in 0_u32..64) {
            let x = (x >> shift).max(1);
            let units = neg_log2(x) as f64 / (1_u64 << FRACTION_BITS) as f64;
            prop_assert!((units - (64.0 - (x as f64).log2())).abs() < 3e-6, "{} at {}", units, x);
        }

        #[test]
        fn never_rises(x: u64, y: u64, shift in 0_u32..64) {
            let (x, y) = (x >> shift, y >> shift);
            prop_assert!(neg_log2(x.min(y)) >= neg_log2(x.max(y)));
            prop_assert!(neg_log2(x) >= neg_log2(x.saturating_add(1)));
        }
    }

    #[test]
    fn exact_at_powers_of_two() {
        for exponent in 0_u32..64 {
            assert_eq!(neg_log2(1 << exponent), u64::from(64 - exponent) << FRACTION_BITS);
        }
        assert_eq!(neg_log2(0), 64 << FRACTION_BITS);
        assert!(neg_log2(u64::MAX) <= 1);
    }
}
