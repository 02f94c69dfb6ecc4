//! The shim: a process between the balancer and another program that runs as a replica.
//!
//! A program that knows nothing of the balancer would outlive it. So the shim waits until its own
//! standard input closes, and then ends the program. Otherwise it is transparent: it passes SIGTERM on, as
//! the signal that the program knows, and exits with the program's exit code. The program writes to the shim's standard error itself; the
//! shim's standard output has nothing but [`Report`]s.
//!
//! The program runs in the shim's process group, so that the balancer can kill both if the shim is
//! killed. That signal goes to the whole group: the program may be a shell or `npm`, and the server its
//! child. The shim stays until nobody of the group is left, and it reaps what the program leaves behind.

use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::report::Report;
use super::stop::{StopSignal, StopSignals, stdin_closed};

/// Exit code if the program cannot be run, as in shells.
const CANNOT_RUN: i32 = 127;

/// Time between the stop signal and SIGKILL once the balancer is gone.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// Runs a program (the first of `words`, the others are its arguments) until it and its process group
/// have ended; `stop` tells them to end. Returns the exit code: that of the program, or 128 + n if signal n killed it, or 127 if
/// it could not be run.
///
/// The outcome of the start is reported on standard output. So is the end of a program that others of
/// its group outlive.
///
/// # Errors
/// The operating system refuses signals, pipes or the like.
pub async fn run(words: &[OsString], stop: StopSignal) -> io::Result<i32> {
    own_group();
    // Where that is refused, what the program leaves behind is not waited for.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    // Before the program is started: a SIGTERM in between would end the shim alone.
    let mut signals = StopSignals::listen()?;
    let mut ends = signal(SignalKind::child())?;
    // It comes to the shim too, which must live on.
    let _survived = signal(SignalKind::from_raw(stop.number().as_raw()))?;
    let mut group = match spawn(words) {
        Ok(program) => Group::of(program, stop),
        Err(error) => {
            let program = words.first().map_or_else(String::new, |word| word.display().to_string());
            Report::Failed(format!("cannot run '{program}': {error}")).send();
            return Ok(CANNOT_RUN);
        }
    };
    Report::Running(group.program.as_raw_nonzero().get().cast_unsigned()).send();
    let mut orphaned = std::pin::pin!(stdin_closed(true));
    loop {
        if let Some(code) = group.reap() {
            return Ok(code);
        }
        tokio::select! {
            _ = ends.recv() => {}
            () = signals.recv() => group.signalled(),
            () = &mut orphaned => break,
        }
    }
    group.terminate();
    let ended = async {
        while group.reap().is_none() {
            ends.recv().await;
        }
    };
    let _ = timeout(ORPHAN_GRACE, ended).await;
    // The whole group, because the program may have started others. This ends the shim as well.
    let _ = rustix::process::kill_current_process_group(Signal::KILL);
    Ok(CANNOT_RUN)
}

/// Makes the shim the leader of a process group, unless it is one already.
fn own_group() {
    // Fails only for the leader of a session, which leads its group too.
    let _ = rustix::process::setpgid(None, None);
}

fn spawn(words: &[OsString]) -> io::Result<Pid> {
    let (program, args) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let output = Stdio::from(io::stderr());
    let child = Command::new(program).args(args).stdin(Stdio::null()).stdout(output).spawn()?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The program and all others of the shim's process group.
#[derive(Debug)]
struct Group {
    program: Pid,
    /// Exit code of the program, once it has ended.
    code: Option<i32>,
    /// What tells the group to end.
    stop: StopSignal,
    /// Whether the group was sent it.
    terminated: bool,
    /// Whether our own signal to the group is on its way to us.
    echo: bool,
}

impl Group {
    fn of(program: Pid, stop: StopSignal) -> Self {
        Self { program, code: None, stop, terminated: false, echo: false }
    }

    /// Reaps who has ended. Returns the program's exit code if nobody of the group is left.
    fn reap(&mut self) -> Option<i32> {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == self.program {
                self.code = Some(exit_code(status));
            }
        }
        let code = self.code?;
        if !has_others() {
            return Some(code);
        }
        if !self.terminated {
            // The balancer need not wait for the others to replace the program.
            Report::Ended(code).send();
            self.terminate();
        }
        None
    }

    /// SIGTERM or SIGINT arrived: from the balancer, or back from ourselves.
    fn signalled(&mut self) {
        if !std::mem::take(&mut self.echo) {
            self.terminate();
        }
    }

    /// Sends the stop signal to the whole group, the shim included.
    fn terminate(&mut self) {
        // The others come back to nobody.
        self.echo = matches!(self.stop, StopSignal::Term | StopSignal::Int);
        self.terminated = true;
        let _ = rustix::process::kill_current_process_group(self.stop.number());
    }
}

/// Whether a child of the shim is in its group: whose parent has ended is its child too.
fn has_others() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    rustix::process::waitid(WaitId::Pgid(None), options).is_ok()
}

fn exit_code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|n| 128 + n)).unwrap_or(CANNOT_RUN)
}
