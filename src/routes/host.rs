//! The host of a route, and that of a request.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::names::is_host_name;

/// Which hosts a route is for. Displays as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// All of them, and requests that name none: `*`.
    #[default]
    Any,
    /// A name or an IPv4 address, in lower case.
    Name(String),
    /// An IPv6 address.
    Address(Ipv6Addr),
    /// Names that end like this, with one or more labels before it: `*.example.org`, kept without `*.`.
    Suffix(String),
}

/// A text that is no [`HostPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It is made otherwise.
    #[error("must be a host name, *.SUFFIX, an IPv6 address in brackets or *")]
    Form,
    /// There is something behind the host.
    #[error("is more than a host")]
    More(HostPattern),
    /// A wildcard is not the first label.
    #[error("has a * that is not its first label")]
    Wildcard,
    /// A name with other letters than those of ASCII.
    #[error("is not of ASCII letters")]
    Letters,
}

impl HostPattern {
    /// Whether it matches `host`: that of a request, perhaps with its port.
    pub fn matches(&self, host: &str) -> bool {
        match (self, Host::of(host)) {
            (Self::Any, _) => true,
            (Self::Name(name), Host::Name(host)) => name.eq_ignore_ascii_case(host),
            (Self::Address(address), Host::Address(host)) => *address == host,
            (Self::Suffix(suffix), Host::Name(host)) => {
                let end = suffix_of(host.as_bytes(), suffix.len());
                end.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
            }
            _ => false,
        }
    }

    /// How specific it is: of those that match a host, the greatest wins.
    pub fn specificity(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Suffix(suffix) => suffix.len(),
            Self::Name(_) | Self::Address(_) => usize::MAX,
        }
    }

    /// A host that it matches.
    pub(super) fn sample(&self) -> String {
        match self {
            Self::Any => String::new(),
            Self::Suffix(suffix) => format!("x.{suffix}"),
            exact => exact.to_string(),
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if !text.is_ascii() {
            return Err(HostError::Letters);
        }
        if let Some((address, "")) = in_brackets(text) {
            return address.parse().map(Self::Address).map_err(|_| HostError::Form);
        }
        let (suffix, wildcard) = text.strip_prefix("*.").map_or((text, false), |suffix| (suffix, true));
        if is_host_name(suffix) {
            let name = suffix.to_ascii_lowercase();
            return Ok(if wildcard { Self::Suffix(name) } else { Self::Name(name) });
        }
        match alone(text) {
            Some(meant) => Err(HostError::More(meant)),
            _ if suffix.contains('*') => Err(HostError::Wildcard),
            _ => Err(HostError::Form),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "[{address}]"),
            Self::Suffix(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// The host in a longer text: one with a scheme, a port, a path or the dot of the root.
fn alone(text: &str) -> Option<HostPattern> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = match authority.find(']') {
        Some(end) => &authority[..=end],
        None => without_port(authority),
    };
    if host.len() < text.len() { host.parse().ok() } else { None }
}

/// The host of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    /// A name or an IPv4 address in any case, without the dot of the root; what is neither, too.
    Name(&'a str),
    /// An IPv6 address.
    Address(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// That of `Host` or `:authority`, which may have a port.
    pub(super) fn of(text: &'a str) -> Self {
        match in_brackets(text) {
            Some((address, rest)) if rest.is_empty() || rest.starts_with(':') => {
                address.parse().map_or(Self::Name(text), Self::Address)
            }
            Some(_) => Self::Name(text),
            None => Self::Name(without_port(text)),
        }
    }
}

/// What is between the brackets that a text begins with, and behind them.
fn in_brackets(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('[')?.split_once(']')
}

fn without_port(text: &str) -> &str {
    let name = memchr::memchr(b':', text.as_bytes()).map_or(text, |colon| &text[..colon]);
    name.strip_suffix('.').unwrap_or(name)
}

/// The last `length` bytes of `host`, if they are whole labels behind other ones.
pub(super) fn suffix_of(host: &[u8], length: usize) -> Option<&[u8]> {
    let dot = host.len().checked_sub(length + 1).filter(|dot| *dot > 0 && host[*dot] == b'.')?;
    Some(&host[dot + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_a_suffix_an_address_or_any() {
        for (text, shown) in [
            ("*", "*"),
            ("Shop.Example", "shop.example"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("*.Example.org", "*.example.org"),
            ("*.org", "*.org"),
            ("[::1]", "[::1]"),
            ("[0:0::1]", "[::1]"),
        ] {
            assert_eq!(text.parse::<HostPattern>().map(|host| host.to_string()).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn what_is_no_host_is_told_why() {
        let refusal = |text: &str| text.parse::<HostPattern>().unwrap_err();
        let more = |host: &str| HostError::More(host.parse().unwrap());
        for (text, host) in [
            ("a.example:80", "a.example"),
            ("https://A.example/x", "a.example"),
            ("a.example.", "a.example"),
            ("*.example:80", "*.example"),
            ("[::1]:80", "[::1]"),
            ("*:80", "*"),
        ] {
            assert_eq!(refusal(text), more(host), "{text}");
        }
        assert_eq!(refusal("a.*.example"), HostError::Wildcard);
        assert_eq!(refusal("*example.org"), HostError::Wildcard);
        assert_eq!(refusal("*.*.org"), HostError::Wildcard);
        assert_eq!(refusal("b\u{fc}cher.example"), HostError::Letters);
        for text in ["", ".", "a b", "a..b", "-a", "[a]", "[::1", "::1", ".a", "a,b", ":80", "http://"] {
            assert_eq!(refusal(text), HostError::Form, "{text}");
        }
    }

    #[test]
    fn hosts_are_compared_without_case_port_and_last_dot() {
        let matches = |pattern: &str, host: &str| pattern.parse::<HostPattern>().unwrap().matches(host);
        for (pattern, host) in [
            ("*", ""),
            ("*", "[::1]:80"),
            ("a.example", "A.Example"),
            ("a.example", "a.example:8080"),
            ("a.example", "a.example.:8080"),
            ("a.example", "a.example."),
            ("[::1]", "[::1]:80"),
            ("[::1]", "[0:0:0:0:0:0:0:1]"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("*.example", "a.example"),
            ("*.example", "A.B.EXAMPLE.:1"),
        ] {
            assert!(matches(pattern, host), "{pattern} {host}");
        }
        for (pattern, host) in [
            ("a.example", ""),
            ("a.example", "b.a.example"),
            ("a.example", "a.example.."),
            ("a.example", "[a.example]"),
            ("[::1]", "::1"),
            ("[::1]", "[::2]"),
            ("[::1]", "[::1]a"),
            ("*.example", "example"),
            ("*.example", ".example"),
            ("*.example", "aexample"),
            ("*.example", "a.example.org"),
        ] {
            assert!(!matches(pattern, host), "{pattern} {host}");
        }
    }
}
