//! Routes that send clients elsewhere.

use std::fmt;
use std::str::FromStr;

use super::host::{HostError, HostPattern};
use super::path::rest;

/// Where a redirect leads: a path of the same host, or a URL. What follows the path of the route in a
/// request is appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectTarget(String);

/// A text that is no [`RedirectTarget`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is neither.
    #[error("must be a path that starts with '/', or a URL of http or https")]
    Form,
    /// What is appended would become a part of the query.
    #[error("has a query or a fragment, behind which nothing can be appended")]
    Query,
}

impl RedirectTarget {
    /// The path, if it is one of the same host.
    pub(super) fn path(&self) -> Option<&str> {
        self.0.starts_with('/').then_some(&self.0)
    }
}

impl FromStr for RedirectTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.contains(['?', '#']) {
            return Err(TargetError::Query);
        }
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        // Two slashes begin a host.
        let is_path = text.starts_with('/') && !text.starts_with("//");
        match text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
            _ if !visible => Err(TargetError::Form),
            None if is_path => Ok(Self(text.to_owned())),
            Some(rest) if is_authority(rest.split('/').next().unwrap_or(rest)) => {
                let end = if rest.contains('/') { "" } else { "/" };
                Ok(Self(format!("{text}{end}")))
            }
            _ => Err(TargetError::Form),
        }
    }
}

/// Whether it is a host, with a port or without.
fn is_authority(text: &str) -> bool {
    let exact = |host: &HostPattern| matches!(host, HostPattern::Name(_) | HostPattern::Address(_));
    match text.parse::<HostPattern>() {
        Ok(host) => exact(&host),
        Err(HostError::More(host)) => {
            let port = text.rsplit_once(':').map(|(_, port)| port);
            exact(&host) && port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
        }
        Err(_) => false,
    }
}

impl fmt::Display for RedirectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Status of a redirect: whether it is for good, and whether the method stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectStatus(u16);

/// A text that is no [`RedirectStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 301, 302, 307 or 308")]
pub struct StatusError;

impl RedirectStatus {
    /// Those there are.
    pub const NAMES: &'static [&'static str] = &["301", "302", "307", "308"];

    /// The code.
    pub fn code(self) -> u16 {
        self.0
    }
}

impl Default for RedirectStatus {
    /// For good, with the same method.
    fn default() -> Self {
        Self(308)
    }
}

impl FromStr for RedirectStatus {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        let known = Self::NAMES.contains(&text);
        text.parse().ok().filter(|_| known).map(Self).ok_or(StatusError)
    }
}

/// What a route does that sends clients elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Redirect {
    pub(super) to: RedirectTarget,
    pub(super) status: RedirectStatus,
    /// Length of the path of the route.
    pub(super) prefix: usize,
}

impl Redirect {
    /// Where it leads, without what is appended.
    pub fn to(&self) -> &RedirectTarget {
        &self.to
    }

    /// The status of the response.
    pub fn status(&self) -> RedirectStatus {
        self.status
    }

    /// Where a request goes instead: the target of the redirect in place of the route's path, then what
    /// follows that in `target`, the request's path and query.
    ///
    /// It is made of what the client sent, which may not be of visible ASCII alone.
    pub fn location(&self, target: &str) -> String {
        let (to, rest) = (self.to.0.as_str(), rest(target, self.prefix));
        let to = if rest.starts_with('/') { to.strip_suffix('/').unwrap_or(to) } else { to };
        format!("{to}{rest}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_paths_or_urls() {
        for (text, shown) in [
            ("/new", "/new"),
            ("/", "/"),
            ("/new/", "/new/"),
            ("https://a.example", "https://a.example/"),
            ("https://a.example:8443/x", "https://a.example:8443/x"),
            ("http://[::1]:80/x/", "http://[::1]:80/x/"),
        ] {
            assert_eq!(text.parse::<RedirectTarget>().map(|target| target.to_string()).as_deref(), Ok(shown));
        }
        let refusal = |text: &str| text.parse::<RedirectTarget>().unwrap_err();
        for text in [
            "",
            "new",
            "//a.example/x",
            "ftp://a/",
            "https://",
            "https:///x",
            "https://a@b/",
            "https://a:x/",
            "https://a:0/",
            "https://*.a/",
            "https://*/",
            "/a b",
            "/\\a",
            "https://a.",
        ] {
            assert_eq!(refusal(text), TargetError::Form, "{text}");
        }
        assert_eq!([refusal("/a?b"), refusal("https://a/#b")], [TargetError::Query, TargetError::Query]);
    }

    #[test]
    fn four_statuses_are_known() {
        for text in RedirectStatus::NAMES {
            assert_eq!(text.parse::<RedirectStatus>().unwrap().code().to_string(), *text);
        }
        for text in ["", "303", "0308", "+308", "200"] {
            assert!(text.parse::<RedirectStatus>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_rest_of_the_request_is_kept() {
        let location = |path: &str, to: &str, target: &str| {
            let prefix = if path == "/" { 0 } else { path.len() };
            Redirect { to: to.parse().unwrap(), status: RedirectStatus::default(), prefix }.location(target)
        };
        for (path, to, target, expected) in [
            ("/old", "/new", "/old", "/new"),
            ("/old", "/new", "/old/", "/new/"),
            ("/old", "/new", "/old/a?b=/c", "/new/a?b=/c"),
            ("/old", "/new", "/old?b", "/new?b"),
            ("/old", "/new/", "/old/a", "/new/a"),
            ("/old", "/new/", "/old?b", "/new/?b"),
            ("/old", "/", "/old", "/"),
            ("/old", "/", "/old/a", "/a"),
            ("/old", "https://b.example", "/old/a", "https://b.example/a"),
            ("/", "https://b.example", "/a/b?c", "https://b.example/a/b?c"),
            ("/", "https://b.example/x", "/", "https://b.example/x/"),
            ("/", "https://b.example/x", "*", "https://b.example/x"),
            // No other host than that of the target.
            ("/old", "/", "/old//evil.example", "/evil.example"),
            ("/old", "/new", "/old///a//b", "/new/a//b"),
        ] {
            assert_eq!(location(path, to, target), expected, "{path} {to} {target}");
        }
    }
}
