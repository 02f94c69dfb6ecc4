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
    /// SIGINT: stop.
    Interrupt,
    /// SIGTERM: stop.
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reload => "SIGHUP",
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
            Self::Reload => 129,
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
    /// A reload that was asked for while nobody could do it.
    reload_waits: bool,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
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
            _ = self.hangup.recv() => Signal::Reload,
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
