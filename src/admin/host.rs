//! Which host a request was sent to, and whether that is this balancer.
//!
//! A page whose name was made to resolve to our address (DNS rebinding) can send requests that
//! the browser takes for its own; they carry the page's name as host. So only names that cannot
//! be rebound are served: addresses, `localhost`, and what the operator configured.

use std::net::{IpAddr, Ipv6Addr};

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Version};

use super::error::{Reason, Refusal};

/// A host and its port, as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Name or address; an IPv6 address without its brackets.
    pub(super) host: &'a str,
    /// Where given.
    pub(super) port: Option<u16>,
    bracketed: bool,
}

impl<'a> Target<'a> {
    /// Reads `host`, `host:port` or `[address]:port`; `None` for anything else.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (host, bracketed, rest) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, true, rest)
        } else {
            let end = text.find(':').unwrap_or(text.len());
            (&text[..end], false, &text[end..])
        };
        let port = match rest.strip_prefix(':') {
            // `host:` is `host` (RFC 3986, 3.2.3).
            Some("") => None,
            // `u16::from_str` takes a sign, which a port has not.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            None if rest.is_empty() => None,
            _ => return None,
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&b);
        let well_made = !host.is_empty() && (bracketed || host.bytes().all(plain));
        well_made.then_some(Self { host, port, bracketed })
    }

    /// Whether it is an address, `localhost` or one of `names` (in any case).
    pub(super) fn is_one_of(&self, names: &[String]) -> bool {
        self.bracketed
            || self.host.parse::<IpAddr>().is_ok()
            || self.host.eq_ignore_ascii_case("localhost")
            || names.iter().any(|name| name.eq_ignore_ascii_case(self.host))
    }
}

/// The host a request is for: the authority of its target, or else its one `Host` header.
pub(super) fn target(head: &Parts) -> Result<Target<'_>, Refusal> {
    let bad = |message: &str| Refusal::new(Reason::BadRequest, message);
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("more than one Host header"));
    }
    let authority = head.uri.authority();
    // HTTP/2 sends the host as `:authority`, which arrives in the target.
    if host.is_none() && (authority.is_none() || head.version < Version::HTTP_2) {
        return Err(bad("no Host header"));
    }
    let text = match authority {
        Some(authority) => authority.as_str(),
        None => host.map(HeaderValue::to_str).transpose().ok().flatten().unwrap_or_default(),
    };
    Target::parse(text).ok_or_else(|| bad("the host of the request is not host or host:port"))
}

/// Refuses a host that is not ours.
pub(super) fn check(target: &Target<'_>, names: &[String]) -> Result<(), Refusal> {
    if target.is_one_of(names) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::Misdirected,
        "admin requests are answered under an IP address, localhost, or a name given with --admin-host",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_are_ours() {
        let names = ["lb.example".to_owned()];
        for ours in [
            "127.0.0.1",
            "127.0.0.1:5000",
            "10.0.0.7:1",
            "[::1]",
            "[::1]:5001",
            "localhost",
            "LocalHost:5000",
            "localhost:",
            "LB.example:80",
        ] {
            assert!(Target::parse(ours).unwrap().is_one_of(&names), "{ours}");
        }
        for foreign in [
            "evil.example",
            "evil.example:5000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "localhost.",
            "xlb.example",
        ] {
            assert!(!Target::parse(foreign).unwrap().is_one_of(&names), "{foreign}");
        }
    }

    #[test]
    fn what_is_no_host_is_not_read_as_one() {
        for bad in [
            "",
            ":80",
            "a b",
            "localhost:+80",
            "localhost:65536",
            "localhost:80:80",
            "localhost:x",
            "::1",
            "[::1",
            "[::1]x",
            "[localhost]",
            "[]",
            "[127.0.0.1]",
            "user@localhost",
            "localhost/",
            "localhost#",
            "a\\localhost",
        ] {
            assert_eq!(Target::parse(bad), None, "{bad}");
        }
    }
}
