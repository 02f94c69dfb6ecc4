//! The log of a container as the engine sends it, taken apart into lines. Pure.
//!
//! Each message comes in a frame that names its stream or, where the container has a terminal, bare. It begins
//! with its time, which was asked for.

use std::collections::VecDeque;
use std::time::{Duration, UNIX_EPOCH};

use crate::runtime::output::MAX_LINE_BYTES;

/// Bytes before each frame: its stream, three zeros, and its length.
const HEADER_BYTES: usize = 8;

/// Streams that a frame may be of: standard input, output and error, and errors of the engine.
const STREAMS: u8 = 4;

/// Longest time, in bytes.
const MAX_TIME_BYTES: usize = 40;

/// A line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogLine {
    /// When its first part was written, since the Unix epoch; `None` if the engine does not say.
    pub time: Option<Duration>,
    /// The line without its ending. The rest of one that is too long is dropped.
    pub text: String,
}

/// Takes a log apart, in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct LogLines {
    lines: VecDeque<LogLine>,
    /// What is there of the header of the next frame.
    header: Vec<u8>,
    /// Bytes of the frame under way that are still to come.
    left: usize,
    /// The stream of the frame under way.
    stream: usize,
    /// Whether the log has no frames; `None` before the first byte.
    is_bare: Option<bool>,
    unfinished: [Unfinished; STREAMS as usize],
}

/// A line whose end has not come.
#[derive(Debug, Default)]
struct Unfinished {
    /// Whether anything of it has come.
    has_begun: bool,
    time: Option<Duration>,
    text: Vec<u8>,
    /// The start of a message, while it may be a time.
    start: Option<Vec<u8>>,
}

impl LogLines {
    /// Takes the next piece.
    pub(super) fn push(&mut self, mut piece: &[u8]) {
        while let Some(&first) = piece.first() {
            if *self.is_bare.get_or_insert(first >= STREAMS) {
                return self.push_bare(piece);
            }
            piece = if self.left == 0 { self.push_header(piece) } else { self.push_frame(piece) };
        }
    }

    /// The next line that is complete.
    pub(super) fn pop(&mut self) -> Option<LogLine> {
        self.lines.pop_front()
    }

    /// The log has ended: what has no line ending is a line as well.
    pub(super) fn finish(&mut self) {
        for unfinished in &mut self.unfinished {
            unfinished.no_time();
            if unfinished.has_begun {
                self.lines.push_back(unfinished.take());
            }
        }
    }

    fn push_header<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let (part, rest) = piece.split_at(piece.len().min(HEADER_BYTES - self.header.len()));
        self.header.extend_from_slice(part);
        if let [stream, _, _, _, length @ ..] = self.header.as_slice()
            && let Ok(length) = <[u8; 4]>::try_from(length)
        {
            self.stream = usize::from(*stream).min(self.unfinished.len() - 1);
            self.left = u32::from_be_bytes(length) as usize;
            self.header.clear();
            let unfinished = &mut self.unfinished[self.stream];
            unfinished.no_time();
            unfinished.start = Some(Vec::new());
        }
        rest
    }

    fn push_frame<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let (part, rest) = piece.split_at(piece.len().min(self.left));
        self.left -= part.len();
        let unfinished = &mut self.unfinished[self.stream];
        let mut part = part;
        while !part.is_empty() {
            part = unfinished.push(part, &mut self.lines);
        }
        rest
    }

    fn push_bare(&mut self, mut piece: &[u8]) {
        let unfinished = &mut self.unfinished[0];
        while !piece.is_empty() {
            // Each line has its time.
            if !unfinished.has_begun {
                unfinished.start.get_or_insert_default();
            }
            piece = unfinished.push(piece, &mut self.lines);
        }
    }
}

