//! Runs any other program as a replica: the process between the balancer and that program.
//!
//! A program that knows nothing of the balancer would outlive it. The shim waits for the end of
//! its own standard input in the program's place, and then ends the program. For the rest it is
//! transparent: SIGTERM is handed on, output too, and it ends as the program ends.
//!
//! The program runs in the shim's process group, so that the balancer can end both through the
//! group should the shim itself be killed.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::report::Report;
use super::stop::{StopSignals, stdin_closed};

/// Exit code when the program cannot be run, as shells have it.
const CANNOT_RUN: i32 = 127;

/// Time a program has to end after SIGTERM once the balancer is gone.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// Time for the last output of a program that has ended. Only a program it started and left
/// behind keeps the pipe open for longer, and the end must not wait for that one.
const LAST_OUTPUT: Duration = Duration::from_millis(200);

/// Runs a program, the first of `words`, with the others as its arguments, to its end. Returns
/// the exit code to end with: that of the program, or 128 + n if signal n killed it, or 127 if
/// it could not be run.
///
/// The outcome of the start is reported on standard output before anything the program prints.
///
/// # Errors
/// If the system refuses what the shim itself needs.
pub async fn run(words: &[OsString]) -> io::Result<i32> {
    own_group();
    // Before the program exists: a SIGTERM in between would leave it alone.
    let mut signals = StopSignals::listen()?;
    let mut child = match spawn(words) {
        Ok(child) => child,
        Err(error) => {
            let program = words.first().map_or_else(String::new, |word| word.display().to_string());
            Report::Failed(format!("cannot run '{program}': {error}; check --replica-command")).send();
            return Ok(CANNOT_RUN);
        }
    };
    Report::Running(child.id().unwrap_or_default()).send();
    let handed_on = hand_on(child.stdout.take())?;
    let code = supervise(&mut child, &mut signals).await?;
    let _ = timeout(LAST_OUTPUT, handed_on).await;
    Ok(code)
}

/// Makes the shim the leader of a process group, unless it is one already.
fn own_group() {
    // Fails only for the leader of a session, which leads its group too.
    let _ = rustix::process::setpgid(None, None);
}

fn spawn(words: &[OsString]) -> io::Result<Child> {
    let (program, args) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    // Standard output goes through the shim so that the report is the first line of it.
    Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// Copies the program's output to our own, on a thread (`io::copy` splices pipe to pipe). The
/// receiver resolves at the end of it.
fn hand_on(output: Option<ChildStdout>) -> io::Result<oneshot::Receiver<()>> {
    let (done, wait) = oneshot::channel();
    let Some(output) = output else { return Ok(wait) };
    let mut from = std::fs::File::from(output.into_owned_fd()?);
    let mut to = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    std::thread::Builder::new().name("output".into()).spawn(move || {
        if io::copy(&mut from, &mut to).is_err() {
            // Nobody reads any more; keep the program from blocking on a full pipe.
            let _ = io::copy(&mut from, &mut io::sink());
        }
        drop(done);
    })?;
    Ok(wait)
}

/// Waits for the program's end, asking for it when told to.
async fn supervise(child: &mut Child, signals: &mut StopSignals) -> io::Result<i32> {
    let mut orphaned = std::pin::pin!(stdin_closed(true));
    loop {
        tokio::select! {
            status = child.wait() => return status.map(exit_code),
            () = signals.recv() => terminate(child),
            () = &mut orphaned => break,
        }
    }
    terminate(child);
    let _ = timeout(ORPHAN_GRACE, child.wait()).await;
    // Also what the program may have started. This ends the shim as well; nobody asks how.
    let _ = rustix::process::kill_current_process_group(Signal::KILL);
    Ok(CANNOT_RUN)
}

fn terminate(child: &Child) {
    // `id` is `None` once the program was waited for, so its id cannot be another's by now.
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(CANNOT_RUN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_shells() {
        assert_eq!(exit_code(ExitStatus::from_raw(0)), 0);
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
    }
}
