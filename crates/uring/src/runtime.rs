//! tokio's runtime of one thread, with a ring that is driven where the thread would wait.
//!
//! tokio calls a hook before it waits and one behind that. In the first, what tasks have queued goes to the
//! kernel, and tasks are woken by what it has done. If there are such, tokio does not wait. Otherwise it
//! waits in epoll, to which an event of the ring belongs. Nobody reads the event: that it was raised again is
//! enough to end the wait.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::task::Poll;

use rustix::event::{EventfdFlags, eventfd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use crate::reactor::Reactor;
use crate::ring::Ring;

/// Polls of tasks before tokio looks at epoll although there are more to poll. Each look is a system call.
const EVENT_INTERVAL: u32 = 256;

/// Whether the kernel lets this process have a ring.
///
/// # Errors
/// What the kernel says: `ENOSYS` or `EPERM` where it is switched off, as in most containers, and `EINVAL`
/// before Linux 6.1.
pub fn is_available() -> io::Result<()> {
    Ring::new().map(drop)
}

/// A runtime of one thread with a ring. It stays on the thread that made it.
pub struct Runtime {
    /// In the order in which they are to be dropped: tasks have streams, and streams are closed by the ring.
    watch: Option<AsyncFd<OwnedFd>>,
    tokio: Option<LocalRuntime>,
    reactor: Rc<Reactor>,
}

impl Runtime {
    /// Makes one for this thread.
    ///
    /// # Errors
    /// See [`is_available`]; or the thread has one already, or tokio's cannot be made.
    pub fn new() -> io::Result<Self> {
        if Reactor::current().is_some() {
            return Err(io::Error::other("this thread has a ring already"));
        }
        let reactor = Reactor::install()?;
        let mut runtime = Self { watch: None, tokio: None, reactor };
        let tokio = Builder::new_current_thread()
            .enable_all()
            .event_interval(EVENT_INTERVAL)
            .on_thread_park(Reactor::before_park)
            .on_thread_unpark(Reactor::after_park)
            .build_local(LocalOptions::default())?;
        let entered = tokio.enter();
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        runtime.reactor.register_event(event.as_raw_fd())?;
        // SAFETY: an `OwnedFd` is open, and stays the same, until it drops.
        let watch = unsafe { AsyncFd::register_with_interest(event, Interest::READABLE) };
        runtime.watch = Some(watch.map_err(io::Error::from)?);
        drop(entered);
        runtime.tokio = Some(tokio);
        Ok(runtime)
    }

    /// Runs a future to its end, and meanwhile the tasks that were spawned.
    ///
    /// # Panics
    /// If it is called within itself.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let tokio = self.tokio.as_ref().expect("until it drops");
        let reactor = Rc::clone(&self.reactor);
        let prod = tokio.spawn_local(poll_fn(move |cx| {
            reactor.set_prod(cx.waker());
            Poll::<()>::Pending
        }));
        let output = tokio.block_on(future);
        prod.abort();
        output
    }

    #[cfg(test)]
    pub(crate) fn load(&self) -> (usize, usize) {
        self.reactor.load()
    }

    #[cfg(test)]
    pub(crate) fn tell_falsely(&self) {
        self.reactor.tell_falsely();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.watch = None;
        self.tokio = None;
        Reactor::uninstall();
    }
}
