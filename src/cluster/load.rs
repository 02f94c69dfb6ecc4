//! Counters over all endpoints: requests in flight, and the retry budget that follows from them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

/// Retries that may always be in flight, however little else is.
const RETRIES_AT_LEAST: u64 = 3;

/// Retries that may be in flight, as a share of all requests in flight, in percent.
const RETRY_PERCENT: u64 = 20;

/// Load of the whole balancer, shared by all workers.
#[derive(Debug, Default)]
pub struct Load {
    in_flight: CachePadded<AtomicU64>,
    retries: CachePadded<AtomicU64>,
    ejections: AtomicU64,
}

impl Load {
    /// Requests in flight over all endpoints.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Retries in flight.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Retries that may be in flight at this moment.
    pub fn retries_allowed(&self) -> u64 {
        (self.in_flight() * RETRY_PERCENT / 100).max(RETRIES_AT_LEAST)
    }

    /// How often an endpoint was taken out of the choice: whoever waits for one looks at it again when
    /// this has changed.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    pub(super) fn ejected(&self) {
        self.ejections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a retry out of the budget (20 % of what is in flight, at least 3), or `None` when
    /// it is spent: a cluster that is going down must not be hit twice by every request.
    pub fn try_retry(self: &Arc<Self>) -> Option<RetryPermit> {
        let limit = self.retries_allowed();
        self.retries
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < limit).then(|| now + 1))
            .ok()
            .map(|_| RetryPermit { load: Arc::clone(self) })
    }
}

/// One retry of the budget; given back when dropped.
#[derive(Debug)]
pub struct RetryPermit {
    load: Arc<Load>,
}

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.load.retries.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_retries_are_always_allowed_and_come_back() {
        let load = Arc::new(Load::default());
        let permits: Vec<_> = (0..3).map(|_| load.try_retry().expect("within the budget")).collect();
        assert!(load.try_retry().is_none());
        drop(permits);
        assert!(load.try_retry().is_some());
    }

    #[test]
    fn the_budget_grows_to_a_fifth_of_what_is_in_flight() {
        let load = Arc::new(Load::default());
        (0..100).for_each(|_| load.enter());
        let permits: Vec<_> = std::iter::from_fn(|| load.try_retry()).collect();
        assert_eq!(permits.len(), 20);
    }
}
