//! How others may read a path, and when that is another path.
//!
//! Servers decode, merge and cut paths in different ways before they compare them, and a route can be
//! evaded where they and the balancer disagree. What has no honest use is refused wherever paths
//! decide ([`ambiguity`]). The rest of the differences is in [`Reading`]: the path of a server that
//! decodes all that it may, cuts parameters off, and merges slashes. A server that does less of that
//! reads nothing that begins with more of a route's path, because such a path is its own reading.

/// Longest path of a route, in bytes.
pub(super) const MAX_LENGTH: usize = 256;

/// Why a path is read in more than one way by any reckoning, if it is; a query may follow.
///
/// That is: a backslash, which some take for a slash; an escape of a slash, a backslash or NUL, which
/// some decode before they look for segments; a `%` that begins no escape; and `.` and `..` as
/// segments, also with escapes or parameters.
pub fn ambiguity(path: &str) -> Option<&'static str> {
    if is_plain(path.as_bytes()) {
        return None;
    }
    without_query(path.as_bytes()).split(|byte| *byte == b'/').find_map(|segment| {
        let mut dots = Some(0);
        let mut in_parameters = false;
        for unit in units(segment) {
            match unit {
                Unit::Byte(b'\\') => return Some("a backslash"),
                Unit::Byte(b'%') => return Some("a % that begins no escape"),
                Unit::Escape(b'/') => return Some("an encoded slash"),
                Unit::Escape(b'\\') => return Some("an encoded backslash"),
                Unit::Escape(0) => return Some("an encoded NUL"),
                Unit::Byte(byte) | Unit::Escape(byte) => {
                    in_parameters |= byte == b';';
                    if !in_parameters {
                        dots = dots.filter(|_| byte == b'.').map(|dots: usize| dots + 1);
                    }
                }
            }
        }
        matches!(dots, Some(1 | 2)).then_some("a dot segment")
    })
}

/// Whether a path reads the same to all: nothing in it is an escape, a parameter, a backslash, an empty
/// segment or one that begins with a dot. A query may follow.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let mut counts = ANYWHERE;
    for byte in path {
        let kind = KINDS[usize::from(*byte)];
        if kind & counts != 0 {
            return *byte == b'?';
        }
        counts = if *byte == b'/' { ANYWHERE | BEHIND_A_SLASH } else { ANYWHERE };
    }
    true
}

const ANYWHERE: u8 = 1;
const BEHIND_A_SLASH: u8 = 2;

/// Bytes that a path need not read the same with, and `?`, which ends it. A table, because most paths are
/// plain and each byte of each is looked at.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut at = 0;
    while at < 256 {
        kinds[at] = match at as u8 {
            b'%' | b'\\' | b';' | b'?' => ANYWHERE,
            b'/' | b'.' => BEHIND_A_SLASH,
            _ => 0,
        };
        at += 1;
    }
    kinds
};

/// The part of a target before its query.
fn without_query(target: &[u8]) -> &[u8] {
    memchr::memchr(b'?', target).map_or(target, |end| &target[..end])
}

/// The beginning of another reading of a path: as much of it as a route can compare.
///
/// Escapes are decoded where a path may have the character itself; the others, and what has to be
/// escaped and is not, are escapes in capital letters. What follows a `;` in a segment is cut off,
/// and empty segments are left out.
#[derive(Debug)]
pub(super) struct Reading {
    bytes: [u8; ROOM],
    length: usize,
}

/// For the longest path of a route, and the byte behind it.
const ROOM: usize = MAX_LENGTH + 1;

impl Reading {
    /// That of `path`, of which a query is no part.
    pub(super) fn of(path: &[u8]) -> Self {
        let mut reading = Self { bytes: [0; ROOM], length: 0 };
        for segment in without_query(path).split(|byte| *byte == b'/') {
            let is_name = |unit: &Unit| !matches!(unit, Unit::Byte(b';') | Unit::Escape(b';'));
            let mut name = units(segment).take_while(is_name).peekable();
            if name.peek().is_some() {
                reading.push(b'/');
            }
            name.for_each(|unit| reading.push_unit(unit));
            if reading.length == ROOM {
                break;
            }
        }
        reading
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push_unit(&mut self, unit: Unit) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let (Unit::Byte(byte) | Unit::Escape(byte)) = unit;
        if may_stand(byte) {
            self.push(byte);
        } else {
            for byte in [b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]] {
                self.push(byte);
            }
        }
    }

    /// What does not fit is left out.
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}

