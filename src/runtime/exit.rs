//! How a process ended, in words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// `exit status 1` or `killed by signal 9 (SIGKILL)`; with `shim`, as in [`of_shim`].
pub(super) fn describe(status: ExitStatus, shim: bool) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => killed_by(signal),
        (None, Some(code)) if shim => of_shim(code),
        (None, Some(code)) => format!("exit status {code}"),
        (None, None) => status.to_string(),
    }
}

/// The end that an exit code of the shim tells: above 128, as in shells, it stands for a signal that
/// killed the program.
pub(super) fn of_shim(code: i32) -> String {
    if (129..=192).contains(&code) { killed_by(code - 128) } else { format!("exit status {code}") }
}

fn killed_by(signal: i32) -> String {
    match signal_name(signal) {
        Some(name) => format!("killed by signal {signal} ({name})"),
        None => format!("killed by signal {signal}"),
    }
}

/// Name of a signal that ends processes and has the same number on every architecture.
pub(super) fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_described() {
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        let golden = [
            (exit(0), false, "exit status 0"),
            (exit(1), true, "exit status 1"),
            (exit(137), false, "exit status 137"),
            (exit(137), true, "killed by signal 9 (SIGKILL)"),
            (exit(255), true, "exit status 255"),
            (ExitStatus::from_raw(9), false, "killed by signal 9 (SIGKILL)"),
            (ExitStatus::from_raw(11), true, "killed by signal 11 (SIGSEGV)"),
            (ExitStatus::from_raw(40), false, "killed by signal 40"),
        ];
        for (status, shim, words) in golden {
            assert_eq!(describe(status, shim), words);
        }
    }
}
