//! Slow start: a replica that has just come takes a share of its keys that grows with time.
//!
//! Which of its keys those are depends on the keys alone: each comes to it once, when the share has grown
//! so far, and goes to the next in its preference order before. The ring stays as it is.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The share that a replica begins with: it cannot warm up without requests.
const LEAST: f64 = 0.1;

/// When a replica has come, and how long it takes. In milliseconds since it was made, so that it changes
/// without a lock.
#[derive(Debug)]
pub(super) struct SlowStart {
    made: Instant,
    began: AtomicI64,
    takes: AtomicU64,
}

impl SlowStart {
    pub(super) fn new() -> Self {
        Self { made: Instant::now(), began: AtomicI64::new(0), takes: AtomicU64::new(0) }
    }

    /// It takes so long from now on, of which some has passed already.
    pub(super) fn begin(&self, takes: Duration, passed: Duration) {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        self.began.store(millis(self.made.elapsed()).saturating_sub(millis(passed)), Ordering::Relaxed);
        self.takes.store(millis(takes).unsigned_abs(), Ordering::Relaxed);
    }

    /// The share of its keys that it takes now; `None` once that is all.
    pub(super) fn share(&self) -> Option<f64> {
        let now = i64::try_from(self.made.elapsed().as_millis()).unwrap_or(i64::MAX);
        let passed = now.saturating_sub(self.began.load(Ordering::Relaxed)).max(0);
        share(passed.unsigned_abs(), self.takes.load(Ordering::Relaxed))
    }
}

fn share(passed: u64, takes: u64) -> Option<f64> {
    (passed < takes).then(|| (passed as f64 / takes as f64).max(LEAST))
}

/// Whether a replica with this share takes the request of this key.
pub(super) fn takes(key: u64, share: f64) -> bool {
    // The finalizer of splitmix64: another hash than that which finds the slot.
    let mut mixed = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    (mixed as f64) < share * u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_share_grows_from_a_tenth_to_all() {
        assert_eq!(share(0, 1000), Some(LEAST));
        assert_eq!(share(500, 1000), Some(0.5));
        assert_eq!((share(1000, 1000), share(0, 0)), (None, None));
    }

    #[test]
    fn so_many_keys_are_taken_as_the_share_says() {
        let taken = |share| (0..10_000).filter(|&key| takes(key, share)).count();
        assert!((900..1100).contains(&taken(0.1)) && (4800..5200).contains(&taken(0.5)));
    }

    proptest! {
        #[test]
        fn a_key_that_is_taken_stays(key: u64, shares in prop::collection::vec(0.0_f64..1.0, 2)) {
            let (less, more) = (shares[0].min(shares[1]), shares[0].max(shares[1]));
            prop_assert!(!takes(key, less) || takes(key, more));
        }
    }
}
