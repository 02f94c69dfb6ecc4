//! Keeps hyper from waking the task of a connection for nothing. Knows nothing of requests.
//!
//! Whoever takes a part of a body out of hyper's hands wakes the task that reads its connection: there
//! is room for the next part. Behind the last part there is no next one. The task has gone on already
//! when it handed that one over; it would look at everything once more, for a thousand instructions, and
//! find nothing to do. So the task polls its connection with a waker of ours ([`QuietWaker`]), and a wake
//! that comes of taking the last part is dropped ([`poll_frame`]). Any other goes to the task.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use http_body::{Body, Frame};

thread_local! {
    /// Whether a part of a body is being taken on this thread.
    static IS_TAKING: Cell<bool> = const { Cell::new(false) };
    /// The task to wake when it is taken.
    static HELD: Cell<Option<Waker>> = const { Cell::new(None) };
}

/// Wakes a task, but not while a part of a body is being taken.
struct Holding(Waker);

impl Wake for Holding {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if IS_TAKING.get() {
            HELD.set(Some(self.0.clone()));
        } else {
            self.0.wake_by_ref();
        }
    }
}

/// What a task polls its connection with.
#[derive(Debug)]
pub(crate) struct QuietWaker {
    task: Waker,
    /// Wakes it, with exceptions.
    ours: Waker,
}

impl Default for QuietWaker {
    fn default() -> Self {
        Self { task: Waker::noop().clone(), ours: Waker::noop().clone() }
    }
}

impl QuietWaker {
    /// The waker for what the task of `cx` polls.
    #[inline]
    pub(crate) fn of(&mut self, cx: &Context<'_>) -> &Waker {
        if !self.task.will_wake(cx.waker()) {
            self.task.clone_from(cx.waker());
            self.ours = Waker::from(Arc::new(Holding(self.task.clone())));
        }
        &self.ours
    }
}

/// Ends the taking, also by a panic: nothing may be held on this thread then.
struct Taking;

impl Taking {
    fn begin() -> Self {
        IS_TAKING.set(true);
        Self
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        IS_TAKING.set(false);
    }
}

/// What comes of asking a body for its next part.
type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

/// Takes the next part of a body that hyper reads. If it is the last one, the task that reads it is not
/// woken for it.
pub(crate) fn poll_frame<B: Body + ?Sized>(mut body: Pin<&mut B>, cx: &mut Context<'_>) -> Polled<B> {
    let taking = Taking::begin();
    let polled = body.as_mut().poll_frame(cx);
    drop(taking);
    if let Some(held) = HELD.take() {
        let is_last = matches!(polled, Poll::Ready(Some(Ok(_)))) && body.is_end_stream();
        if !is_last {
            held.wake();
        }
    }
    polled
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A body of so many parts that wakes its reader whenever one is taken.
    struct Parts(usize, Waker);

    impl Body for Parts {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.1.wake_by_ref();
            self.0 = self.0.checked_sub(1).expect("there is a part");
            Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
        }

        fn is_end_stream(&self) -> bool {
            self.0 == 0
        }
    }

    #[test]
    fn the_reader_is_woken_for_each_part_but_the_last() {
        let count = Arc::<Count>::default();
        let task = Waker::from(Arc::clone(&count));
        let mut quiet = QuietWaker::default();
        let mut parts = Parts(3, quiet.of(&Context::from_waker(&task)).clone());
        let woken = || count.0.load(Ordering::Relaxed);
        let mut cx = Context::from_waker(Waker::noop());
        for expected in [1, 2, 2] {
            assert!(poll_frame(Pin::new(&mut parts), &mut cx).is_ready());
            assert_eq!(woken(), expected);
        }
        // For any other reason it is woken at once.
        parts.1.wake_by_ref();
        assert_eq!(woken(), 3);
        parts.1.wake();
        assert_eq!(woken(), 4);
    }

    #[test]
    fn a_panic_holds_nothing_back() {
        let count = Arc::<Count>::default();
        let task = Waker::from(Arc::clone(&count));
        let mut quiet = QuietWaker::default();
        let waker = quiet.of(&Context::from_waker(&task)).clone();
        let mut parts = Parts(0, Waker::noop().clone());
        let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            poll_frame(Pin::new(&mut parts), &mut Context::from_waker(Waker::noop()))
        }));
        assert!(taken.is_err());
        waker.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_task_that_moves_is_still_woken() {
        let (first, second) = (Arc::<Count>::default(), Arc::<Count>::default());
        let mut quiet = QuietWaker::default();
        for count in [&first, &second, &second] {
            quiet.of(&Context::from_waker(&Waker::from(Arc::clone(count)))).wake_by_ref();
        }
        let woken = [&first, &second].map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(woken, [1, 2]);
    }
}
