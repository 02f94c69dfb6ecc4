//! The access log: one line for each request, to a file or to standard output.
//!
//! Lines are written by a thread of their own. Who serves only hands them over, and drops them
//! when too many wait: a full disk or a stalled reader costs lines, which are counted, and nothing
//! else.

mod format;
mod sink;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

pub use format::{Format, Line};
use sink::Sink;
use writer::Shared;

/// Lines that may wait to be written.
const WAITING: usize = 8192;

/// Bytes that may: a client can make lines long.
const WAITING_BYTES: usize = 16 * 1024 * 1024;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, made if it is not there and never emptied.
    File(PathBuf),
}

/// An access log as configured.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccessLogConfig {
    /// Where lines go; `None` for nowhere.
    pub destination: Option<Destination>,
    /// What they look like.
    pub format: Format,
}

/// Who writes lines. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: Format,
    lines: SyncSender<String>,
    shared: Arc<Shared>,
}

/// The other end of the same: for who opens, watches and ends the log.
#[derive(Debug)]
pub struct AccessLogHandle {
    shared: Arc<Shared>,
    /// Closes when the last line is written.
    ended: Receiver<()>,
}

/// Opens a log at `destination`.
///
/// # Errors
/// If the file cannot be opened for writing, or there can be no thread.
pub fn open(destination: Destination, format: Format) -> io::Result<(AccessLog, AccessLogHandle)> {
    let sink = Sink::open(destination)?;
    let shared = Arc::<Shared>::default();
    let (lines, waiting) = sync_channel(WAITING);
    let (end, ended) = channel();
    let of_thread = Arc::clone(&shared);
    std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
        writer::run(sink, &waiting, &of_thread);
        drop(end);
    })?;
    Ok((AccessLog { format, lines, shared: Arc::clone(&shared) }, AccessLogHandle { shared, ended }))
}

impl AccessLog {
    /// Hands a line over. Never waits.
    pub fn write(&mut self, line: &Line<'_>) {
        let text = self.format.line(line);
        let bytes = text.len();
        if !self.shared.enter(bytes, WAITING_BYTES) {
            return;
        }
        match self.lines.try_send(text) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.shared.refuse(bytes),
        }
    }
}

impl AccessLogHandle {
    /// Has the file opened anew, for another task than the one that holds this.
    pub fn reopener(&self) -> Reopener {
        Reopener(Arc::clone(&self.shared))
    }

    /// Counts what is lost; for another thread than the one that holds this.
    pub fn losses(&self) -> Losses {
        Losses(Arc::clone(&self.shared))
    }

    /// Waits until every line is written, at most for `limit`. To be called when every
    /// [`AccessLog`] is dropped.
    ///
    /// # Errors
    /// The number of bytes that were not written.
    pub fn finish(self, limit: Duration) -> Result<(), usize> {
        match self.ended.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => Err(self.shared.waiting_bytes()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Ok(()),
        }
    }
}

/// Has the file opened anew.
#[derive(Clone, Debug)]
pub struct Reopener(Arc<Shared>);

impl Reopener {
    /// By its name, before the next line: after it was renamed.
    pub fn reopen(&self) {
        self.0.ask_reopen();
    }
}

/// Lines that were lost.
#[derive(Clone, Debug)]
pub struct Losses(Arc<Shared>);

impl Losses {
    /// Because too many waited.
    pub fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    /// Because they could not be written.
    pub fn failed(&self) -> u64 {
        self.0.failed()
    }
}
