//! The process group of a child: what has to be gone when the replica is.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Child;

/// The process group of a child, killed on drop.
///
/// A group keeps its id while it has members, and ids are given out in turn, so one killed right
/// after its leader was waited for is ours or empty.
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

impl Group {
    /// The group that a child just spawned leads.
    pub(super) fn led_by(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    /// SIGTERM to the leader alone: it tells its own children, if it has any.
    pub(super) fn ask_leader(&self) {
        if let Some(leader) = self.0 {
            let _ = kill_process(leader, Signal::TERM);
        }
    }

    /// SIGKILL to all.
    pub(super) fn kill(&self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }

    /// The group is known to be gone; its id may become another's.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
