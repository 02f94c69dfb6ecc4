//! Durations in buckets, eight to each power of two: recording is a few instructions, and a
//! quantile is off by less than an eighth.
//!
//! The buckets are those of HDR histograms with three significant bits, from 1 µs to 134 s.

use std::array;
use std::ops::AddAssign;
use std::time::Duration;

use super::Tally;

/// Buckets to each power of two.
const PER_OCTAVE: u64 = 8;

/// `log2` of that.
const SUB_BITS: u32 = 3;

/// Buckets of all: what is longer than the last one holds is counted there.
const BUCKETS: usize = 200;

/// Durations of one writer.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Tally; BUCKETS],
    nanos: Tally,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: array::from_fn(|_| Tally::default()), nanos: Tally::default() }
    }
}

impl Histogram {
    /// Counts a duration.
    #[inline]
    pub fn record(&self, duration: Duration) {
        let micros = duration.as_secs().saturating_mul(1_000_000) + u64::from(duration.subsec_micros());
        self.buckets[bucket_of(micros)].add(1);
        self.nanos.add(duration.as_secs().wrapping_mul(1_000_000_000) + u64::from(duration.subsec_nanos()));
    }
}

/// The bucket of a duration in microseconds.
#[inline]
fn bucket_of(micros: u64) -> usize {
    if micros < PER_OCTAVE {
        return micros as usize;
    }
    let exponent = micros.ilog2();
    let sub = (micros >> (exponent - SUB_BITS)) & (PER_OCTAVE - 1);
    let bucket = u64::from(exponent - SUB_BITS + 1) * PER_OCTAVE + sub;
    (bucket as usize).min(BUCKETS - 1)
}

/// Where a bucket ends, in microseconds.
fn end_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PER_OCTAVE {
        return bucket + 1;
    }
    let (octave, sub) = (bucket / PER_OCTAVE, bucket % PER_OCTAVE);
    (PER_OCTAVE + sub + 1) << (octave - 1)
}

/// The durations of any number of histograms at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durations {
    counts: Vec<u64>,
    nanos: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], nanos: 0 }
    }
}

impl AddAssign for Durations {
    fn add_assign(&mut self, other: Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.nanos = self.nanos.wrapping_add(other.nanos);
    }
}

impl Durations {
    /// Those of `histogram`.
    pub fn of(histogram: &Histogram) -> Self {
        Self { counts: histogram.buckets.iter().map(Tally::get).collect(), nanos: histogram.nanos.get() }
    }

    /// Those that came after `earlier`, a state of the same histograms.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.saturating_sub(*then));
        Self { counts: counts.collect(), nanos: self.nanos.wrapping_sub(earlier.nanos) }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.nanos as f64 / 1e9
    }

    /// The duration that a share `q` (0 to 1) of them does not exceed, in seconds; within its
    /// bucket as if all there were evenly spread. `None` if there are none.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let wanted = q * self.count() as f64;
        let mut below = 0.0;
        let mut begin = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            let end = end_of(bucket);
            if count > 0 && below + count as f64 >= wanted {
                let part = ((wanted - below) / count as f64).clamp(0.0, 1.0);
                return Some((begin as f64 + part * (end - begin) as f64) / 1e6);
            }
            below += count as f64;
            begin = end;
        }
        None
    }

    /// For each bound, in seconds, how many there are above the one before and up to it; the last
    /// bound is infinite. Bounds are 64 µs and its multiples by 1.5 and by powers of two, so that
    /// each falls on the end of a bucket.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let mut buckets = Vec::new();
        let mut count = 0;
        for (bucket, &here) in self.counts.iter().enumerate() {
            count += here;
            let end = end_of(bucket);
            let half_octave = (bucket + 1) % (PER_OCTAVE as usize / 2) == 0;
            if bucket + 1 < BUCKETS && end >= 64 && half_octave {
                buckets.push((end as f64 / 1e6, std::mem::take(&mut count)));
            }
        }
        buckets.push((f64::INFINITY, count));
        buckets
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> Durations {
        let histogram = Histogram::default();
        micros.into_iter().for_each(|micros| histogram.record(Duration::from_micros(micros)));
        Durations::of(&histogram)
    }

    #[test]
    fn buckets_follow_each_other() {
        for bucket in 1..BUCKETS {
            let begin = end_of(bucket - 1);
            assert_eq!((bucket_of(begin - 1), bucket_of(begin)), (bucket - 1, bucket));
        }
        assert_eq!(end_of(BUCKETS - 1), 1 << 27, "134 s");
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn bounds_are_half_octaves() {
        let bounds: Vec<_> = of([]).buckets().iter().map(|(bound, _)| *bound).collect();
        assert_eq!(bounds[..4], [64e-6, 96e-6, 128e-6, 192e-6]);
        assert_eq!(bounds.len(), 43);
        assert!(bounds.is_sorted());
        let counted = of([10, 63, 64, 100, 1 << 40]).buckets();
        assert_eq!(counted[..3], [(64e-6, 2), (96e-6, 1), (128e-6, 1)]);
        assert_eq!(counted.last(), Some(&(f64::INFINITY, 1)));
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(of([]).quantile(0.5), None);
        assert_eq!(of([7]).since(&of([7])).quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_off_by_less_than_an_eighth(
            mut micros in prop::collection::vec(8_u64..100_000_000, 1..200),
            q in 0.0_f64..=1.0,
        ) {
            let durations = of(micros.iter().copied());
            micros.sort_unstable();
            let rank = ((q * micros.len() as f64).ceil() as usize).clamp(1, micros.len());
            let exact = micros[rank - 1] as f64 / 1e6;
            let found = durations.quantile(q).expect("there are some");
            prop_assert!((found - exact).abs() <= exact / 8.0 + 1e-9, "{found} for {exact}");
            prop_assert_eq!(durations.count(), micros.len() as u64);
            let sum = micros.iter().sum::<u64>() as f64 / 1e6;
            prop_assert!((durations.sum_seconds() - sum).abs() < 1e-6);
            let counted: u64 = durations.buckets().iter().map(|(_, count)| count).sum();
            prop_assert_eq!(counted, micros.len() as u64);
        }

        #[test]
        fn what_came_since_is_what_was_added(first in prop::collection::vec(0_u64..1 << 30, 0..50),
            later in prop::collection::vec(0_u64..1 << 30, 0..50)) {
            let all = of(first.iter().chain(&later).copied());
            prop_assert_eq!(all.since(&of(first)), of(later));
        }
    }
}
