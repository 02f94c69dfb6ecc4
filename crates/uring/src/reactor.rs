//! The sockets of a thread and their ring.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::io::ReadBuf;

use crate::ring::Ring;
use crate::socket::{Queue, Socket, Step, operation};

/// Reads in vain before the kernel is called although tasks could go on: one that always has something else
/// to do must not keep data from the others.
const PATIENCE: u32 = 512;

/// How long the last operations may take to end.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    static CURRENT: RefCell<Option<Rc<Reactor>>> = const { RefCell::new(None) };
}

/// What drives the sockets of a thread.
pub(crate) struct Reactor {
    inner: RefCell<Inner>,
    /// Whether there is another turn soon anyway.
    is_back_soon: Cell<bool>,
}

struct Inner {
    queue: Queue,
    sockets: Slab<Socket>,
    /// Reads in vain since the kernel was called.
    in_vain: u32,
    /// Whether the kernel did not take all that was queued.
    is_starved: bool,
    /// Makes the thread go on.
    prod: Option<Waker>,
    /// Kept for its memory.
    wakes: Vec<Waker>,
}

impl Reactor {
    /// Makes one, which is that of this thread from now on.
    pub(crate) fn install() -> io::Result<Rc<Self>> {
        let queue = Queue::new(Ring::new()?);
        let inner = Inner {
            queue,
            sockets: Slab::new(),
            in_vain: 0,
            is_starved: false,
            prod: None,
            wakes: Vec::new(),
        };
        let reactor = Rc::new(Self { inner: RefCell::new(inner), is_back_soon: Cell::new(false) });
        CURRENT.set(Some(Rc::clone(&reactor)));
        Ok(reactor)
    }

    /// That of this thread.
    pub(crate) fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// From now on the thread has none.
    pub(crate) fn uninstall() {
        // Not within the borrow: it may be the last.
        drop(CURRENT.take());
    }

    /// The thread is about to wait. Does what there is to do, and has the event say when there is more.
    pub(crate) fn before_park() {
        CURRENT.with_borrow(|current| {
            let Some(reactor) = current else { return };
            let mut is_back_soon = reactor.turn();
            reactor.tell(true);
            // Some came before the event was on. Who is woken need not be a task that makes the thread go on:
            // this one is.
            let mut inner = reactor.inner.borrow_mut();
            let goes_on =
                if inner.queue.ring.has_work() && !inner.is_starved { inner.prod.clone() } else { None };
            drop(inner);
            if let Some(prod) = goes_on {
                is_back_soon = true;
                prod.wake();
            }
            reactor.is_back_soon.set(is_back_soon);
        });
    }

    /// It has waited, or has not because of what was woken.
    pub(crate) fn after_park() {
        CURRENT.with_borrow(|current| {
            let Some(reactor) = current else { return };
            reactor.tell(false);
            if !reactor.is_back_soon.get() {
                reactor.turn();
            }
        });
    }

    /// Gives the reactor a task of the runtime, which makes the thread go on when it is woken.
    pub(crate) fn set_prod(&self, waker: &Waker) {
        let before = self.inner.borrow_mut().prod.replace(waker.clone());
        drop(before);
    }

    /// Switches the event on or off. It is off while the thread works: its own calls would raise it.
    fn tell(&self, on: bool) {
        self.inner.borrow_mut().queue.ring.tell(on);
    }

    /// Has `event` become readable when there is work while the thread waits.
    pub(crate) fn register_event(&self, event: RawFd) -> io::Result<()> {
        self.tell(false);
        self.inner.borrow_mut().queue.ring.register_event(event)
    }

    /// Has the kernel do what is queued, and takes in what it has done; whether anybody was woken.
    pub(crate) fn turn(&self) -> bool {
        let mut wakes = {
            let mut inner = self.inner.borrow_mut();
            if !inner.queue.ring.has_work() {
                return false;
            }
            inner.turn()
        };
        let has_woken = !wakes.is_empty();
        wakes.drain(..).for_each(Waker::wake);
        self.inner.borrow_mut().wakes = wakes;
        has_woken
    }

    /// Takes `tcp` into its care.
    pub(crate) fn add(&self, tcp: TcpStream) -> usize {
        let mut inner = self.inner.borrow_mut();
        let entry = inner.sockets.vacant_entry();
        let index = entry.key();
        entry.insert(Socket::new(index, tcp));
        index
    }

    pub(crate) fn remove(&self, index: usize) {
        let mut inner = self.inner.borrow_mut();
        let Inner { queue, sockets, .. } = &mut *inner;
        let Some(socket) = sockets.get_mut(index) else { return };
        let wakers = socket.close(queue);
        let over = socket.is_over().then(|| sockets.remove(index));
        drop(inner);
        // They may be the last of their tasks, and those may have sockets.
        drop((wakers, over));
    }

