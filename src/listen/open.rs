//! Counts the connections of one thread: for a limit, and to wait for the last one's end.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// How many connections are open.
#[derive(Debug, Default)]
pub struct Open {
    count: Cell<usize>,
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

    /// Counts one more.
    pub fn enter(self: &Rc<Self>) -> Counted {
        self.count.set(self.count.get() + 1);
        Counted(Rc::clone(self))
    }

    /// Waits until there are fewer than `limit`. For one waiter at a time.
    pub async fn fewer_than(&self, limit: usize) {
        self.fewer_than_now(|| limit).await;
    }

    /// The same, for a limit that may change: see [`Open::recheck`].
    pub async fn fewer_than_now(&self, limit: impl Fn() -> usize) {
        while self.count.get() >= limit() {
            self.left.notified().await;
        }
    }

    /// Has the waiter look at its limit again.
    pub fn recheck(&self) {
        self.left.notify_one();
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.left.notify_one();
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
        tokio::join!(open.fewer_than_now(|| limit.get()), raise);
    }
}
