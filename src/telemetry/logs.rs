//! Logs: one event per state change, as text for people or JSON for machines.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

/// The writer of the log, until [`finish`] takes it.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Starts logging to standard error. `RUST_LOG` (default `info`) chooses what is logged.
/// A second call is ignored: the first format stays.
///
/// Lines are written by a thread of their own. When whoever reads them stalls, lines are dropped
/// once some ten thousands wait: serving does not wait for a log.
pub fn init(format: LogFormat) {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = asked.as_deref().map(EnvFilter::try_new);
    let mistyped = filter.as_ref().and_then(|filter| filter.as_ref().err().map(ToString::to_string));
    let filter = filter.and_then(Result::ok).unwrap_or_else(|| EnvFilter::new("info"));
    // Who changed what is told however little else is asked for.
    let filter = match "audit=info".parse() {
        Ok(audit) => filter.add_directive(audit),
        Err(_) => filter,
    };
    let terminal = std::io::stderr().is_terminal();
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(terminal)
        .with_target(false);
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let begun = if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
    if begun.is_ok() {
        *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    }
    if let Some(error) = mistyped {
        tracing::warn!(RUST_LOG = asked, error, "RUST_LOG is not understood; logging at level info");
    }
}

/// Writes what is still to be written, and ends the log.
pub fn finish() {
    drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
}
