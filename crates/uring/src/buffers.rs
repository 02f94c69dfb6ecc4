//! The memory that the kernel receives into: buffers that it takes from a ring as data comes, and gets
//! back when the data has been read. So who waits for data has no buffer.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// Bytes of one: heads and small bodies whole. The rest of what is larger is read without it.
pub(crate) const SIZE: usize = 4096;

/// How many there are, a power of two. Where all are in use, data stays in the socket and is read directly.
pub(crate) const COUNT: u16 = 256;

/// The name of the group, the only one of a ring.
pub(crate) const GROUP: u16 = 0;

const PAGE: usize = 4096;

/// The buffers of one ring.
pub(crate) struct Buffers {
    /// `COUNT` entries that the kernel reads, and behind them, on pages of their own, the buffers.
    memory: NonNull<u8>,
    /// Where the next one goes that is given to the kernel.
    tail: u16,
    /// How many the kernel does not have.
    out: u16,
}

/// A buffer with data, until it is given back.
#[derive(Debug)]
pub(crate) struct Held {
    id: u16,
    start: usize,
    end: usize,
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn advance(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
    }
}

impl Buffers {
    fn layout() -> Layout {
        let entries = (usize::from(COUNT) * size_of::<BufRingEntry>()).next_multiple_of(PAGE);
        Layout::from_size_align(entries + usize::from(COUNT) * SIZE, PAGE).expect("a few hundred KiB")
    }

    const fn first() -> usize {
        (COUNT as usize * size_of::<BufRingEntry>()).next_multiple_of(PAGE)
    }

    /// Makes them and gives all to the kernel.
    pub(crate) fn register(ring: &IoUring) -> io::Result<Self> {
        let layout = Self::layout();
        // SAFETY: the layout is not of size zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        let mut buffers = Self { memory, tail: 0, out: COUNT };
        // SAFETY: the memory is aligned to a page, has `COUNT` entries, and lives until `Buffers` drops, which
        // is behind `unregister`: see `Ring::drop`.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(memory.as_ptr() as u64, COUNT, GROUP, 0)?;
        };
        for id in 0..COUNT {
            buffers.give_back(Held { id, start: 0, end: 0 });
        }
        Ok(buffers)
    }

    /// The kernel has filled buffer `id` with `length` bytes. To be called once for each completion that
    /// names one.
    pub(crate) fn take(&mut self, id: u16, length: usize) -> Held {
        assert!(id < COUNT && length <= SIZE, "the kernel named a buffer that there is not");
        self.out += 1;
        Held { id, start: 0, end: length }
    }

    /// The data of a buffer.
    pub(crate) fn data<'a>(&'a self, held: &'a Held) -> &'a [u8] {
        let offset = Self::first() + usize::from(held.id) * SIZE + held.start;
        // SAFETY: `take` has checked that the bytes are in the memory; they were zeroed at first, so they are
        // initialised.
        let start = unsafe { self.memory.as_ptr().add(offset) };
        // SAFETY: as above. The kernel does not write to a buffer that it has not got back: `Held` is made
        // from its completion, is not `Clone`, and is consumed by `give_back`.
        unsafe { std::slice::from_raw_parts(start, held.len()) }
    }

    /// Lets the kernel have a buffer again.
    #[expect(clippy::needless_pass_by_value, reason = "nobody may read it from now on")]
    pub(crate) fn give_back(&mut self, held: Held) {
        let Held { id, .. } = held;
        let at = usize::from(self.tail & (COUNT - 1));
        let buffer = Self::first() + usize::from(id) * SIZE;
        // SAFETY: `at` is less than the number of entries.
        let entry = unsafe { self.memory.cast::<BufRingEntry>().as_ptr().add(at) };
        // SAFETY: the offset is that of a buffer, which is within the memory.
        let address = unsafe { self.memory.as_ptr().add(buffer) };
        // SAFETY: the entry is initialised, since the memory was zeroed. The kernel reads it only when the
        // tail has passed it, and no entry at a tail is still to be read: there are no more buffers than
        // entries. No other reference to it exists.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address as u64);
        entry.set_len(SIZE as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        self.out -= 1;
        // SAFETY: the first entry is where the tail is, and is initialised.
        let tail = unsafe { BufRingEntry::tail(self.memory.cast::<BufRingEntry>().as_ptr()) };
        // SAFETY: it is aligned and valid, and both sides access it atomically from the registration on.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Whoever sees the tail sees the entry.
        tail.store(self.tail, Ordering::Release);
    }

    /// How many hold data.
    #[cfg(test)]
    pub(crate) fn out(&self) -> usize {
        usize::from(self.out)
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and the kernel has forgotten it.
        unsafe { dealloc(self.memory.as_ptr(), Self::layout()) };
    }
}
