//! Requests that wait for room at a replica: each has its cap (`--max-requests-per-replica`), and all are
//! full.
//!
//! The queue of a worker for a pool is in the order of arrival. Its first request is told when a request ends, of
//! any worker, and looks for room then; the others wait for their turn. Who comes while somebody waits
//! stands behind.

use std::cell::Cell;
use std::pin::pin;

use tokio::sync::Semaphore;

use super::clock::TICK;
use super::error::Failure;
use super::request::ActiveRequest;
use super::timeline::Input;
use crate::cluster::{Picked, PoolSnapshot};

/// The queue of one worker for one pool.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Cell<usize>,
    /// Held by the first.
    turn: Semaphore,
}

impl Default for Queue {
    fn default() -> Self {
        Self { waiting: Cell::new(0), turn: Semaphore::new(1) }
    }
}

impl Queue {
    /// Whether nobody waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.get() == 0
    }

    fn enter(&self) -> Waiting<'_> {
        self.waiting.set(self.waiting.get() + 1);
        Waiting(self)
    }
}

/// Counts a request that waits, until it drops.
struct Waiting<'a>(&'a Queue);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

/// Waits for room at a replica that is not in `tried` (endpoint ids).
///
/// # Errors
/// When too many wait already, when none has room in time, and when none is up any more.
#[cold]
pub(super) async fn wait_for_room(
    active: &ActiveRequest,
    key: u64,
    tried: &[u64],
) -> Result<Picked, Failure> {
    let worker = &*active.connection().worker;
    let pool = active.pool();
    let limit = pool.config().queue as u64;
    let enter = |snapshot: &PoolSnapshot| snapshot.load()?.enter_queue(limit);
    let Some(place) = worker.reader.with_pool(pool.index, enter) else {
        return Err(Failure::Overloaded);
    };
    let _waiting = pool.queue.enter();
    worker.recorder.requests(Some(pool.index)).queued();
    active.on(Input::AwaitRoom);
    // Never closed, so an error is that the time is over.
    let Ok(Ok(_turn)) = active.within(pin!(pool.queue.turn.acquire())).await else {
        return Err(Failure::QueueTimeout);
    };
    let front = place.front();
    loop {
        let mut room = pin!(front.room());
        // From here on nothing is missed.
        room.as_mut().enable();
        let look = |snapshot: &PoolSnapshot| (snapshot.pick(key, tried), snapshot.is_full(tried));
        let (picked, is_full) = worker.reader.with_pool(pool.index, look);
        match picked {
            Some(picked) => return Ok(picked),
            None if !is_full => return Err(Failure::NoReplica),
            None => {}
        }
        // A replica may also have come, or be up again.
        let look = pin!(tokio::time::timeout(TICK, room));
        if active.within(look).await.is_err() {
            return Err(Failure::QueueTimeout);
        }
    }
}
