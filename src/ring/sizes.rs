//! Which numbers of slots a ring may have.

/// The most slots a ring may have. An owner table of this size is 32 MiB, far beyond any cache,
/// and holds more replicas of 256 virtual nodes than there may be: a larger one helps nobody.
/// Filling it takes seconds, where the default takes a fraction of a millisecond. The exact
/// arithmetic of a lookup relies on the bound.
pub const MAX_SLOTS: u32 = 1 << 24;

/// Whether quadratic probing visits every one of `slots` slots.
pub(super) fn is_quadratic(slots: u32) -> bool {
    slots.is_power_of_two() || (slots % 4 == 3 && is_prime(slots))
}

/// The nearest sizes for quadratic probing below and above `slots`, within the bounds.
pub(super) fn nearest_quadratic(slots: u32) -> (Option<u32>, Option<u32>) {
    let below = (1..slots.min(MAX_SLOTS + 1)).rev().find(|&size| is_quadratic(size));
    let above = (slots.saturating_add(1)..=MAX_SLOTS).find(|&size| is_quadratic(size));
    (below, above)
}

/// Trial division: at most √2²⁴ / 2 = 2,048 steps for a size within the bounds.
fn is_prime(n: u32) -> bool {
    n >= 2
        && (n == 2 || n % 2 == 1)
        && (3..).step_by(2).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_those_of_the_sieve() {
        let mut composite = vec![false; 5_000];
        for n in 2..composite.len() {
            assert_eq!(is_prime(n as u32), !composite[n], "{n}");
            (2 * n..composite.len()).step_by(n).for_each(|multiple| composite[multiple] = true);
        }
        assert!(!is_prime(0) && !is_prime(1));
    }

    #[test]
    fn the_default_size_is_the_first_above_a_power_of_two() {
        assert_eq!(nearest_quadratic(65_537), (Some(65_536), Some(65_539)));
    }

    #[test]
    fn the_bounds_have_one_neighbour() {
        assert_eq!(nearest_quadratic(0), (None, Some(1)));
        assert_eq!(nearest_quadratic(MAX_SLOTS), (Some(16_777_199), None));
        assert_eq!(nearest_quadratic(u32::MAX), (Some(MAX_SLOTS), None));
    }
}
