//! Percent-encodes what a request target may not contain and everybody sends: quotes, angle brackets,
//! braces, letters beyond ASCII.
//!
//! The URI parser below hyper refuses a request for one `"` in its query, which browsers' address bars
//! and monitoring tools send, and which other proxies pass on. So request lines are rewritten on their
//! way to hyper. A space is never encoded: it ends the target.

use memchr::memchr;
use tokio::io::ReadBuf;

/// Longest method; what is longer is no request line.
const MAX_METHOD: usize = 32;

/// Where in a request line the bytes are that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// At its beginning, or at the empty lines before it.
    Start,
    /// In the method, of which there are so many bytes.
    Method(usize),
    /// In the target, whose first byte is next.
    TargetStart,
    /// In the target.
    Target,
    /// Behind the target.
    Done,
}

/// The encoder of one connection.
#[derive(Debug)]
pub(super) struct TargetEncoder {
    stage: Stage,
    /// What there was no room for in the reader's buffer, last byte first.
    overflow: Vec<u8>,
}

impl Default for TargetEncoder {
    fn default() -> Self {
        Self { stage: Stage::Start, overflow: Vec::new() }
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

/// Whether these bytes begin with a whole line in which there is nothing to encode. All but a few
/// requests do.
fn begins_plain(read: &[u8]) -> bool {
    let is_line = read.first().is_some_and(u8::is_ascii_alphabetic);
    let end = if is_line { memchr(b'\n', read) } else { None };
    end.is_some_and(|end| !read[..end].iter().any(|byte| is_encoded(*byte)))
}

impl TargetEncoder {
    /// The next bytes begin a request. Where the end of the one before came together with a part of this
    /// one, its request line has passed already; then a line of its head that looks like a request line
    /// in every other respect is taken for one.
    pub(super) fn expect_request(&mut self) {
        self.stage = Stage::Start;
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
        if self.stage == Stage::Done {
            return;
        }
        let read = &buf.filled()[before..];
        if self.stage == Stage::Start && begins_plain(read) {
            self.stage = Stage::Done;
            return;
        }
        let mut first = None;
        let mut target_end = read.len();
        for (index, &byte) in read.iter().enumerate() {
            self.stage = match self.stage {
                Stage::Start if matches!(byte, b'\r' | b'\n') => Stage::Start,
                Stage::Start | Stage::Method(_) if byte.is_ascii_alphabetic() || byte == b'-' => {
                    self.method()
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
                _ => Stage::Done,
            };
            if self.stage == Stage::Done {
                target_end = index;
                break;
            }
        }
        if let Some(first) = first {
            self.rewrite(buf, before + first, before + target_end);
        }
    }

    fn method(&self) -> Stage {
        match self.stage {
            Stage::Method(MAX_METHOD) => Stage::Done,
            Stage::Method(length) => Stage::Method(length + 1),
            _ => Stage::Method(1),
        }
    }

    /// Encodes the bytes from `start` to `end`; what has no room then overflows.
    fn rewrite(&mut self, buf: &mut ReadBuf<'_>, start: usize, end: usize) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let mut encoded = Vec::new();
        for &byte in &buf.filled()[start..end] {
            if is_encoded(byte) {
                encoded.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            } else {
                encoded.push(byte);
            }
        }
        encoded.extend_from_slice(&buf.filled()[end..]);
        buf.set_filled(start);
        let room = buf.remaining().min(encoded.len());
        buf.put_slice(&encoded[..room]);
        self.overflow.extend(encoded[room..].iter().rev());
    }
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
}
