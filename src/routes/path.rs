//! The path of a route: the beginning of those that it matches, on the boundary of a segment.

use std::fmt;
use std::str::FromStr;

use super::reading::{MAX_LENGTH, Reading, ambiguity};

/// The beginning of paths: `/api` is that of `/api` and `/api/users`, and not of `/apis`. Compared byte
/// by byte. `/` is the beginning of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPrefix(
    /// Without a slash at its end, so that `/` is empty.
    String,
);

/// A text that is no [`PathPrefix`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It is no path.
    #[error("must be a path that starts with '/', percent-encoded where a URL needs it")]
    Form,
    /// No request has it, because paths with this are refused.
    #[error("has {0}, with which requests are refused")]
    Refused(&'static str),
    /// It has a `*`, which would stand for itself.
    #[error("has a *: a path matches all paths below it")]
    Wildcard,
    /// There is another spelling that is read in one way only.
    #[error("can be read in more than one way")]
    Spelling(String),
    /// It has more bytes than are compared.
    #[error("has {0} bytes; at most {MAX_LENGTH} are compared")]
    Long(usize),
}

impl PathPrefix {
    /// Whether `path` begins with it; a query may follow.
    pub fn matches(&self, path: &str) -> bool {
        prefix_of(path.as_bytes(), self.0.len()) == Some(self.0.as_bytes())
    }

    /// Whether it is `/`, with which every path begins.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Without a slash at its end: of `/` nothing is left.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PathPrefix {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let is_path = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
        if !text.starts_with('/') || !text.bytes().all(is_path) {
            return Err(PathError::Form);
        }
        if text.contains('*') {
            return Err(PathError::Wildcard);
        }
        if text.len() > MAX_LENGTH {
            return Err(PathError::Long(text.len()));
        }
        if let Some(what) = ambiguity(text) {
            return Err(PathError::Refused(what));
        }
        let reading = Reading::of(text.as_bytes());
        let plain = String::from_utf8_lossy(reading.as_bytes());
        match text {
            "/" => Ok(Self::default()),
            _ if text == plain => Ok(Self(text.to_owned())),
            _ if plain.is_empty() => Err(PathError::Spelling("/".to_owned())),
            _ => Err(PathError::Spelling(plain.into_owned())),
        }
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "/" } else { &self.0 })
    }
}

/// The first `length` bytes of `path`, if they are whole segments.
pub(super) fn prefix_of(path: &[u8], length: usize) -> Option<&[u8]> {
    match path.get(length) {
        None | Some(b'/' | b'?') => path.get(..length),
        // All paths begin with nothing, the `*` of OPTIONS too.
        Some(_) => (length == 0).then_some(&[]),
    }
}

/// What follows the first `length` bytes of `target`, the path of its route: nothing, or something
/// that begins with `?` or one slash. Two of them would begin the name of a host.
pub(super) fn rest(target: &str, length: usize) -> &str {
    let rest = target.get(length..).filter(|rest| rest.starts_with(['/', '?'])).unwrap_or_default();
    let slashes = rest.bytes().take_while(|byte| *byte == b'/').count();
    &rest[slashes.saturating_sub(1)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> PathPrefix {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn segments_match_as_a_whole() {
        for (text, path) in [
            ("/", "/"),
            ("/", "/a?b"),
            ("/", "*"),
            ("/", ""),
            ("/api", "/api"),
            ("/api", "/api/"),
            ("/api", "/api/v1"),
            ("/api", "/api?x=/"),
            ("/api", "/api//v1"),
            ("/a%20b", "/a%20b/c"),
        ] {
            assert!(prefix(text).matches(path), "{text} {path}");
        }
        for (text, path) in [
            ("/api", "/"),
            ("/api", "/ap"),
            ("/api", "/apis"),
            ("/api", "/API"),
            ("/api", "//api"),
            ("/api", "/?/api"),
            ("/api/v1", "/api"),
            ("/a%20b", "/a b"),
        ] {
            assert!(!prefix(text).matches(path), "{text} {path}");
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        for text in
            ["/", "/api", "/api/v1", "/~joe", "/a%20b", "/caf%C3%A9", "/x=1,2", "/.well-known", "/a@b:c"]
        {
            assert_eq!(prefix(text).to_string(), text);
        }
        let refusal = |text: &str| text.parse::<PathPrefix>().unwrap_err();
        for (text, spelling) in [
            ("/api/", "/api"),
            ("//", "/"),
            ("//api", "/api"),
            ("/a//b", "/a/b"),
            ("/%61pi", "/api"),
            ("/%7Ejoe", "/~joe"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a;v=1/b", "/a/b"),
            ("/a{b}", "/a%7Bb%7D"),
        ] {
            assert_eq!(refusal(text), PathError::Spelling(spelling.to_owned()), "{text}");
        }
        for text in ["/*", "/api/*", "/a*b"] {
            assert_eq!(refusal(text), PathError::Wildcard, "{text}");
        }
        for text in ["", "api", "*", "/a b", "/a?b", "/a#b", "/caf\u{e9}", "http://a/b"] {
            assert_eq!(refusal(text), PathError::Form, "{text}");
        }
        for text in ["/a/../b", "/a%2Fb", "/a\\b", "/a%", "/%00"] {
            assert!(matches!(refusal(text), PathError::Refused(_)), "{text}");
        }
        let longest = "/a".repeat(MAX_LENGTH / 2);
        assert_eq!(prefix(&longest).to_string(), longest);
        assert_eq!(refusal(&format!("{longest}/")), PathError::Long(MAX_LENGTH + 1));
    }
}
