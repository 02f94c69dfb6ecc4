//! Coarse time-outs: one tick per worker looks at all deadlines, instead of a timer a request.
//!
//! A timer per request costs more instructions than routing it. Here setting a deadline is one
//! store. The price is precision: a deadline fires up to two [`TICK`]s late, and never early.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// Time between two looks at the deadlines.
pub(crate) const TICK: Duration = Duration::from_millis(50);

const TICK_MILLIS: Millis = TICK.as_millis() as Millis;

/// Milliseconds since the worker started.
pub(crate) type Millis = u64;

const NEVER: Millis = Millis::MAX;

/// The time of a worker, as of its last tick.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    now: Rc<Cell<Millis>>,
    watches: RefCell<Vec<Rc<Watch>>>,
}

/// The deadline of one connection, and how to wake the task that waits under it.
#[derive(Debug)]
pub(crate) struct Watch {
    now: Rc<Cell<Millis>>,
    deadline: Cell<Millis>,
    waker: RefCell<Option<Waker>>,
}

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, now: Rc::default(), watches: RefCell::default() }
    }

    /// Time of the last tick.
    pub(crate) fn now(&self) -> Millis {
        self.now.get()
    }

    /// A new watch without a deadline, looked after until its last other owner drops it.
    pub(crate) fn watch(&self) -> Rc<Watch> {
        let watch = Rc::new(Watch {
            now: Rc::clone(&self.now),
            deadline: Cell::new(NEVER),
            waker: RefCell::new(None),
        });
        self.watches.borrow_mut().push(Rc::clone(&watch));
        watch
    }

    /// Moves the time on to `now` and wakes whoever's deadline has passed.
    ///
    /// A tick that comes late means that this thread, and so everything under a deadline, stood
    /// still meanwhile: that time is nobody's fault, and all deadlines move on by it.
    pub(crate) fn tick(&self, now: Instant) {
        let now = now.saturating_duration_since(self.start).as_millis() as Millis;
        let stood_still = now.saturating_sub(self.now.get()).saturating_sub(2 * TICK_MILLIS);
        self.now.set(now);
        self.watches.borrow_mut().retain(|watch| {
            watch.postpone(stood_still);
            if watch.is_expired() {
                watch.wake();
            }
            Rc::strong_count(watch) > 1
        });
    }

    /// Wakes all, whatever their deadlines.
    pub(crate) fn wake_all(&self) {
        self.watches.borrow().iter().for_each(|watch| watch.wake());
    }
}

impl Watch {
    /// Sets the deadline to `from_now`, counted from the next tick: never early.
    pub(crate) fn set(&self, from_now: Duration) {
        let from_now = from_now.as_millis().min(u128::from(NEVER)) as Millis;
        self.deadline.set(self.now.get().saturating_add(TICK_MILLIS).saturating_add(from_now));
    }

    fn postpone(&self, by: Millis) {
        self.deadline.set(self.deadline.get().saturating_add(by));
    }

    /// Takes the deadline away.
    pub(crate) fn clear(&self) {
        self.deadline.set(NEVER);
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_expired(&self) -> bool {
        self.deadline.get() <= self.now.get()
    }

    /// Remembers whom to wake.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_deadline_wakes_its_task_once_it_has_passed_and_not_before() {
        let start = Instant::now();
        let clock = Clock::new(start);
        let woken = Arc::new(Count::default());
        let watch = clock.watch();
        watch.register(&Waker::from(Arc::clone(&woken)));
        // Ticks of the usual pace, and the deadline between two of them.
        watch.set(Duration::from_millis(70));
        for millis in [50, 100] {
            clock.tick(start + Duration::from_millis(millis));
            assert!(!watch.is_expired(), "after {millis} ms");
            assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        }
        clock.tick(start + Duration::from_millis(150));
        assert!(watch.is_expired());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        watch.clear();
        assert!(!watch.is_expired());
    }

    #[test]
    fn time_in_which_the_thread_stood_still_does_not_count() {
        let start = Instant::now();
        let clock = Clock::new(start);
        let watch = clock.watch();
        watch.set(Duration::from_millis(200));
        clock.tick(start + Duration::from_secs(60));
        assert!(!watch.is_expired());
        for tick in 1..=4 {
            clock.tick(start + Duration::from_secs(60) + TICK * tick);
        }
        assert!(watch.is_expired());
    }

    #[test]
    fn a_dropped_watch_is_forgotten_at_the_next_tick() {
        let start = Instant::now();
        let clock = Clock::new(start);
        drop(clock.watch());
        let kept = clock.watch();
        clock.tick(start);
        assert_eq!(clock.watches.borrow().len(), 1);
        drop(kept);
    }
}
