//! The process group of a child: all its processes have to be gone when the replica is.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Child;

/// The process group of a child, killed on drop.
///
/// A group keeps its id while it has members, and the kernel does not reuse ids soon. So a group that
/// is killed right after its leader was reaped is ours or empty.
#[derive(Debug)]
pub(super) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group that a child just spawned leads.
    pub(super) fn led_by(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    /// Sends SIGTERM to the leader. The shim passes it on to the whole group; sent to the group by us,
    /// it would come twice.
    pub(super) fn terminate_leader(&self) {
        if let Some(leader) = self.0 {
            let _ = kill_process(leader, Signal::TERM);
        }
    }

    /// Whether its leader was not reaped yet.
    pub(super) fn exists(&self) -> bool {
        self.0.is_some()
    }

    /// Sends SIGKILL to all processes of the group.
    pub(super) fn kill(&self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }

    /// The group is gone, and its id may be reused: sends no signals to it any more.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}