/// Whether a segment may have the character itself (`pchar`, RFC 3986, section 3.3), parameters aside.
fn may_stand(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
}

/// A piece of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// As it stands; a `%` is one that begins no escape.
    Byte(u8),
    /// What `%XX` stands for.
    Escape(u8),
}

/// A segment, taken apart.
fn units(mut segment: &[u8]) -> impl Iterator<Item = Unit> {
    let hex = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    std::iter::from_fn(move || {
        let (unit, rest) = match segment {
            [b'%', high, low, rest @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                (Unit::Escape(hex(*high)? << 4 | hex(*low)?), rest)
            }
            [byte, rest @ ..] => (Unit::Byte(*byte), rest),
            [] => return None,
        };
        segment = rest;
        Some(unit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_no_honest_use_is_named() {
        for (path, what) in [
            ("/a\\b", "a backslash"),
            ("/a%", "a % that begins no escape"),
            ("/a%2", "a % that begins no escape"),
            ("/%zz/b", "a % that begins no escape"),
            ("/%u002e", "a % that begins no escape"),
            ("/a%2fb", "an encoded slash"),
            ("/a%2Fb?c", "an encoded slash"),
            ("/a%5Cb", "an encoded backslash"),
            ("/a%5cb", "an encoded backslash"),
            ("/a%00", "an encoded NUL"),
            ("/.", "a dot segment"),
            ("/..", "a dot segment"),
            ("/a/./b", "a dot segment"),
            ("/a/../b", "a dot segment"),
            ("/a/%2e%2E/b", "a dot segment"),
            ("/a/.%2e", "a dot segment"),
            ("/a/..;/b", "a dot segment"),
            ("/a/..;x=1/b", "a dot segment"),
            ("/a/%2e%3bx", "a dot segment"),
        ] {
            assert_eq!(ambiguity(path), Some(what), "{path}");
        }
        for path in [
            "/",
            "*",
            "",
            "/a/b.c/...",
            "/.well-known/acme",
            "/..a",
            "/a..",
            "/a%20b%25",
            "/a;b=..",
            "//a",
            "/a?b=../%2f\\%",
            "/%61",
        ] {
            assert_eq!(ambiguity(path), None, "{path}");
        }
    }

    fn reading(path: &str) -> String {
        String::from_utf8(Reading::of(path.as_bytes()).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn readings_are_decoded_cut_and_merged() {
        for (path, expected) in [
            ("/", ""),
            ("*", "/*"),
            ("/api/users", "/api/users"),
            ("/api/", "/api"),
            ("//api///users", "/api/users"),
            ("/%61pi/%7ejoe", "/api/~joe"),
            ("/a%3fb%23%25", "/a%3Fb%23%25"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/a;v=1/b%3bc/;d/e", "/a/b/e"),
            ("/{a}", "/%7Ba%7D"),
        ] {
            assert_eq!(reading(path), expected, "{path}");
        }
        assert_eq!(reading(&"/ab".repeat(1000)).len(), ROOM);
    }

    proptest! {
        /// So a server that reads less into a path ends within this one.
        #[test]
        fn a_reading_reads_as_itself(path in "(/|%2[0-9a-f]|%6[0-9a-f]|;|\\.|[a-c]|\\PC){0,20}") {
            let once = reading(&path);
            prop_assert_eq!(reading(&once), once);
        }

        #[test]
        fn what_is_plain_reads_as_itself(path in "(/|[a-c%;.\\\\]|[a-z]{1,9}){0,20}") {
            let path = format!("/{path}");
            let plain = is_plain(path.as_bytes());
            let special = path.contains(['%', ';', '\\']) || path.contains("//") || path.contains("/.");
            prop_assert_eq!(is_plain(format!("{path}?//%;").as_bytes()), plain);
            prop_assert_eq!(plain, !special);
            if plain {
                prop_assert_eq!(ambiguity(&path), None);
                prop_assert_eq!(reading(&path), path.trim_end_matches('/'));
            }
        }
    }
}
