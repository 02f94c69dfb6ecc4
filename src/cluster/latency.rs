//! How long the heads of responses took, counted in buckets: while somebody compares replicas.
//!
//! A bucket is an eighth of a power of two microseconds wide, so that a time is known to 12.5 %.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Bits of a time that tell the buckets of one power of two apart.
const BITS: u32 = 3;

/// Buckets: up to 2^32 microseconds, or 71 minutes; the last has all that is longer.
const BUCKETS: usize = ((32 - BITS as usize) << BITS) + (1 << BITS);

/// Times that are being counted, by any thread.
#[derive(Debug)]
pub(super) struct LatencyCounts([AtomicU32; BUCKETS]);

/// Times that were counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies(Vec<u32>);

impl LatencyCounts {
    pub(super) fn new() -> Self {
        Self([const { AtomicU32::new(0) }; BUCKETS])
    }

    /// Counts one.
    pub(super) fn count(&self, time: Duration) {
        // Relaxed: only sums are read. It may wrap around, which a difference does not notice.
        self.0[bucket_of(time)].fetch_add(1, Ordering::Relaxed);
    }

    /// All that were counted so far.
    pub(super) fn read(&self) -> Latencies {
        Latencies(self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect())
    }
}

impl Default for Latencies {
    /// None.
    fn default() -> Self {
        Self(vec![0; BUCKETS])
    }
}

impl Latencies {
    /// Those that came after `before`, which was read from the same counts.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self(std::iter::zip(&self.0, &before.0).map(|(now, then)| now.wrapping_sub(*then)).collect())
    }

    /// Takes in others.
    pub fn add(&mut self, others: &Self) {
        for (count, other) in std::iter::zip(&mut self.0, &others.0) {
            *count = count.saturating_add(*other);
        }
    }

    /// Counts one.
    pub fn count(&mut self, time: Duration) {
        let count = &mut self.0[bucket_of(time)];
        *count = count.saturating_add(1);
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|&count| u64::from(count)).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&count| count == 0)
    }

    /// The time that `percent` of them took at most (0 to 100), as far as the buckets tell; `None` if there are
    /// none.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let wanted = (self.len() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.0
            .iter()
            .position(|&count| {
                seen += u64::from(count);
                seen >= wanted
            })
            .map(end_of)
    }

    /// How many took longer than `limit`, as far as the buckets tell: those that are in its own did not.
    pub fn above(&self, limit: Duration) -> u64 {
        self.0[bucket_of(limit) + 1..].iter().map(|&count| u64::from(count)).sum()
    }
}

fn bucket_of(time: Duration) -> usize {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let Some(power) = micros.checked_ilog2().filter(|&power| power >= BITS) else {
        return micros as usize;
    };
    let shift = power - BITS;
    (((shift + 1) << BITS) + ((micros >> shift) & ((1 << BITS) - 1))) as usize
}

/// The longest time of a bucket.
fn end_of(bucket: usize) -> Duration {
    let (row, column) = ((bucket >> BITS) as u32, (bucket & ((1 << BITS) - 1)) as u64);
    let end = match row.checked_sub(1) {
        None => column,
        Some(shift) => ((((1 << BITS) | column) + 1) << shift) - 1,
    };
    Duration::from_micros(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(end_of(bucket)), bucket);
            if bucket + 1 < BUCKETS {
                assert_eq!(bucket_of(end_of(bucket) + micros(1)), bucket + 1);
            }
        }
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_was_counted_before_is_taken_off() {
        let counts = LatencyCounts::new();
        counts.count(micros(100));
        let before = counts.read();
        counts.count(micros(900));
        let since = counts.read().since(&before);
        assert_eq!((since.len(), since.above(micros(500))), (1, 1));
        assert!(before.since(&before).is_empty());
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_times(
            mut times in prop::collection::vec(0_u64..10_000_000, 1..300),
            percent in 1_u64..=100,
        ) {
            let mut latencies = Latencies::default();
            for &time in &times {
                latencies.count(micros(time));
            }
            times.sort_unstable();
            let index = (times.len() as u64 * percent).div_ceil(100) as usize - 1;
            let found = latencies.percentile(percent).unwrap();
            prop_assert!(found >= micros(times[index]));
            prop_assert!(found <= micros(times[index] + times[index] / 8 + 1));
        }

        #[test]
        fn above_counts_no_time_that_is_shorter(times in prop::collection::vec(0_u64..1_000_000, 0..100), limit in 0_u64..1_000_000) {
            let mut latencies = Latencies::default();
            for &time in &times {
                latencies.count(micros(time));
            }
            let longer = times.iter().filter(|&&time| time > limit).count() as u64;
            let much_longer = times.iter().filter(|&&time| time > limit + limit / 8 + 1).count() as u64;
            let found = latencies.above(micros(limit));
            prop_assert!(much_longer <= found && found <= longer, "{} {} {}", much_longer, found, longer);
        }
    }
}
