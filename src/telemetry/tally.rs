//! A counter with one writer.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts without a locked instruction: only its one writer may add, anybody may read. A second
/// writer would lose counts, nothing worse.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Adds `n`. Relaxed, here and in [`Tally::get`]: a count orders nothing else.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