    pub(crate) fn with<R>(&self, index: usize, f: impl FnOnce(&TcpStream) -> io::Result<R>) -> io::Result<R> {
        f(self.inner.borrow().sockets[index].tcp()?)
    }

    pub(crate) fn poll_read(
        &self,
        index: usize,
        cx: &Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (polled, is_impatient) = {
            let mut inner = self.inner.borrow_mut();
            let Inner { queue, sockets, .. } = &mut *inner;
            let polled = sockets[index].poll_read(queue, cx, buf);
            let is_pending = polled.is_pending();
            (polled, inner.was_in_vain(is_pending))
        };
        if is_impatient {
            self.turn();
        }
        polled
    }

    pub(crate) fn poll_peek(
        &self,
        index: usize,
        cx: &Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.inner.borrow_mut();
        let Inner { queue, sockets, .. } = &mut *inner;
        sockets[index].poll_peek(queue, cx, space)
    }

    pub(crate) fn poll_write(
        &self,
        index: usize,
        cx: &Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stepwise(|sockets, queue| sockets[index].poll_write(queue, cx, bufs))
    }

    pub(crate) fn poll_flush(&self, index: usize, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.inner.borrow_mut().sockets[index].poll_flush(cx)
    }

    pub(crate) fn poll_shutdown(&self, index: usize, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.stepwise(|sockets, _| sockets[index].poll_shutdown(cx))
    }

    /// Does what may need that the kernel is called in between.
    fn stepwise<T>(
        &self,
        mut step: impl FnMut(&mut Slab<Socket>, &mut Queue) -> Step<Poll<io::Result<T>>>,
    ) -> Poll<io::Result<T>> {
        for _ in 0..2 {
            {
                let mut inner = self.inner.borrow_mut();
                let Inner { queue, sockets, .. } = &mut *inner;
                if let Step::Done(polled) = step(sockets, queue) {
                    return polled;
                }
            }
            self.turn();
        }
        // A turn takes away what the kernel has not seen, unless it has no memory for it.
        Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()))
    }

    /// How many sockets there are, also of those that are being closed, and how many buffers hold data.
    #[cfg(test)]
    pub(crate) fn load(&self) -> (usize, usize) {
        let mut inner = self.inner.borrow_mut();
        (inner.sockets.len(), inner.queue.ring.buffers().out())
    }

    /// The kernel seems to say that there is work, until there has been some.
    #[cfg(test)]
    pub(crate) fn tell_falsely(&self) {
        self.inner.borrow_mut().queue.ring.is_told_falsely = true;
    }
}

impl Inner {
    fn was_in_vain(&mut self, is_pending: bool) -> bool {
        self.in_vain += u32::from(is_pending);
        self.in_vain > PATIENCE
    }

    fn turn(&mut self) -> Vec<Waker> {
        self.in_vain = 0;
        let mut wakes = std::mem::take(&mut self.wakes);
        loop {
            let is_taken = self.queue.ring.enter().is_ok();
            self.is_starved = !is_taken;
            let has_come = self.take_in(&mut wakes);
            if is_taken {
                while let Some(index) = self.queue.sends.pop() {
                    if let Some(socket) = self.sockets.get_mut(index) {
                        socket.submitted(&mut self.queue, &mut wakes);
                    }
                }
            }
            // The kernel does a limited number of things in one call. If somebody was woken, the thread comes
            // back before it waits.
            if !is_taken || !wakes.is_empty() || !self.queue.ring.has_work() {
                return wakes;
            }
            if !has_come && !self.queue.ring.has_entries() {
                self.queue.ring.clear();
            }
        }
    }

    /// Takes in what the kernel has done; whether there was anything.
    fn take_in(&mut self, wakes: &mut Vec<Waker>) -> bool {
        let mut has_come = false;
        while let Some(completion) = self.queue.ring.next() {
            has_come = true;
            let (index, kind) = operation(completion.user_data);
            let Some(socket) = self.sockets.get_mut(index) else { continue };
            socket.complete(kind, completion, &mut self.queue, wakes);
            if socket.is_over() {
                self.sockets.remove(index);
            }
        }
        has_come
    }
}

impl Drop for Inner {
    /// All streams are gone, and their operations are cancelled: waits until the kernel has ended them.
    fn drop(&mut self) {
        let began = Instant::now();
        while !self.sockets.is_empty() || self.queue.ring.has_work() {
            self.turn();
            if began.elapsed() > LAST_PATIENCE {
                // The kernel may still use their memory.
                std::mem::forget(std::mem::take(&mut self.sockets));
                self.queue.ring.leak_buffers();
                return;
            }
        }
    }
}
