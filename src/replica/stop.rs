//! When a replica has to end: a signal, or the end of its standard input. And by which signal a program
//! that is not ours is told to.

use std::io::{self, Read};

use rustix::process;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// The signal that asks a program for an orderly end: programs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StopSignal {
    /// SIGTERM.
    #[default]
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGWINCH.
    Winch,
}

impl StopSignal {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Term, Self::Int, Self::Quit, Self::Hup, Self::Usr1, Self::Usr2, Self::Winch];

    /// Its name, as in `SIGTERM`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "SIGTERM",
            Self::Int => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::Hup => "SIGHUP",
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
            Self::Winch => "SIGWINCH",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    pub(super) fn number(self) -> process::Signal {
        match self {
            Self::Term => process::Signal::TERM,
            Self::Int => process::Signal::INT,
            Self::Quit => process::Signal::QUIT,
            Self::Hup => process::Signal::HUP,
            Self::Usr1 => process::Signal::USR1,
            Self::Usr2 => process::Signal::USR2,
            Self::Winch => process::Signal::WINCH,
        }
    }
}

/// The signals that ask for an orderly end.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From here on SIGTERM and SIGINT no longer kill the process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of them.
    pub(super) async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Resolves when standard input has reached its end; never, if `watch` is false.
///
/// A thread reads it, because standard input may be anything (a pipe, a terminal, a file) and
/// making it non-blocking would do so for every process that shares it.
pub(super) async fn stdin_closed(watch: bool) {
    if !watch {
        return std::future::pending().await;
    }
    let (closed, wait) = oneshot::channel();
    let reader = std::thread::Builder::new().name("stdin".into()).stack_size(64 * 1024);
    let started = reader.spawn(move || {
        read_to_end(&mut io::stdin().lock());
        let _ = closed.send(());
    });
    // Without the thread the sender is gone and the wait over: better to end than to be an orphan.
    drop(started);
    let _ = wait.await;
}

/// Reads until the end or an error, either of which means that nobody holds the other side.
fn read_to_end(input: &mut impl Read) {
    let mut sink = [0; 256];
    loop {
        match input.read(&mut sink) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
            Ok(_) | Err(_) => {}
        }
    }
}
