//! What lines are written to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::Destination;

/// A file, or standard output.
pub(super) struct Sink {
    destination: Destination,
    file: File,
    /// Whether the last line could not be written, or only in part.
    is_broken: bool,
}

impl Sink {
    pub(super) fn open(destination: Destination) -> io::Result<Self> {
        let file = match &destination {
            // A descriptor of our own: the lock on standard output is never held while its reader
            // stalls.
            Destination::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            Destination::File(path) => append_to(path)?,
        };
        Ok(Self { destination, file, is_broken: false })
    }

    /// Goes on with the old file if there is no new one.
    pub(super) fn reopen(&mut self) {
        let Destination::File(path) = &self.destination else { return };
        match append_to(path) {
            Ok(file) => {
                self.file = file;
                self.is_broken = false;
                tracing::info!(file = %path.display(), "access log reopened");
            }
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "access log not reopened: the old file is kept");
            }
        }
    }

    /// Writes a line, or says once that it cannot. Returns whether it is there.
    pub(super) fn write(&mut self, line: &[u8]) -> bool {
        // What is left of a line that was cut off must not spoil the next one.
        let separated = if self.is_broken { self.file.write_all(b"\n") } else { Ok(()) };
        let written = separated.and_then(|()| self.file.write_all(line));
        match &written {
            Err(error) if !self.is_broken => {
                tracing::error!(%error, "access log lines are lost: they cannot be written");
            }
            _ => {}
        }
        self.is_broken = written.is_err();
        written.is_ok()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    // Opening a pipe waits for its reader, and nothing may wait for a log.
    if path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        return Err(io::Error::other("it is a pipe; use stdout and redirect that"));
    }
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_line_that_was_cut_off_the_next_begins_anew() {
        let path = std::env::temp_dir().join(format!("ringherd-sink-{}", std::process::id()));
        let mut sink = Sink::open(Destination::File(path.clone())).expect("a file");
        assert!(sink.write(b"one\n"));
        sink.is_broken = true;
        assert!(sink.write(b"two\n"));
        assert!(sink.write(b"three\n"));
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "one\n\ntwo\nthree\n");
        std::fs::remove_file(&path).expect("it is ours");
    }
}
