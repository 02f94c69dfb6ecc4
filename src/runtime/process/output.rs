//! Reads lines of a child's output: of limited length, and not necessarily UTF-8.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

use crate::runtime::output::MAX_LINE_BYTES;

/// A reader of lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    /// The start of the next line, as far as it was read. Kept here and not in the future of
    /// [`next`](Self::next), so that that is cancel-safe.
    partial: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads from `output`.
    pub(super) fn new(output: R) -> Self {
        Self { reader: BufReader::with_capacity(MAX_LINE_BYTES, output), partial: Vec::new() }
    }

    /// The next line, without its line ending; `None` at the end of the output or after an error.
    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            match read_some(&mut self.reader, &mut self.partial).await {
                Ok(ReadOutcome::Part) => {}
                Ok(ReadOutcome::StopMode) | Err(_) if self.partial.is_empty() => return None,
                Ok(_) | Err(_) => return Some(self.take()),
            }
        }
    }

    fn take(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.partial).trim_end_matches('\r').to_owned();
        self.partial.clear();
        line
    }
}

enum ReadOutcome {
    Line,
    Part,
    StopMode,
}

/// Moves buffered bytes, up to the end of the line, into `line`.
async fn read_some(reader: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<ReadOutcome> {
    let buffer = reader.fill_buf().await?;
    if buffer.is_empty() {
        return Ok(ReadOutcome::StopMode);
    }
    let end = memchr::memchr(b'\n', buffer);
    let part = &buffer[..end.unwrap_or(buffer.len())];
    let room = MAX_LINE_BYTES.saturating_sub(line.len());
    line.extend_from_slice(&part[..part.len().min(room)]);
    let used = part.len() + usize::from(end.is_some());
    reader.consume(used);
    Ok(if end.is_some() { ReadOutcome::Line } else { ReadOutcome::Part })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn all(bytes: &[u8]) -> Vec<String> {
        let mut lines = Lines::new(bytes);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await {
            found.push(line);
        }
        found
    }

    #[tokio::test]
    async fn lines_end_with_a_newline_or_the_output() {
        assert_eq!(all(b"").await, Vec::<String>::new());
        assert_eq!(all(b"a\r\n\nb").await, ["a", "", "b"]);
        assert_eq!(all(b"\xff\n").await, ["\u{fffd}"]);
    }

    #[tokio::test]
    async fn the_rest_of_a_long_line_is_dropped() {
        let mut text = "x".repeat(3 * MAX_LINE_BYTES);
        text.push_str("\nnext\n");
        assert_eq!(all(text.as_bytes()).await, ["x".repeat(MAX_LINE_BYTES), "next".to_owned()]);
    }

    proptest! {
        #[test]
        fn short_lines_come_out_as_they_went_in(lines in prop::collection::vec("[a-z ]{0,300}", 0..60)) {
            let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert_eq!(runtime.block_on(all(text.as_bytes())), lines);
        }
    }
}
