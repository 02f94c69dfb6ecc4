//! Coarse timers: one tick per worker looks at all deadlines, instead of a timer per request.
//!
//! A timer per request costs more instructions than routing it. Here setting a deadline is one
//! store. The price is precision: a deadline fires up to two [`TICK`]s late, and never early.
//! What a deadline is and what its expiry means is decided in [`super::timeline`] alone.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::timeline::{Millis, Timer};

/// Time between two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(50);

const TICK_MILLIS: Millis = TICK.as_millis() as Millis;

const NEVER: Millis = Millis::MAX;

/// Deadlines kept for later requests; more are freed.
const MAX_SPARE: usize = 1024;

/// The time of a worker, as of its last tick, and the deadlines that depend on it.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    now: Cell<Millis>,
    deadlines: RefCell<Vec<Rc<Deadline>>>,
    /// Those of requests that have ended: the next request takes one over.
    spare: RefCell<Vec<Rc<Deadline>>>,
}

/// The deadline of one connection or one request, and the task to wake when it expires.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Cell<Millis>,
    expired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, now: Cell::new(0), deadlines: RefCell::default(), spare: RefCell::default() }
    }

    /// Time of the last tick.
    pub(crate) fn now(&self) -> Millis {
        self.now.get()
    }

    /// An upper bound of the present: the time of the next tick. A deadline counted from it is
    /// never early.
    pub(crate) fn next_tick(&self) -> Millis {
        self.now.get() + TICK_MILLIS
    }

    /// A deadline that is not set. It is watched until its last other owner drops it, or gives it
    /// back with [`Clock::recycle`].
    pub(crate) fn deadline(&self) -> Rc<Deadline> {
        if let Some(spare) = self.spare.borrow_mut().pop() {
            return spare;
        }
        let deadline =
            Rc::new(Deadline { at: Cell::new(NEVER), expired: Cell::new(false), waker: RefCell::new(None) });
        self.deadlines.borrow_mut().push(Rc::clone(&deadline));
        deadline
    }

    /// Takes back a deadline that nobody waits for any more; its owner must not set it again.
    pub(crate) fn recycle(&self, deadline: &Rc<Deadline>) {
        deadline.set(Timer::Off);
        deadline.waker.take();
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MAX_SPARE {
            spare.push(Rc::clone(deadline));
        }
    }

    /// Moves the time on to `now` and wakes the tasks whose deadline has passed.
    ///
    /// A tick that comes late means that this thread, and so everything under a deadline, stood
    /// still meanwhile: that time is nobody's fault, and all deadlines move on by it.
    pub(crate) fn tick(&self, now: Instant) {
        let now = now.saturating_duration_since(self.start).as_millis() as Millis;
        let stood_still = now.saturating_sub(self.now.get()).saturating_sub(2 * TICK_MILLIS);
        self.now.set(now);
        self.deadlines.borrow_mut().retain(|deadline| {
            let at = deadline.at.get().saturating_add(stood_still);
            deadline.at.set(at);
            if at <= now {
                deadline.expired.set(true);
                deadline.wake();
            }
            Rc::strong_count(deadline) > 1
        });
    }

    /// Wakes all tasks, whatever their deadlines.
    pub(crate) fn wake_all(&self) {
        self.deadlines.borrow().iter().for_each(|deadline| deadline.wake());
    }
}

impl Deadline {
    /// Does what a timeline says.
    pub(crate) fn set(&self, timer: Timer) {
        let at = match timer {
            Timer::Keep => return,
            Timer::Off => NEVER,
            Timer::At(at) => at,
        };
        self.at.set(at);
        self.expired.set(false);
    }

    /// Whether it has passed.
    pub(crate) fn is_expired(&self) -> bool {
        self.expired.get()
    }

    /// Remembers the task to wake.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    /// Wakes the task before.
    pub(crate) fn wake(&self) {
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

    /// Sets a deadline `millis` from now, as a timeline does.
    fn set(clock: &Clock, deadline: &Deadline, millis: Millis) {
        deadline.set(Timer::At(clock.next_tick() + millis));
    }

    #[test]
    fn a_deadline_wakes_its_task_once_it_has_passed_and_not_before() {
        let start = Instant::now();
        let clock = Clock::new(start);
        let woken = Arc::new(Count::default());
        let deadline = clock.deadline();
        deadline.register(&Waker::from(Arc::clone(&woken)));
        // Ticks of the usual pace, and the deadline between two of them.
        set(&clock, &deadline, 70);
        for millis in [50, 100] {
            clock.tick(start + Duration::from_millis(millis));
            assert!(!deadline.is_expired(), "after {millis} ms");
            assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        }
        clock.tick(start + Duration::from_millis(150));
        assert!(deadline.is_expired());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        deadline.set(Timer::Keep);
        assert!(deadline.is_expired());
        deadline.set(Timer::Off);
        assert!(!deadline.is_expired());
    }

    #[test]
    fn time_in_which_the_thread_stood_still_does_not_count() {
        let start = Instant::now();
        let clock = Clock::new(start);
        let deadline = clock.deadline();
        set(&clock, &deadline, 200);
        clock.tick(start + Duration::from_secs(60));
        assert!(!deadline.is_expired());
        for tick in 1..=4 {
            clock.tick(start + Duration::from_secs(60) + TICK * tick);
        }
        assert!(deadline.is_expired());
    }

    #[test]
    fn a_dropped_deadline_is_forgotten_at_the_next_tick() {
        let start = Instant::now();
        let clock = Clock::new(start);
        drop(clock.deadline());
        let kept = clock.deadline();
        clock.tick(start);
        assert_eq!(clock.deadlines.borrow().len(), 1);
        drop(kept);
    }

    #[test]
    fn a_recycled_deadline_is_as_good_as_new() {
        let start = Instant::now();
        let clock = Clock::new(start);
        let woken = Arc::new(Count::default());
        let first = clock.deadline();
        first.register(&Waker::from(Arc::clone(&woken)));
        set(&clock, &first, 0);
        clock.tick(start + TICK);
        assert!(first.is_expired());
        clock.recycle(&first);
        let second = clock.deadline();
        assert!(!second.is_expired());
        clock.wake_all();
        clock.tick(start + TICK * 2);
        assert_eq!((clock.deadlines.borrow().len(), woken.0.load(Ordering::Relaxed)), (1, 1));
    }
}
