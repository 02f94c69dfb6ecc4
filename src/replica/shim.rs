//! The shim: a process between the balancer and another program that runs as a replica.
//!
//! A program that knows nothing of the balancer would outlive it. So the shim waits until its own
//! standard input closes, and then ends the program. Otherwise it is transparent: it passes on SIGTERM
//! and output, and exits with the program's exit code.
//!
//! The program runs in the shim's process group, so that the balancer can kill both if the shim is
//! killed.

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

/// Exit code if the program cannot be run, as in shells.
const CANNOT_RUN: i32 = 127;

/// Time between SIGTERM and SIGKILL once the balancer is gone.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// Time to read the last output of a program that has ended. Only a process that it left behind keeps
/// the pipe open for longer, and the shim must not wait for that.
const LAST_OUTPUT: Duration = Duration::from_millis(200);

/// Runs a program (the first of `words`, the others are its arguments) until it ends. Returns the exit
/// code: that of the program, or 128 + n if signal n killed it, or 127 if it could not be run.
///
/// The outcome of the start is reported on standard output before the program's output.
///
/// # Errors
/// The operating system refuses signals, pipes or the like.
pub async fn run(words: &[OsString]) -> io::Result<i32> {
    own_group();
    // Before the program is started: a SIGTERM in between would end the shim alone.
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
    // Standard output goes through the shim, so that the report is its first line.
    Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// Copies the program's output to our own on a thread (`io::copy` splices between pipes). The receiver
/// completes at the end of the output.
fn hand_on(output: Option<ChildStdout>) -> io::Result<oneshot::Receiver<()>> {
    let (done, wait) = oneshot::channel();
    let Some(output) = output else { return Ok(wait) };
    let mut from = std::fs::File::from(output.into_owned_fd()?);
    let mut to = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    std::thread::Builder::new().name("output".into()).spawn(move || {
        if io::copy(&mut from, &mut to).is_err() {
            // Our output is closed; read on, so that the program does not block on a full pipe.
            let _ = io::copy(&mut from, &mut io::sink());
        }
        drop(done);
    })?;
    Ok(wait)
}

/// Waits for the program's end, and asks it to end after a signal or when the balancer is gone.
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
    // The whole group, because the program may have started others. This ends the shim as well.
    let _ = rustix::process::kill_current_process_group(Signal::KILL);
    Ok(CANNOT_RUN)
}

fn terminate(child: &Child) {
    // `id` is `None` once the program was reaped, so that the id cannot be that of another process.
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
