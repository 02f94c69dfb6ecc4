//! Exit codes and error messages of the command.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit codes, after `sysexits.h` where it has one. Listed in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success, also after a requested stop.
    Ok = 0,
    /// A negative result: a health check failed (containers know no other code for that), the balancer
    /// refused a request, or an experiment found a fault.
    Negative = 1,
    /// A deploy was taken back, and the old revision is on all numbers.
    Reverted = 3,
    /// The command line cannot be understood.
    Usage = 64,
    /// Something outside is not available, such as an address that is in use.
    Unavailable = 69,
    /// An error of ringherd itself.
    Internal = 70,
    /// The operating system allows too little, such as open files.
    System = 71,
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

/// The failure of a subcommand: a message for the user, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure with this exit code and message; the message has no prefix and no newline at its end.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }

    /// Exit code of the failure.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

/// Prints the message of a failure, and returns the exit code.
pub fn finish(result: Result<ExitCode, Failure>) -> ExitCode {
    let Failure { exit, message } = match result {
        Ok(code) => return code,
        Err(failure) => failure,
    };
    // Ignored if standard error is closed.
    let _ = writeln!(io::stderr(), "ringherd: {}", message.trim_end());
    exit.into()
}

/// Prints to standard output. That the reader has closed it (`| head`) is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    print_more(text).map(drop)
}

/// Prints to standard output. Returns whether anybody reads it, for a command that would go on.
pub(super) fn print_more(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(Exit::Output, format!("cannot write to standard output: {error}"))),
    }
}
