//! The thread that writes lines, and what it shares with those who hand them over.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;

use super::sink::Sink;

/// What both sides know.
#[derive(Debug, Default)]
pub(super) struct Shared {
    reopen: AtomicBool,
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Shared {
    /// Takes room for a line of `bytes`; without room below `limit` the line is lost.
    pub(super) fn enter(&self, bytes: usize, limit: usize) -> bool {
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > limit {
            self.refuse(bytes);
            return false;
        }
        true
    }

    /// A line that had room is not handed over after all.
    pub(super) fn refuse(&self, bytes: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn ask_reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Writes lines until nobody can hand any over.
pub(super) fn run(mut sink: Sink, lines: &Receiver<String>, shared: &Shared) {
    for line in lines {
        if shared.reopen.swap(false, Ordering::Relaxed) {
            sink.reopen();
        }
        if !sink.write(line.as_bytes()) {
            shared.failed.fetch_add(1, Ordering::Relaxed);
        }
        shared.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
    }
}