impl Unfinished {
    /// Takes bytes up to the end of a line or of a time; returns the rest.
    fn push<'a>(&mut self, bytes: &'a [u8], lines: &mut VecDeque<LogLine>) -> &'a [u8] {
        if let Some(start) = &mut self.start {
            let end = memchr::memchr2(b' ', b'\n', bytes).unwrap_or(bytes.len());
            let is_over = start.len() + end > MAX_TIME_BYTES || bytes.get(end) == Some(&b'\n');
            if !is_over {
                start.extend_from_slice(&bytes[..end]);
                let Some(rest) = bytes.get(end + 1..) else { return &[] };
                self.end_time();
                return rest;
            }
            self.no_time();
        }
        let end = memchr::memchr(b'\n', bytes);
        self.add(&bytes[..end.unwrap_or(bytes.len())]);
        let Some(end) = end else { return &[] };
        lines.push_back(self.take());
        &bytes[end + 1..]
    }

    fn add(&mut self, text: &[u8]) {
        self.has_begun = true;
        let room = MAX_LINE_BYTES.saturating_sub(self.text.len());
        self.text.extend_from_slice(&text[..text.len().min(room)]);
    }

    /// A message has begun with a word and a space: its time, or text.
    fn end_time(&mut self) {
        let Some(start) = self.start.take() else { return };
        let text = std::str::from_utf8(&start).ok();
        let time = text.and_then(|text| humantime::parse_rfc3339(text).ok());
        let Some(time) = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()) else {
            self.add(&start);
            return self.add(b" ");
        };
        // A long line comes in several messages.
        if !self.has_begun {
            (self.has_begun, self.time) = (true, Some(time));
        }
    }

    /// What a message has begun with is text.
    fn no_time(&mut self) {
        if let Some(start) = self.start.take().filter(|start| !start.is_empty()) {
            self.add(&start);
        }
    }

    fn take(&mut self) -> LogLine {
        let Self { time, text, .. } = std::mem::take(self);
        let text = String::from_utf8_lossy(&text).trim_end_matches('\r').to_owned();
        LogLine { time, text }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0], length.as_slice(), text.as_bytes()].concat()
    }

    /// What comes of a log that arrives in pieces of this size.
    fn lines(log: &[u8], size: usize) -> Vec<LogLine> {
        let mut lines = LogLines::default();
        log.chunks(size).for_each(|piece| lines.push(piece));
        lines.finish();
        std::iter::from_fn(|| lines.pop()).collect()
    }

    fn line(nanos: u64, text: &str) -> LogLine {
        LogLine { time: Some(Duration::from_nanos(nanos)), text: text.to_owned() }
    }

    #[test]
    fn frames_become_lines_with_their_times() {
        let log = [
            frame(1, "1970-01-01T00:00:00.000000001Z out\n"),
            frame(2, "1970-01-01T00:00:00.000000002Z err: a b\r\n"),
            frame(1, "1970-01-01T00:00:00.000000003Z \n"),
            frame(1, "1970-01-01T00:00:00.000000004Z part "),
            frame(2, "1970-01-01T00:00:00.000000005Z between\n"),
            frame(1, "1970-01-01T00:00:00.000000006Z of a line\n"),
            frame(3, "Error grabbing logs: no\n"),
            frame(1, ""),
            frame(1, "1970-01-01T00:00:00.000000007Z no end"),
        ]
        .concat();
        let error = LogLine { time: None, text: "Error grabbing logs: no".to_owned() };
        let expected = [
            line(1, "out"),
            line(2, "err: a b"),
            line(3, ""),
            line(5, "between"),
            line(4, "part of a line"),
            error,
            line(7, "no end"),
        ];
        for size in 1..=log.len() {
            assert_eq!(lines(&log, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_container_with_a_terminal_has_no_frames() {
        let log = b"1970-01-01T00:00:00.000000001Z a\r\n1970-01-01T00:00:00.000000002Z \r\nno time\n\nx";
        let bare = |text: &str| LogLine { time: None, text: text.to_owned() };
        let expected = [line(1, "a"), line(2, ""), bare("no time"), bare(""), bare("x")];
        for size in 1..=log.len() {
            assert_eq!(lines(log, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn the_rest_of_a_long_line_is_dropped() {
        let text = "x".repeat(3 * MAX_LINE_BYTES);
        let log = [
            frame(1, &format!("1970-01-01T00:00:00.000000001Z {text}")),
            frame(1, &format!("1970-01-01T00:00:00.000000002Z {text}\n")),
            frame(1, "1970-01-01T00:00:00.000000003Z next\n"),
        ];
        assert_eq!(lines(&log.concat(), 1000), [line(1, &"x".repeat(MAX_LINE_BYTES)), line(3, "next")]);
    }

    proptest! {
        #[test]
        fn lines_come_out_as_they_went_in(
            written in prop::collection::vec((1_u8..3, "[a-z ]{0,90}"), 0..40),
            size in 1_usize..200,
        ) {
            let (mut log, mut expected) = (Vec::new(), Vec::new());
            for (nanos, (stream, text)) in (1..).zip(&written) {
                log.extend(frame(*stream, &format!("1970-01-01T00:00:00.{nanos:09}Z {text}\n")));
                expected.push(line(nanos, text));
            }
            prop_assert_eq!(lines(&log, size), expected);
        }

        #[test]
        fn nothing_that_an_engine_sends_is_taken_badly(log in prop::collection::vec(any::<u8>(), 0..600)) {
            let whole = lines(&log, log.len().max(1));
            prop_assert_eq!(&lines(&log, 1), &whole);
            prop_assert!(whole.iter().all(|line| line.text.len() <= 3 * MAX_LINE_BYTES));
        }
    }
}
