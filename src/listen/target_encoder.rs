//! Percent-encodes what a request target may not contain and everybody sends: quotes, angle brackets,
//! braces, letters beyond ASCII.
//!
//! The URI parser below hyper refuses a request for one `"` in its query, which browsers' address bars
//! and monitoring tools send, and which other proxies pass on. So request lines are rewritten on their
//! way to hyper. A space is never encoded: it ends the target.
//!
//! Nothing but a request line may be rewritten: a body that grew on its way would let its client's next
//! bytes pass for a request. So the encoder follows each head to its end, counts what comes behind it,
//! and looks for the next request line only where that was the body and nothing else
//! ([`super::ReadState::message_ended`]). What is sent before the response to the request before it
//! (pipelining), or after a body in chunks, is passed on as it is; hyper refuses it if it has to.

use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;
use tokio::io::ReadBuf;

/// Longest method; what is longer is no request line.
const MAX_METHOD: usize = 32;

/// Where in a message the bytes are that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// At the beginning of the request line, or at the empty lines before it.
    Start,
    /// In the method, of which there are so many bytes.
    Method(usize),
    /// In the target, whose first byte is next.
    TargetStart,
    /// In the target.
    Target,
    /// At the beginning of a line of the head.
    LineStart,
    /// Behind a CR at the beginning of a line.
    LineCr,
    /// In a line of the head.
    Line,
    /// Behind the head.
    Behind,
}

/// The encoder of one connection.
#[derive(Debug)]
pub(super) struct TargetEncoder {
    stage: Stage,
    /// Bytes that came behind the head.
    behind: u64,
    /// What there was no room for in the reader's buffer, last byte first.
    overflow: Vec<u8>,
}

impl Default for TargetEncoder {
    fn default() -> Self {
        Self { stage: Stage::Start, behind: 0, overflow: Vec::new() }
    }
}

/// Whether a byte of a target is to be encoded: the URI parser refuses it, or it is no ASCII, which may
/// be text of any encoding.
const IS_ENCODED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            matches!(byte as u8, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80..);
        byte += 1;
    }
    table
};

fn is_encoded(byte: u8) -> bool {
    IS_ENCODED[usize::from(byte)]
}

/// A target that came in another way than in a request line, with what is encoded there encoded; `None`
/// if there is nothing to encode.
pub fn encoded_target(target: &str) -> Option<String> {
    if !target.bytes().any(is_encoded) {
        return None;
    }
    let mut encoded = Vec::with_capacity(target.len() + 16);
    target.bytes().for_each(|byte| encode(byte, &mut encoded));
    String::from_utf8(encoded).ok()
}

/// Adds a byte of a target to `encoded`, as it is or as three.
fn encode(byte: u8, encoded: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if is_encoded(byte) {
        encoded.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    } else {
        encoded.push(byte);
    }
}

/// Where the first line of these bytes ends, if it is whole and there is nothing to encode in it. That
/// is so of all but a few requests.
fn plain_line(read: &[u8]) -> Option<usize> {
    let is_line = read.first().is_some_and(u8::is_ascii_alphabetic);
    let end = if is_line { memchr(b'\n', read) } else { None }?;
    (!read[..end].iter().any(|byte| is_encoded(*byte))).then_some(end)
}

static EMPTY_LINE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\n\r\n"));
static BARE_EMPTY_LINE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\n\n"));

/// Behind the first empty line of these bytes, which begin with the end of a line. In two passes, which
/// cost half of looking for each line.
fn behind_empty_line(bytes: &[u8]) -> Option<usize> {
    let usual = EMPTY_LINE.find(bytes).map(|at| at + 3);
    let before = usual.map_or(bytes, |behind| &bytes[..behind - 2]);
    BARE_EMPTY_LINE.find(before).map(|at| at + 2).or(usual)
}

impl TargetEncoder {
    /// Bytes that came behind the head; `None` while that has not come.
    pub(super) fn behind(&self) -> Option<u64> {
        (self.stage == Stage::Behind).then_some(self.behind)
    }

    /// The next bytes begin a request.
    pub(super) fn expect_request(&mut self) {
        self.stage = Stage::Start;
        self.behind = 0;
    }

    /// No more requests come: from now on all bytes pass as they are.
    pub(super) fn pass_all(&mut self) {
        self.stage = Stage::Behind;
    }

    /// Fills `buf` with what there was no room for; whether there was anything.
    pub(super) fn refill(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if self.overflow.is_empty() {
            return false;
        }
        while buf.remaining() > 0
            && let Some(byte) = self.overflow.pop()
        {
            buf.put_slice(&[byte]);
        }
        true
    }

