//! The signals a balancer listens to.

use std::fmt;
use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::telemetry::logs;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGHUP because the terminal was closed: stop.
    TerminalClosed,
    /// SIGINT: stop.
    Interrupt,
    /// SIGTERM: stop.
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reload => "SIGHUP",
            Self::TerminalClosed => "SIGHUP (terminal closed)",
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

impl Signal {
    /// Ends the process now, with the code shells give for the signal. Child processes end by
    /// themselves: the pipe that each holds closes with us. Containers are left to the next
    /// balancer.
    pub(super) fn exit_at_once(self) -> ! {
        tracing::warn!(signal = %self, "stopping at once");
        logs::finish();
        std::process::exit(match self {
            Self::Reload | Self::TerminalClosed => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        })
    }
}

/// Where signals arrive.
pub(super) struct Signals {
    hangup: Stream,
    interrupt: Stream,
    terminate: Stream,
    /// Whether the end of the terminal ends the balancer.
    ends_with_terminal: bool,
    /// A reload that was asked for while nobody could do it.
    reload_waits: bool,
}

impl Signals {
    /// With `in_foreground` the balancer ends with its terminal, as other programs do, unless it was told
    /// to ignore SIGHUP (`nohup`).
    pub(super) fn new(in_foreground: bool) -> io::Result<Self> {
        // Asked before SIGHUP has a handler.
        let ends_with_terminal = in_foreground && has_terminal() && !ignores_hangup();
        Ok(Self {
            ends_with_terminal,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            reload_waits: false,
        })
    }

    /// The next signal. Cancel safe.
    pub(super) async fn next(&mut self) -> Signal {
        if std::mem::take(&mut self.reload_waits) {
            return Signal::Reload;
        }
        self.arrived().await
    }

    async fn arrived(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => {
                let closed = self.ends_with_terminal && !has_terminal();
                if closed { Signal::TerminalClosed } else { Signal::Reload }
            }
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }

    /// The next signal that asks to stop; a reload waits for [`Signals::next`]. Cancel safe.
    pub(super) async fn end(&mut self) -> Signal {
        loop {
            match self.arrived().await {
                Signal::Reload => self.reload_waits = true,
                signal => return signal,
            }
        }
    }
}

/// Whether this process has a terminal that is open: none after that was closed.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether SIGHUP is ignored.
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| is_hangup_in(&status))
}

/// Whether SIGHUP is in the mask of ignored signals of `/proc/PID/status`.
fn is_hangup_in(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert!(is_hangup_in("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!is_hangup_in("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!is_hangup_in(""));
    }
}
