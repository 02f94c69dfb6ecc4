//! Counters over all endpoints: requests in flight, and the retry budget that follows from them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::lanes::{Lane, Lanes};

/// Retries that may always be in flight, however little else is.
const RETRIES_AT_LEAST: u64 = 3;

/// Retries that may be in flight, as a share of all requests in flight, in percent.
const RETRY_PERCENT: u64 = 20;

/// Load of the whole balancer, shared by all workers.
#[derive(Debug, Default)]
pub struct Load {
    in_flight: Lanes<AtomicU64>,
    /// Who is to be told of room.
    waiting: CachePadded<AtomicU64>,
    /// Requests that wait for an endpoint with room.
    queued: AtomicU64,
    /// Tells the first of each worker's queue that there may be room.
    room: Notify,
    retries: CachePadded<AtomicU64>,
    ejections: AtomicU64,
}

impl Load {
    /// Requests in flight over all endpoints.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.sum(|count| count.load(Ordering::Relaxed))
    }

    /// Requests that wait for an endpoint with room.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// A place among those that wait, of which there may be `limit`; `None` if all are taken.
    pub fn enter_queue(self: &Arc<Self>, limit: u64) -> Option<Queued> {
        self.queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < limit).then(|| now + 1))
            .ok()
            .map(|_| Queued { load: Arc::clone(self) })
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

    #[inline]
    pub(super) fn enter(&self, lane: Lane) {
        lane.add(self.in_flight.of(lane), 1, Ordering::Relaxed);
    }

    /// For the thread that entered.
    #[inline]
    pub(super) fn leave(&self, lane: Lane) {
        lane.add(self.in_flight.of(lane), u64::MAX, Ordering::Relaxed);
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.tell_of_room();
        }
    }

    #[cold]
    fn tell_of_room(&self) {
        self.room.notify_one();
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

/// A place among the requests that wait for an endpoint with room; given up when dropped.
#[derive(Debug)]
pub struct Queued {
    load: Arc<Load>,
}

impl Queued {
    /// The first of its queue: it is told of room until it drops.
    pub fn front(&self) -> Front<'_> {
        self.load.waiting.fetch_add(1, Ordering::Relaxed);
        Front(&self.load)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.load.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who is told of room.
#[derive(Debug)]
pub struct Front<'a>(&'a Load);

impl Front<'_> {
    /// Ready when a request has ended since this was called, or soon after it was. Each is told to one
    /// who waits, the longest first. A request that ends on another thread at the same moment may be
    /// missed: who waits looks again after a while.
    pub fn room(&self) -> Notified<'_> {
        self.0.room.notified()
    }
}

impl Drop for Front<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
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

    #[tokio::test]
    async fn a_queue_has_a_limit_and_its_front_is_told_when_a_request_ends() {
        let load = Arc::new(Load::default());
        load.enter(Lane::SHARED);
        let first = load.enter_queue(2).expect("a place");
        let second = load.enter_queue(2).expect("a place");
        assert!(load.enter_queue(2).is_none());
        let front = first.front();
        let room = front.room();
        load.leave(Lane::SHARED);
        room.await;
        drop(front);
        assert_eq!(load.waiting.load(Ordering::Relaxed), 0);
        drop((first, second));
        assert_eq!(load.queued(), 0);
    }

    #[test]
    fn the_budget_grows_to_a_fifth_of_what_is_in_flight() {
        let load = Arc::new(Load::default());
        (0..100).for_each(|_| load.enter(Lane::SHARED));
        let permits: Vec<_> = std::iter::from_fn(|| load.try_retry()).collect();
        assert_eq!(permits.len(), 20);
    }
}