    /// Looks at what was read behind the first `before` bytes of `buf`, and encodes it where it is part
    /// of a target.
    pub(super) fn pass(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let read = &buf.filled()[before..];
        let mut at = 0;
        let mut encoded = None;
        if self.stage == Stage::Start
            && let Some(end) = plain_line(read)
        {
            // With the end of its line, which may be that of the head too.
            if let Some(behind) = behind_empty_line(&read[end..]) {
                self.stage = Stage::Behind;
                self.behind = (read.len() - end - behind) as u64;
                return;
            }
            self.stage = Stage::LineStart;
            at = end + 1;
        } else if matches!(self.stage, Stage::Start | Stage::Method(_) | Stage::TargetStart | Stage::Target) {
            (at, encoded) = self.request_line(read);
        }
        at = self.fields(read, at);
        if self.stage == Stage::Behind {
            self.behind += (read.len() - at) as u64;
        }
        if let Some((start, end)) = encoded {
            self.rewrite(buf, before + start, before + end);
        }
    }

    /// Follows the request line to the end of its target, or to the byte that shows that it is none.
    /// Returns how far that is, and where there is something to encode.
    fn request_line(&mut self, read: &[u8]) -> (usize, Option<(usize, usize)>) {
        let mut first = None;
        for (index, &byte) in read.iter().enumerate() {
            self.stage = match self.stage {
                Stage::Start if matches!(byte, b'\r' | b'\n') => Stage::Start,
                Stage::Start if is_of_method(byte) => Stage::Method(1),
                Stage::Method(length) if is_of_method(byte) && length < MAX_METHOD => {
                    Stage::Method(length + 1)
                }
                Stage::Method(_) if byte == b' ' => Stage::TargetStart,
                // An absolute target begins with its scheme.
                Stage::TargetStart if byte == b'/' || byte.is_ascii_alphabetic() => Stage::Target,
                Stage::Target if !matches!(byte, b' ' | b'\r' | b'\n') => {
                    if is_encoded(byte) {
                        first.get_or_insert(index);
                    }
                    Stage::Target
                }
                _ => Stage::Line,
            };
            if self.stage == Stage::Line {
                return (index, first.map(|first| (first, index)));
            }
        }
        (read.len(), first.map(|first| (first, read.len())))
    }

    /// Follows the lines of the head from `at` to its end, which is an empty line. Returns how far that
    /// is.
    fn fields(&mut self, read: &[u8], mut at: usize) -> usize {
        while at < read.len() {
            self.stage = match (self.stage, read[at]) {
                (Stage::LineStart | Stage::LineCr, b'\n') => Stage::Behind,
                (Stage::LineStart, b'\r') => Stage::LineCr,
                (Stage::LineStart | Stage::LineCr | Stage::Line, _) => {
                    let end = memchr(b'\n', &read[at..]);
                    at = end.map_or(read.len() - 1, |end| at + end);
                    if end.is_some() { Stage::LineStart } else { Stage::Line }
                }
                _ => return at,
            };
            at += 1;
        }
        at
    }

    /// Encodes the bytes from `start` to `end`; what has no room then overflows.
    fn rewrite(&mut self, buf: &mut ReadBuf<'_>, start: usize, end: usize) {
        let mut encoded = Vec::new();
        buf.filled()[start..end].iter().for_each(|byte| encode(*byte, &mut encoded));
        encoded.extend_from_slice(&buf.filled()[end..]);
        buf.set_filled(start);
        let room = buf.remaining().min(encoded.len());
        buf.put_slice(&encoded[..room]);
        self.overflow.extend(encoded[room..].iter().rev());
    }
}

