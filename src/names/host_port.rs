//! `host:port`, as in `--upstream`, `endpoints` of `/add`, `--docker-host` and URLs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Longest host name, in characters (RFC 1035, 2.3.4, without the dot of the root).
const MAX_HOST: usize = 253;

/// Longest label of a host name, in characters.
const MAX_LABEL: usize = 63;

/// A host and a port to connect to: a host name or an IPv4 address, or an IPv6 address in
/// brackets; and a port from 1 to 65535. Equal in any case of the letters.
#[derive(Clone, Debug)]
pub struct HostPort {
    /// As it was written; an IPv6 address with its brackets.
    host: String,
    port: u16,
}

/// A text that is not a [`HostPort`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be HOST:PORT")]
pub struct HostPortError;

impl HostPort {
    /// `host`, an IPv6 address in brackets, with `port`.
    ///
    /// # Errors
    /// The host is neither a name nor an address, or the port is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, HostPortError> {
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host =
            bracketed.map_or_else(|| is_host_name(host), |address| address.parse::<Ipv6Addr>().is_ok());
        if is_host && port > 0 { Ok(Self { host: host.to_owned(), port }) } else { Err(HostPortError) }
    }

    /// What to write in place of a text that is none, where that can be told: a URL has a scheme.
    pub fn hint(text: &str) -> Option<String> {
        let (scheme, rest) = text.split_once("://")?;
        let (default, more) = match scheme {
            "http" => (80, ""),
            "https" => (443, "; for TLS to all replicas use --upstream-tls on"),
            _ => return Some("leave out the scheme".to_owned()),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let meant = authority.parse().or_else(|_| Self::new(authority, default));
        Some(meant.map_or_else(
            |_| format!("leave out the scheme{more}"),
            |meant| format!("leave out the scheme: {meant}{more}"),
        ))
    }

    /// The host as it was written; an IPv6 address with its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether connections to it are taken by a socket of this machine that listens at `listening`, as
    /// far as that can be told without looking a name up.
    pub fn leads_to(&self, listening: SocketAddr) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let addresses = match bare.parse::<IpAddr>() {
            // To connect to no address in particular is to connect to loopback.
            Ok(IpAddr::V4(address)) if address.is_unspecified() => vec![Ipv4Addr::LOCALHOST.into()],
            Ok(IpAddr::V6(address)) if address.is_unspecified() => vec![Ipv6Addr::LOCALHOST.into()],
            Ok(address) => vec![address.to_canonical()],
            Err(_) if bare.eq_ignore_ascii_case("localhost") => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            Err(_) => Vec::new(),
        };
        let at = listening.ip();
        // A socket for all IPv6 addresses takes IPv4 too.
        let all = |address: &IpAddr| at.is_unspecified() && (at.is_ipv6() || address.is_ipv4());
        let leads = |address: &IpAddr| *address == at || address.is_loopback() && all(address);
        self.port == listening.port() && addresses.iter().any(leads)
    }

    /// The spelling that all equal ones share: in lower case.
    pub fn folded(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError)?;
        // `u16::from_str` takes a sign, which a port has not.
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or(HostPortError)?;
        Self::new(host, port)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl PartialEq for HostPort {
    fn eq(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl Eq for HostPort {}

/// Whether `text` is made as a host name or an IPv4 address is: labels of 1 to 63 letters, digits,
/// inner `-`, and `_` (which names of containers have), 253 characters in all.
pub fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAX_HOST && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_has_a_hint() {
        let hint = |text: &str| HostPort::hint(text).unwrap_or_default();
        assert_eq!(hint("http://web:8080/"), "leave out the scheme: web:8080");
        assert_eq!(hint("http://web"), "leave out the scheme: web:80");
        assert_eq!(hint("http://[::1]:81/a?b"), "leave out the scheme: [::1]:81");
        assert_eq!(
            hint("https://web/"),
            "leave out the scheme: web:443; for TLS to all replicas use --upstream-tls on"
        );
        assert_eq!((hint("tcp://a:1"), hint("http://")), (hint("x://"), hint("x://")));
        assert_eq!(HostPort::hint("web"), None);
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for text in ["10.0.0.7:8080", "web-1.internal:80", "[::1]:8080", "web_1:1", "a.b.example:65535"] {
            assert_eq!(text.parse::<HostPort>().map(|found| found.to_string()).as_deref(), Ok(text));
        }
        let long = format!("{}:80", "a".repeat(64));
        for text in [
            "",
            "web",
            "web:",
            ":80",
            "web:0",
            "web:65536",
            "web:+1",
            "::1:80",
            "[::1]",
            "[::1:80",
            "[web]:80",
            "a b:80",
            "http://web:80",
            "a..b:80",
            "-a:80",
            "a-.b:80",
            "web:80/",
            "web:\u{663}",
            &long,
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(HostPortError), "{text}");
        }
    }

    #[test]
    fn letters_are_the_same_in_any_case() {
        let parse = |text: &str| text.parse::<HostPort>().unwrap();
        assert_eq!(parse("Web:80"), parse("wEB:080"));
        assert_eq!(parse("Web:80").folded(), "web:80");
        assert_ne!(parse("web:80"), parse("web:81"));
    }

    #[test]
    fn an_address_may_lead_to_our_own_socket() {
        let leads = |text: &str, listening: &str| {
            text.parse::<HostPort>().unwrap().leads_to(listening.parse().unwrap())
        };
        for (text, listening) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("localhost:80", "127.0.0.1:80"),
            ("LocalHost:80", "[::1]:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("127.0.0.9:80", "0.0.0.0:80"),
            ("127.0.0.1:80", "[::]:80"),
            ("[::1]:80", "[::]:80"),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert!(leads(text, listening), "{text} {listening}");
        }
        for (text, listening) in [
            ("127.0.0.1:81", "127.0.0.1:80"),
            ("127.0.0.2:80", "127.0.0.1:80"),
            ("[::1]:80", "127.0.0.1:80"),
            ("[::1]:80", "0.0.0.0:80"),
            ("10.0.0.1:80", "127.0.0.1:80"),
            ("web:80", "0.0.0.0:80"),
        ] {
            assert!(!leads(text, listening), "{text} {listening}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(text in "\\PC{0,12}(:[0-9]{0,6})?") {
            if let Ok(found) = text.parse::<HostPort>() {
                prop_assert_eq!(found.to_string().parse(), Ok(found));
            }
        }
    }
}
