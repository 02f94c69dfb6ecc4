//! Which of several pools a key belongs to.

/// Largest weight of a pool: with it, a share of a thousandth can be said.
pub const MAX_WEIGHT: u16 = 1000;

/// Pools that share the keys by their weights.
///
/// Weighted rendezvous: each pool draws a number for each key, which depends on its name and the key
/// alone, and the smallest in relation to the weight wins. So a pool whose weight rises takes keys
/// from the others, one whose weight falls gives keys to them, and no key moves between two others.
/// Adding a pool is to raise its weight from 0. All routes and all balancers agree: a client is on the
/// same side of each split between the same pools with the same weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Split(Vec<Side>);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Side {
    pool: usize,
    /// What its draws begin with.
    seed: u64,
    weight: u16,
}

impl Split {
    /// All keys for one pool.
    pub(super) fn all_to(pool: usize) -> Self {
        Self(vec![Side { pool, seed: 0, weight: 1 }])
    }

    /// Keys by the weights of pools, each with its place in the list of pools and its name, in any
    /// order. One of the weights is above 0.
    pub(super) fn between<'a>(pools: impl Iterator<Item = (usize, &'a str, u16)>) -> Self {
        let mut sides: Vec<_> =
            pools.map(|(pool, name, weight)| Side { pool, seed: seed(name), weight }).collect();
        sides.sort_unstable_by_key(|side| side.pool);
        Self(sides)
    }

    /// The pool of a key, given its hash: the place in the list of pools.
    pub fn side(&self, hash: u64) -> usize {
        match &self.0[..] {
            [only] => only.pool,
            sides => choose(sides, mix(hash)),
        }
    }

    /// The pools, each with its weight.
    pub fn pools(&self) -> impl ExactSizeIterator<Item = (usize, u16)> {
        self.0.iter().map(|side| (side.pool, side.weight))
    }
}

fn choose(sides: &[Side], key: u64) -> usize {
    let draws = sides.iter().filter(|side| side.weight > 0).map(|side| (draw(side, key), side.pool));
    let (_, pool) =
        draws.reduce(|best, next| if next.0 < best.0 { next } else { best }).expect("one has weight");
    pool
}

/// Exponentially distributed, with the weight as its rate: the smallest of several such numbers is
/// each one's with a chance in proportion to its weight.
///
/// Two platforms may differ in the last bit of a logarithm. That matters to a key only where the
/// smallest two draws differ by no more, which is one key in 10¹⁵.
fn draw(side: &Side, key: u64) -> f64 {
    // Above 0, so that there is a logarithm, and at most 1.
    let uniform = ((mix(key ^ side.seed) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    -uniform.ln() / f64::from(side.weight)
}

/// FNV-1a: names are few and short.
fn seed(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of `SplitMix64`: keys may be small numbers, and are hashed for the ring too, on which
/// the side must not depend.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 5] = ["web", "canary", "api", "beta", "green"];

    fn split(weights: &[u16]) -> Split {
        Split::between(
            weights.iter().zip(NAMES).enumerate().map(|(pool, (weight, name))| (pool, name, *weight)),
        )
    }

    fn weights() -> impl Strategy<Value = Vec<u16>> {
        proptest::collection::vec(0..=MAX_WEIGHT, 1..=5)
            .prop_filter("no weight", |all| all.iter().any(|w| *w > 0))
    }

    #[test]
    fn sides_are_the_same_everywhere() {
        let split = split(&[50, 30, 20]);
        let sides: Vec<_> = (0..24).map(|key| split.side(key)).collect();
        assert_eq!(sides, [0, 2, 1, 2, 0, 2, 0, 2, 0, 2, 0, 1, 0, 0, 0, 2, 1, 1, 2, 1, 0, 0, 1, 1]);
    }

    #[test]
    fn shares_follow_weights() {
        const KEYS: u64 = 100_000;
        for weights in [&[90, 10][..], &[1, 999], &[1, 1, 1], &[500, 300, 150, 49, 1]] {
            let (split, total) = (split(weights), weights.iter().map(|w| f64::from(*w)).sum::<f64>());
            let mut counts = [0_u32; 5];
            (0..KEYS).for_each(|key| counts[split.side(key)] += 1);
            for (count, weight) in counts.iter().zip(weights) {
                let (share, due) = (f64::from(*count) / KEYS as f64, f64::from(*weight) / total);
                // Four standard deviations.
                let bound = 4.0 * (due * (1.0 - due) / KEYS as f64).sqrt();
                assert!((share - due).abs() < bound, "{weights:?}: {share} instead of {due}");
            }
        }
    }

    /// A pool's neighbours on the ring must not be those of one side.
    #[test]
    fn sides_do_not_depend_on_the_slots_of_the_ring() {
        let half = split(&[1, 1]);
        for slots in [2, 3, 64, 65_539] {
            let slot = |key: u64| (u128::from(fxhash::hash64(&key)) * 8 + 20) % slots;
            let low = |key: &u64| slot(*key) < slots / 2;
            let both = (0..40_000_u64).filter(low).map(|key| half.side(key) as f64);
            let (count, sum) = both.fold((0.0, 0.0), |(count, sum), side| (count + 1.0, sum + side));
            assert!(count == 0.0 || (sum / count - 0.5).abs() < 0.02, "{slots} slots: {}", sum / count);
        }
    }

    proptest! {
        #[test]
        fn a_changed_weight_moves_only_keys_of_its_pool(
            weights in weights(), which in 0_usize..5, weight in 0..=MAX_WEIGHT, keys in proptest::collection::vec(any::<u64>(), 200),
        ) {
            let which = which % weights.len();
            let mut changed = weights.clone();
            changed[which] = weight;
            prop_assume!(changed.iter().any(|weight| *weight > 0));
            let (before, after) = (split(&weights), split(&changed));
            for key in keys {
                let (from, to) = (before.side(key), after.side(key));
                let must = if weight < weights[which] { from == which } else { to == which };
                prop_assert!(from == to || must, "{} to {}", from, to);
                prop_assert!(changed[to] > 0);
            }
        }

        /// Where a pool is in the list, and in which order the routes are, does not matter.
        #[test]
        fn sides_depend_on_names(weights in weights(), keys in proptest::collection::vec(any::<u64>(), 50)) {
            let count = weights.len();
            let listed = weights.iter().zip(NAMES).enumerate();
            let reversed = Split::between(listed.rev().map(|(pool, (weight, name))| (count - 1 - pool, name, *weight)));
            let split = split(&weights);
            for key in keys {
                prop_assert_eq!(split.side(key), count - 1 - reversed.side(key));
            }
        }
    }
}
