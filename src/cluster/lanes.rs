//! Counters that each worker has for itself, so that counting is an addition and no atomic one.
//!
//! An atomic addition costs 5 to 10 ns even where no other core has the cache line, and far more where one
//! has. A counter that only one thread changes needs none: it loads, adds and stores. Who reads takes the sum.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;

/// Lanes at most: they are memory for each endpoint.
const MOST: usize = 32;

/// Lanes of threads: there are as many workers as cores, unless told otherwise.
static OWN: LazyLock<usize> = LazyLock::new(|| available_parallelism().map_or(1, usize::from).min(MOST));

/// The lane of the next thread that counts. None is given twice.
static NEXT: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    static LANE: Lane = {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        if next <= *OWN { Lane(next as u32) } else { Lane::SHARED }
    };
}

/// Which counters a thread changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane(u32);

impl Lane {
    /// That of all threads without one of their own, and of what they have to count together.
    pub(super) const SHARED: Self = Self(0);

    #[inline]
    pub(super) fn of_this_thread() -> Self {
        LANE.with(|lane| *lane)
    }

    /// Adds to a counter of this lane, which must be shared or that of this thread. It wraps around, so that
    /// the largest number takes one away.
    #[inline]
    pub(super) fn add(self, counter: &AtomicU64, number: u64, order: Ordering) {
        if self == Self::SHARED {
            counter.fetch_add(number, order);
        } else {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(number), order);
        }
    }
}

/// What is counted, for each lane on a cache line of its own.
#[derive(Debug)]
pub(super) struct Lanes<C>(Box<[Line<C>]>);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line<C>(C);

impl<C: Default> Lanes<C> {
    pub(super) fn new() -> Self {
        Self((0..=*OWN).map(|_| Line::default()).collect())
    }
}

impl<C: Default> Default for Lanes<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Lanes<C> {
    #[inline]
    pub(super) fn of(&self, lane: Lane) -> &C {
        &self.0[lane.0 as usize].0
    }

    /// The sum over all lanes. Each is read at a moment of its own. So what begins and ends must be counted in one
    /// lane, and the ends be summed first: then no end is counted without its beginning.
    pub(super) fn sum(&self, count: impl Fn(&C) -> u64) -> u64 {
        self.0.iter().map(|line| count(&line.0)).fold(0, u64::wrapping_add)
    }

    /// The same without what is shared.
    pub(super) fn sum_of_own(&self, count: impl Fn(&C) -> u64) -> u64 {
        self.0.iter().skip(1).map(|line| count(&line.0)).fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_whoever_counts() {
        const EACH: u64 = 10_000;
        let lanes = Lanes::<AtomicU64>::new();
        let threads = *OWN as u64 + 3;
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let lane = Lane::of_this_thread();
                    assert_eq!(lane, Lane::of_this_thread());
                    for _ in 0..EACH {
                        lane.add(lanes.of(lane), 2, Ordering::Relaxed);
                        lane.add(lanes.of(lane), u64::MAX, Ordering::Relaxed);
                    }
                });
            }
        });
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(lanes.sum(count), threads * EACH);
        assert_eq!(lanes.sum_of_own(count) + count(lanes.of(Lane::SHARED)), threads * EACH);
    }
}
