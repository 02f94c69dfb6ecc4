//! The queue to the kernel and back. Knows nothing of sockets.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{Ordering, fence};

use io_uring::{EnterFlags, IoUring, opcode, squeue};

use crate::buffers::Buffers;

/// Operations that are handed over at once, without a call in between.
const SUBMISSIONS: u32 = 256;

/// Results that fit. More are kept by the kernel until there is room.
const COMPLETIONS: u32 = 4096;

/// The operations of [`Ring::clear`], which are nobody's.
const CLEAR: u64 = u64::MAX;

/// A ring with its buffers, for the thread that made it.
pub(crate) struct Ring {
    io: IoUring,
    buffers: Option<Buffers>,
    /// What did not fit into the queue, oldest first.
    backlog: VecDeque<squeue::Entry>,
    /// Has [`Ring::is_told`] say so until work has been done, as the kernel may.
    #[cfg(test)]
    pub(crate) is_told_falsely: bool,
}

/// What came of an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) user_data: u64,
    pub(crate) result: i32,
    /// The buffer that holds what was received.
    pub(crate) buffer: Option<u16>,
    /// Whether the socket has more.
    pub(crate) has_more: bool,
}

impl Ring {
    /// # Errors
    /// The kernel has none for this process, or is older than Linux 6.1.
    pub(crate) fn new() -> io::Result<Self> {
        // Work is done in `enter` alone, and so nothing is received in between: `socket` relies on it.
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .setup_clamp()
            .build(SUBMISSIONS)?;
        let buffers = Buffers::register(&ring)?;
        Ok(Self {
            io: ring,
            buffers: Some(buffers),
            backlog: VecDeque::new(),
            #[cfg(test)]
            is_told_falsely: false,
        })
    }

    fn ring(&mut self) -> &mut IoUring {
        &mut self.io
    }

    pub(crate) fn buffers(&mut self) -> &mut Buffers {
        self.buffers.as_mut().expect("until it drops")
    }

    /// Queues an operation.
    ///
    /// # Safety
    /// What it points to must be valid until its completion has come.
    pub(crate) unsafe fn push(&mut self, entry: squeue::Entry) {
        if self.backlog.is_empty() {
            // SAFETY: it is the caller's promise.
            if unsafe { self.ring().submission().push(&entry) }.is_ok() {
                return;
            }
            let _ = self.enter();
        }
        self.backlog.push_back(entry);
    }

    /// Whether there is anything to be handed over, done or reported.
    pub(crate) fn has_work(&mut self) -> bool {
        self.has_entries() || self.is_told()
    }

    /// Whether there is anything to be handed over or reported.
    pub(crate) fn has_entries(&mut self) -> bool {
        if !self.backlog.is_empty() {
            return true;
        }
        let ring = self.ring();
        let queue = ring.submission();
        let has_entries = !queue.is_empty() || queue.cq_overflow();
        drop(queue);
        has_entries || !ring.completion().is_empty()
    }

    /// Whether the kernel says that there is anything to be done. That may be false, see [`Ring::clear`].
    fn is_told(&mut self) -> bool {
        #[cfg(test)]
        if self.is_told_falsely {
            return true;
        }
        self.ring().submission().taskrun()
    }

    /// Has what the kernel says become true with the next call. It queues work, and then raises the flag that says so.
    /// A call in between does the work, and the flag stays up until there is other work, perhaps for ever. This is
    /// such: the second of two linked operations is queued behind all other work, and doing it lowers the flag.
    pub(crate) fn clear(&mut self) {
        for flags in [squeue::Flags::IO_LINK, squeue::Flags::empty()] {
            // SAFETY: it points to nothing.
            unsafe { self.push(opcode::Nop::new().build().flags(flags).user_data(CLEAR)) };
        }
    }

    /// Hands over what is queued, and has the kernel do what it can do now.
    ///
    /// # Errors
    /// The kernel did not take all, as when it has no memory. What it did not take stays queued.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        loop {
            self.refill();
            let ring = self.ring();
            let queued = ring.submission().len() as u32;
            let flags = EnterFlags::GETEVENTS.bits();
            // SAFETY: no argument, and no more operations than are queued.
            let entered = unsafe { ring.submitter().enter::<()>(queued, 0, flags, None) };
            match entered {
                Ok(_) if self.backlog.is_empty() => return Ok(()),
                Ok(0) => return Err(io::ErrorKind::WouldBlock.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves what waits into the queue.
    fn refill(&mut self) {
        while let Some(entry) = self.backlog.front().cloned() {
            // SAFETY: the promise of whoever pushed it.
            if unsafe { self.ring().submission().push(&entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// The next result, if there is one.
    pub(crate) fn next(&mut self) -> Option<Completion> {
        let entry = self.ring().completion().next()?;
        #[cfg(test)]
        {
            self.is_told_falsely &= entry.user_data() != CLEAR;
        }
        Some(Completion {
            user_data: entry.user_data(),
            result: entry.result(),
            buffer: io_uring::cqueue::buffer_select(entry.flags()),
            has_more: io_uring::cqueue::sock_nonempty(entry.flags()),
        })
    }

    /// From now on `event` becomes readable when there is work, unless that is switched off by
    /// [`Ring::tell`]. The descriptor of the ring itself does not: work that waits for `enter` is not seen on it.
    pub(crate) fn register_event(&mut self, event: RawFd) -> io::Result<()> {
        self.ring().submitter().register_eventfd(event)
    }

    /// Switches it on or off. After it was switched on, [`Ring::has_work`] says whether some came before.
    pub(crate) fn tell(&mut self, on: bool) {
        let completions = self.ring().completion();
        if on {
            completions.enable_eventfd();
            // The kernel marks its work before it looks whether it is to tell; here it is the other way.
            fence(Ordering::SeqCst);
        } else {
            completions.disable_eventfd();
        }
    }

    /// Leaves the memory to the kernel, which may still write to it.
    pub(crate) fn leak_buffers(&mut self) {
        std::mem::forget(self.buffers.take());
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(buffers) = self.buffers.take()
            && self.io.submitter().unregister_buf_ring(crate::buffers::GROUP).is_err()
        {
            std::mem::forget(buffers);
        }
    }
}