fn is_of_method(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Uri;
    use proptest::prelude::*;

    /// What a reader gets that reads `room` bytes at a time of what comes in these parts.
    fn passed(parts: &[&[u8]], room: usize) -> Vec<u8> {
        let mut encoder = TargetEncoder::default();
        let mut got = Vec::new();
        let mut space = vec![0; room];
        for mut part in parts.iter().copied() {
            loop {
                let mut buf = ReadBuf::new(&mut space);
                if !encoder.refill(&mut buf) {
                    let taken = part.len().min(room);
                    if taken == 0 {
                        break;
                    }
                    buf.put_slice(&part[..taken]);
                    part = &part[taken..];
                    encoder.pass(&mut buf, 0);
                }
                got.extend_from_slice(buf.filled());
            }
        }
        got
    }

    fn one(bytes: &str) -> String {
        String::from_utf8(passed(&[bytes.as_bytes()], 4096)).expect("text")
    }

    #[test]
    fn targets_are_encoded_and_nothing_else_is() {
        let rest = " HTTP/1.1\r\nHost: a\r\nCookie: a=\"b\"; {c|d}\r\n\r\n\"body\"";
        for (target, encoded) in [
            ("/x?q=up{job=\"node\"}", "/x?q=up%7Bjob=%22node%22%7D"),
            ("/a<b>", "/a%3Cb%3E"),
            ("/\u{e9}", "/%C3%A9"),
            ("http://a/?a|b", "http://a/?a%7Cb"),
            ("/plain?a=%22", "/plain?a=%22"),
            ("*", "*"),
        ] {
            assert_eq!(one(&format!("GET {target}{rest}")), format!("GET {encoded}{rest}"));
            assert_eq!(one(&format!("\r\nGET {target}{rest}")), format!("\r\nGET {encoded}{rest}"));
        }
        // These are no request lines.
        for line in ["X-A: /\"\r\n", "GET \"/\" HTTP/1.1\r\n", "G\"T / HTTP/1.1\r\n", "GET\t/\" HTTP/1.1\r\n"]
        {
            assert_eq!(one(line), line);
        }
    }

    #[test]
    fn what_is_encoded_is_what_the_parser_refuses() {
        for byte in 0x21..0x7f_u8 {
            for place in ["/", "/?"] {
                let target = [place.as_bytes(), &[byte]].concat();
                let refused = Uri::try_from(target.as_slice()).is_err();
                assert!(!refused || is_encoded(byte), "{:?}", char::from(byte));
            }
        }
    }

    proptest! {
        #[test]
        fn neither_cuts_nor_room_matter(
            target in "/[ -~\u{80}-\u{ff}&&[^ ]]{0,30}", cuts in prop::collection::vec(0usize..60, 0..4), room in 1usize..80,
        ) {
            let request = format!("GET {target} HTTP/1.1\r\nX: \"\r\n\r\n").into_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (request.len() + 1)).collect();
            cuts.extend([0, request.len()]);
            cuts.sort_unstable();
            let parts: Vec<_> = cuts.windows(2).map(|pair| &request[pair[0]..pair[1]]).collect();
            let whole = passed(&[&request], 4096);
            prop_assert_eq!(&passed(&parts, room), &whole);
            let line = whole.split(|byte| *byte == b'\r').next().expect("a line");
            let target = &line[4..line.len() - " HTTP/1.1".len()];
            prop_assert!(Uri::try_from(target).is_ok(), "{:?}", String::from_utf8_lossy(target));
        }
    }

    /// What hyper is: takes messages out of what it was given. Returns the bodies.
    fn bodies(buffer: &mut Vec<u8>, encoder: &mut TargetEncoder, expected: &mut bool) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 8];
            let mut request = httparse::Request::new(&mut fields);
            let Ok(httparse::Status::Complete(head)) = request.parse(buffer) else { return bodies };
            let length = request.headers.iter().find(|field| field.name == "Content-Length");
            let length = length.map_or(0, |field| {
                std::str::from_utf8(field.value).expect("digits").parse().expect("a number")
            });
            if buffer.len() < head + length {
                return bodies;
            }
            bodies.push(buffer[head..head + length].to_vec());
            buffer.drain(..head + length);
            *expected = encoder.behind() == Some(length as u64);
        }
    }

    proptest! {
        #[test]
        fn a_body_is_never_touched(
            messages in prop::collection::vec(prop::option::of("[ -~\r\n\"]{0,40}|GET /\"{1,9} HTTP/1.1\r\n\r\n"), 1..6),
            cuts in prop::collection::vec(0usize..600, 0..8),
        ) {
            let mut stream = Vec::new();
            for body in &messages {
                let head = match body {
                    Some(body) => format!("POST /a HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
                    None => "GET /b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                };
                stream.extend_from_slice(head.as_bytes());
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let (mut encoder, mut expected) = (TargetEncoder::default(), false);
            let (mut buffer, mut got) = (Vec::new(), Vec::new());
            for part in cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).filter(|part| !part.is_empty()) {
                if std::mem::take(&mut expected) {
                    encoder.expect_request();
                }
                let mut space = [0; 2048];
                let mut buf = ReadBuf::new(&mut space);
                buf.put_slice(part);
                encoder.pass(&mut buf, 0);
                buffer.extend_from_slice(buf.filled());
                got.extend(bodies(&mut buffer, &mut encoder, &mut expected));
            }
            let sent: Vec<_> = messages.iter().map(|body| body.clone().unwrap_or_default().into_bytes()).collect();
            prop_assert_eq!(got, sent);
        }
    }

    proptest! {
        #[test]
        fn the_end_of_a_head_is_its_first_empty_line(text in "\n[a\r\n]{0,8}([a\r\n]{0,90})") {
            let bytes = text.as_bytes();
            let plain = (0..bytes.len()).find_map(|at| {
                let rest = &bytes[at..];
                let empty = [&b"\n\n"[..], b"\n\r\n"].into_iter().find(|line| rest.starts_with(line))?;
                Some(at + empty.len())
            });
            prop_assert_eq!(behind_empty_line(bytes), plain);
        }
    }
}
