//! How the command ends: exit codes, and what is said on the way out.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit codes, after `sysexits.h` where it has one. Listed in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success, also after a stop that was asked for.
    Ok = 0,
    /// The answer is no: what was asked is not well (containers know no other code for that), the
    /// balancer refuses, or an experiment found something that must not be.
    Negative = 1,
    /// The command line cannot be understood.
    Usage = 64,
    /// Something outside is not available, such as an address that is in use.
    Unavailable = 69,
    /// An error of ringherd itself.
    Internal = 70,
    /// Output could not be written.
    Output = 74,
    /// The configuration has problems.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a subcommand ends without success: what the user is told, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// Ends with `exit` and `message`, which needs neither a prefix nor a newline at the end.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

/// Tells the user of a failure, and returns the exit code.
pub fn finish(result: Result<ExitCode, Failure>) -> ExitCode {
    let Failure { exit, message } = match result {
        Ok(code) => return code,
        Err(failure) => failure,
    };
    // There is nobody left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "ringherd: {}", message.trim_end());
    exit.into()
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Output, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
