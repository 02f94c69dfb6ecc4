//! Reaping of what replicas leave behind.
//!
//! A process whose parent has ended becomes a child of the next ancestor that takes such processes in:
//! of the first process of a container, or of a *child subreaper*. If nobody waits for it at its end, it
//! stays a zombie, and a container's limit of processes fills up. The balancer is often the former, and
//! makes itself the latter.
//!
//! The children that this module's parent starts are waited for by tokio, and their exit status must
//! not be taken away. So each of them is registered by the lock under which it is spawned, and only
//! others are reaped.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, getpid, set_child_subreaper, waitid, waitpid,
};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// Pause before another look while a child has ended that is not ours to reap.
const PAUSE: Duration = Duration::from_millis(50);

/// Children that are waited for elsewhere. Static, as children belong to the whole process.
static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// A child that is waited for elsewhere, as long as this lives.
#[derive(Debug)]
pub(super) struct Registration(Option<i32>);

/// Spawns a child that is not reaped here.
pub(super) fn spawn_own(command: &mut Command) -> io::Result<(Child, Registration)> {
    let mut own = lock();
    let child = command.spawn()?;
    let pid = child.id().map(u32::cast_signed);
    own.extend(pid);
    Ok((child, Registration(pid)))
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            lock().remove(&pid);
        }
    }
}

/// Takes in processes whose parent has ended, from now on, and reaps them while the future is polled.
/// It reaps every child of this process that was not started by the process runtime; so it is for a
/// program that starts no others, and whose main thread lives as long as it does.
///
/// # Errors
/// The operating system refuses the signal.
pub fn reap_orphans() -> io::Result<impl Future<Output = ()>> {
    let mut ends = signal(SignalKind::child())?;
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        tracing::warn!(%error, "what replicas leave behind is left to another process (PR_SET_CHILD_SUBREAPER)");
    }
    Ok(async move {
        loop {
            match reap() {
                Ok(true) => tokio::time::sleep(PAUSE).await,
                Ok(false) if ends.recv().await.is_some() => {}
                Ok(false) => return,
                Err(error) => {
                    return tracing::warn!(%error, "cannot list child processes: what replicas leave behind stays as zombies");
                }
            }
        }
    })
}

/// Reaps all that has ended and is not ours. Returns whether there may be more: one of ours that tokio
/// has not reaped yet, or one that the kernel has not listed because others ended meanwhile.
fn reap() -> io::Result<bool> {
    let own = lock();
    if !has_ended_child() {
        return Ok(false);
    }
    // The main thread gets the orphans.
    let listed = std::fs::read_to_string(format!("/proc/self/task/{}/children", getpid()))?;
    let pids = listed.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
    for pid in pids.filter(|pid| !own.contains(pid)) {
        if let Ok(Some(_)) = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG) {
            tracing::debug!(pid, "reaped an orphan");
        }
    }
    Ok(has_ended_child())
}

fn has_ended_child() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // An error says that there is no child at all.
    waitid(WaitId::All, options).is_ok_and(|ended| ended.is_some())
}

/// Locks the list. If a thread panicked with the lock, the list would still be consistent.
fn lock() -> MutexGuard<'static, BTreeSet<i32>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}
