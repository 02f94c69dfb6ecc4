//! Counts the connections of one thread: for a limit, which threads may share, and to wait for the last
//! one's end.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// How many connections are open.
#[derive(Debug, Default)]
pub struct Open {
    count: Cell<usize>,
    total: Arc<Total>,
    left: Notify,
}

/// The connections of all threads that share a limit: how many there are, and in the upper half how many of
/// them are places that are kept for one which may come. In one word, so that a look sees both at a time.
#[derive(Debug, Default)]
pub struct Total(AtomicU64);

/// What a place that is kept for a connection adds to those that there are.
const KEPT: u64 = 1 << 32;

impl Total {
    /// The connections and the places that are kept, in `total`.
    fn all(total: u64) -> usize {
        (total % KEPT) as usize
    }

    /// The connections alone.
    fn real(total: u64) -> usize {
        Self::all(total) - (total / KEPT) as usize
    }
}

/// One connection, or the place for one, counted until it drops.
#[derive(Debug)]
pub struct Counted {
    open: Rc<Open>,
    /// Whether it is only a place.
    is_kept: bool,
}

impl Counted {
    /// There is a connection in its place.
    #[must_use]
    pub fn taken(mut self) -> Self {
        if std::mem::take(&mut self.is_kept) {
            self.open.total.0.fetch_sub(KEPT, Ordering::Relaxed);
        }
        self
    }
}

impl Open {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// Counts those of this thread, and adds them to those of others.
    pub fn sharing(total: Arc<Total>) -> Self {
        Self { total, ..Self::default() }
    }

    /// Counts one more.
    pub fn enter(self: &Rc<Self>) -> Counted {
        self.count.set(self.count.get() + 1);
        self.total.0.fetch_add(1, Ordering::Relaxed);
        Counted { open: Rc::clone(self), is_kept: false }
    }

    /// Keeps a place if all threads together have fewer than `limit`: no two take the last one. If not, whether
    /// there are so many connections, without the places that others keep.
    fn enter_within(self: &Rc<Self>, limit: usize) -> Result<Counted, bool> {
        let next = |total| if Total::all(total) < limit { Some(total + 1 + KEPT) } else { None };
        let before = self.total.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        before.map_err(|total| Total::real(total) >= limit)?;
        self.count.set(self.count.get() + 1);
        Ok(Counted { open: Rc::clone(self), is_kept: true })
    }

    /// Waits until there are fewer than `limit` of this thread.
    pub async fn fewer_than(&self, limit: usize) {
        loop {
            // Before the look, so that nobody leaves between it and the wait.
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            if self.count.get() < limit {
                return;
            }
            left.await;
        }
    }

    /// Keeps a place as soon as all threads together have fewer than `limit`, which may change: see
    /// [`Open::recheck`]. As long as they have not, `make_room` is called before each wait.
    pub async fn room_within(self: &Rc<Self>, limit: impl Fn() -> usize, make_room: impl Fn()) -> Counted {
        if let Ok(place) = self.enter_within(limit()) {
            return place;
        }
        loop {
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            match self.enter_within(limit()) {
                Ok(place) => return place,
                Err(true) => {
                    make_room();
                    left.await;
                }
                // Another thread keeps the last place while it looks whether somebody comes, which is one system
                // call. Nobody has to leave for that.
                Err(false) => tokio::task::yield_now().await,
            }
        }
    }

    /// Has those that wait look at their limits again.
    pub fn recheck(&self) {
        self.left.notify_waiters();
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.count.set(self.open.count.get() - 1);
        let kept = if self.is_kept { KEPT } else { 0 };
        self.open.total.0.fetch_sub(1 + kept, Ordering::Relaxed);
        self.open.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

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
    async fn all_that_wait_look_again() {
        let open = Rc::new(Open::default());
        let one = open.enter();
        let leave = async {
            tokio::task::yield_now().await;
            drop(one);
        };
        let pass = async { drop(open.room_within(|| 1, || ()).await) };
        tokio::join!(open.fewer_than(1), pass, leave);
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
        let _place = one.room_within(|| 2, make_room).await;
        assert_eq!((asked.get(), one.count(), other.count()), (1, 1, 1));
    }

    /// A worker that only looks whether somebody comes makes nobody leave.
    #[tokio::test]
    async fn a_place_that_is_kept_ends_no_connection() {
        let total = Arc::default();
        let (one, other) = (Rc::new(Open::sharing(Arc::clone(&total))), Rc::new(Open::sharing(total)));
        let _mine = one.enter();
        let kept = other.room_within(|| 2, || ()).await;
        let asked = Cell::new(0);
        let make_room = || asked.set(asked.get() + 1);
        let give_back = async {
            tokio::task::yield_now().await;
            drop(kept);
        };
        let (place, ()) = tokio::join!(one.room_within(|| 2, make_room), give_back);
        assert_eq!(asked.get(), 0);
        let theirs = place.taken();
        assert_eq!(other.enter_within(2).err(), Some(true), "there are two connections");
        drop(theirs);
    }

    #[test]
    fn no_two_threads_take_the_last_place() {
        const LIMIT: usize = 5;
        let (total, most) = (Arc::<Total>::default(), AtomicUsize::new(0));
        let refused = AtomicUsize::new(0);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let open = Rc::new(Open::sharing(Arc::clone(&total)));
                    let mut kept = std::collections::VecDeque::new();
                    for turn in 0..20_000 {
                        match open.enter_within(LIMIT) {
                            Ok(place) if turn % 2 == 0 => kept.push_back(place.taken()),
                            Ok(place) => kept.push_back(place),
                            Err(_) => _ = refused.fetch_add(1, Ordering::Relaxed),
                        }
                        most.fetch_max(Total::all(total.0.load(Ordering::Relaxed)), Ordering::Relaxed);
                        if turn % 3 == 0 || kept.len() == LIMIT {
                            kept.pop_front();
                        }
                    }
                });
            }
        });
        assert_eq!((most.into_inner(), total.0.load(Ordering::Relaxed)), (LIMIT, 0));
        assert!(refused.into_inner() > 0, "there was a last place to take");
    }
}
