//! Counts the connections of one thread: for a limit, which threads may share, and to wait for the last
//! one's end.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many connections are open.
#[derive(Debug, Default)]
pub struct Open {
    count: Cell<usize>,
    /// Of all threads that share a limit.
    total: Arc<AtomicUsize>,
    left: Notify,
}

/// One connection, counted until it drops.
#[derive(Debug)]
pub struct Counted(Rc<Open>);

impl Open {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// Counts those of this thread, and adds them to those of others.
    pub fn sharing(total: Arc<AtomicUsize>) -> Self {
        Self { total, ..Self::default() }
    }

    /// Counts one more.
    pub fn enter(self: &Rc<Self>) -> Counted {
        self.count.set(self.count.get() + 1);
        self.total.fetch_add(1, Ordering::Relaxed);
        Counted(Rc::clone(self))
    }

    /// Waits until there are fewer than `limit` of this thread.
    pub async fn fewer_than(&self, limit: usize) {
        while self.count.get() >= limit {
            self.left.notified().await;
        }
    }

    /// Waits until all threads together have fewer than `limit`, which may change: see
    /// [`Open::recheck`]. As long as they have not, `make_room` is called before each wait.
    pub async fn room_within(&self, limit: impl Fn() -> usize, make_room: impl Fn()) {
        loop {
            // Before the look, so that one who leaves behind it is not missed.
            let left = self.left.notified();
            if self.total.load(Ordering::Relaxed) < limit() {
                return;
            }
            make_room();
            left.await;
        }
    }

    /// Has those that wait look at their limits again.
    pub fn recheck(&self) {
        self.left.notify_waiters();
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.total.fetch_sub(1, Ordering::Relaxed);
        self.0.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_to_leave_lets_the_waiter_go() {
        let open = Rc::new(Open::default());
        let (first, second) = (open.enter(), open.enter());
        assert_eq!(open.count(), 2);
        let leave = async move {
            drop(first);
            tokio::task::yield_now().await;
            drop(second);
        };
        tokio::join!(open.fewer_than(1), leave);
        assert_eq!(open.count(), 0);
    }

    #[tokio::test]
    async fn a_raised_limit_lets_the_waiter_go() {
        let open = Rc::new(Open::default());
        let _one = open.enter();
        let limit = Cell::new(1);
        let raise = async {
            tokio::task::yield_now().await;
            limit.set(2);
            open.recheck();
        };
        tokio::join!(open.room_within(|| limit.get(), || ()), raise);
    }

    #[tokio::test]
    async fn threads_share_a_limit() {
        let total = Arc::default();
        let (one, other) = (Rc::new(Open::sharing(Arc::clone(&total))), Rc::new(Open::sharing(total)));
        let (mine, asked) = (Cell::new(Some(one.enter())), Cell::new(0));
        let _theirs = other.enter();
        let make_room = || {
            asked.set(asked.get() + 1);
            mine.take();
        };
        one.room_within(|| 2, make_room).await;
        assert_eq!((asked.get(), one.count(), other.count()), (1, 0, 1));
    }
}
