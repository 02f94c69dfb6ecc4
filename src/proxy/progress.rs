//! Where a client's connection is between two requests, and its deadline.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::clock::Watch;
use crate::listen::TargetGuard;

/// What a connection waits for. Decides what an expired deadline means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The first byte of a request.
    Idle,
    /// The rest of its head.
    Head,
    /// An answer, from its head to its last byte: those who make it look after the deadline.
    Busy,
}

/// Stage and deadline of a connection.
#[derive(Debug)]
pub(crate) struct Progress {
    watch: Rc<Watch>,
    stage: Cell<Stage>,
    write_blocked: Cell<bool>,
    target: RefCell<TargetGuard>,
    guards_target: bool,
    limits: Limits,
}

/// The time limits of a client's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) head: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) body: Duration,
}

impl Progress {
    /// `guards_target`: whether anything is answered here by its path.
    pub(crate) fn new(watch: Rc<Watch>, limits: Limits, guards_target: bool) -> Self {
        // A new connection has the time of a head, not that of keep-alive: nobody connects to
        // say nothing.
        watch.set(limits.head);
        Self {
            watch,
            stage: Cell::new(Stage::Idle),
            write_blocked: Cell::new(false),
            target: RefCell::default(),
            guards_target,
            limits,
        }
    }

    /// The deadline of whoever makes the answer.
    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Bytes came from the client.
    pub(crate) fn bytes_read(&self, bytes: &[u8]) {
        match self.stage.get() {
            Stage::Idle => {
                self.stage.set(Stage::Head);
                // Set once: bytes that trickle in do not extend it.
                self.watch.set(self.limits.head);
            }
            // In the same read as the end of a body there may be the head of another request.
            Stage::Head | Stage::Busy => {}
        }
        if self.guards_target {
            self.target.borrow_mut().inspect(bytes);
        }
    }

    /// The client does not read, or reads again.
    pub(crate) fn write_blocked(&self, blocked: bool) {
        self.write_blocked.set(blocked);
        self.watch.set(if self.stage.get() == Stage::Busy {
            self.limits.body
        } else {
            self.limits.keep_alive
        });
    }

    /// A head is complete.
    pub(crate) fn request_began(&self) {
        self.stage.set(Stage::Busy);
        self.watch.clear();
    }

    /// Its answer is out of our hands.
    pub(crate) fn request_ended(&self) {
        self.stage.set(Stage::Idle);
        self.watch.set(self.limits.keep_alive);
    }

    /// Whether a request is being answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.stage.get() == Stage::Busy
    }

    /// Whether the client has not begun another request.
    pub(crate) fn is_idle(&self) -> bool {
        self.stage.get() == Stage::Idle
    }

    /// A part of a body has come; the next one has its time from now on.
    pub(crate) fn allow_body_pause(&self) {
        if self.is_busy() {
            self.watch.set(self.limits.body);
        }
    }

    /// Whether a request line came that is none, see [`TargetGuard`].
    pub(crate) fn is_target_flawed(&self) -> bool {
        self.target.borrow().is_flawed()
    }

    /// Whether the client, and not a replica, has let the deadline pass.
    pub(crate) fn is_overdue(&self) -> bool {
        self.watch.is_expired() && (self.stage.get() != Stage::Busy || self.write_blocked.get())
    }
}
