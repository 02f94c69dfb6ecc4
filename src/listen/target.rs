//! Notices request lines whose target is not a request target: one with a fragment.
//!
//! A fragment never belongs on the wire (RFC 9112, section 3.2), but the URI parser below hyper
//! drops it silently, so that `POST /add#x` would pass for `POST /add`. The bytes of heads go
//! through this guard on their way to hyper; it looks closer only where a `#` is.

use memchr::{memchr, memrchr};

/// Longest unfinished line that is kept until the next read, in bytes. A longer request line
/// with a `#` behind this point counts as flawed: nothing that long is a route of ours.
const MAX_CARRY: usize = 8 * 1024;

/// The guard of one connection.
#[derive(Debug, Default)]
pub struct TargetGuard {
    /// The line that the last read ended in the middle of, without a `#` so far.
    carry: Vec<u8>,
    /// Whether that line has had its `#`, and been judged by it.
    judged: bool,
    flawed: bool,
}

impl TargetGuard {
    /// Whether a request line with a fragment has come on this connection. It stays true: what
    /// the parser made of such a line cannot be told from an honest request.
    pub fn is_flawed(&self) -> bool {
        self.flawed
    }

    /// Looks at bytes as they were read. Only the first `#` of a line is judged: if one is in the
    /// target the first is, and a flood of them must not cost more than other bytes.
    pub fn inspect(&mut self, mut bytes: &[u8]) {
        while !self.flawed {
            if self.judged {
                let Some(newline) = memchr(b'\n', bytes) else { return };
                bytes = &bytes[newline + 1..];
                self.judged = false;
            }
            let Some(hash) = memchr(b'#', bytes) else { return self.keep(bytes) };
            let start = memrchr(b'\n', &bytes[..hash]).map(|newline| newline + 1);
            if start.is_some() {
                self.carry.clear();
            }
            self.flawed = is_inside_target(&self.carry, &bytes[start.unwrap_or(0)..hash]);
            self.judged = true;
            self.carry.clear();
            bytes = &bytes[hash..];
        }
    }

    /// Remembers the unfinished line at the end of bytes without a `#`.
    fn keep(&mut self, bytes: &[u8]) {
        let line = memrchr(b'\n', bytes).map(|newline| newline + 1);
        if line.is_some() {
            self.carry.clear();
        }
        let unfinished = &bytes[line.unwrap_or(0)..];
        let room = MAX_CARRY - self.carry.len();
        self.carry.extend_from_slice(&unfinished[..unfinished.len().min(room)]);
    }
}

/// Whether what stands before a `#` on its line is `METHOD SP target-so-far`: a method, one
/// space, and a path or an absolute URI. A header line has its colon before the first space; a
/// line of a body that came with its head may look like a request line, which errs to safety.
fn is_inside_target(carried: &[u8], here: &[u8]) -> bool {
    let mut line = carried.iter().chain(here).copied();
    let method_ended = line
        .by_ref()
        .find(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-')
        .is_some_and(|byte| byte == b' ');
    if !method_ended {
        return false;
    }
    let target: Vec<u8> = line.collect();
    let is_target = target.starts_with(b"/") || target.windows(3).any(|part| part == b"://");
    is_target && !target.contains(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flawed(parts: &[&[u8]]) -> bool {
        let mut guard = TargetGuard::default();
        for part in parts {
            guard.inspect(part);
        }
        guard.is_flawed()
    }

    const FLAWED: &[&[u8]] = &[
        b"POST /add#f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nDELETE /rm#x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST http://x/add# HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /?q=1#frag HTTP/1.0\r\n\r\n",
        b"GET ws://127.0.0.1/rep#x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /a HTTP/1.1\r\nX: #1 #2\r\n\r\nGET /rep##x HTTP/1.1\r\n\r\n",
    ];
    const SOUND: &[&[u8]] = &[
        b"POST /add HTTP/1.1\r\nHost: a\r\nX-Color: #fff\r\nReferer: http://a/b#c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=#1; b=#2\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{\"a\":\"#\"}",
        b"POST /x HTTP/1.1\r\nHost: a\r\nX: #1 #2 /#3\r\n#\r\n##\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nsee issue#3",
    ];

    #[test]
    fn fragments_are_seen_and_other_hashes_are_not() {
        assert!(FLAWED.iter().all(|head| flawed(&[head])));
        assert!(!SOUND.iter().any(|head| flawed(&[head])));
    }

    proptest! {
        #[test]
        fn where_the_reads_are_cut_does_not_matter(which in 0..FLAWED.len(), cuts in prop::collection::vec(0usize..90, 0..6)) {
            let split = |head: &'static [u8]| {
                let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (head.len() + 1)).collect();
                cuts.extend([0, head.len()]);
                cuts.sort_unstable();
                cuts.windows(2).map(|pair| &head[pair[0]..pair[1]]).collect::<Vec<_>>()
            };
            prop_assert!(flawed(&split(FLAWED[which])));
            prop_assert!(!flawed(&split(SOUND[which % SOUND.len()])));
        }
    }
}
