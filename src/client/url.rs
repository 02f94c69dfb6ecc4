//! URLs of balancers.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A URL of the form `http://HOST[:PORT][/PATH]`. That of an admin API has no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Host and port as given.
    authority: String,
    port: u16,
    /// Path and query; `/` where none is given.
    path: String,
}

/// Error: the text is not such a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use http://HOST:PORT{0}")]
pub struct BadUrl(&'static str);

impl Url {
    /// Parses the URL of an admin API.
    ///
    /// # Errors
    /// It is not a URL, or it has a path.
    pub fn of_api(text: &str) -> Result<Self, BadUrl> {
        text.parse().ok().filter(|url: &Self| url.path == "/").ok_or(BadUrl(""))
    }

    /// The URL of a server on this machine that listens on `address`. The unspecified address is
    /// replaced with the loopback address.
    pub fn local(mut address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Self { authority: address.to_string(), port: address.port(), path: "/".to_owned() }
    }

    /// The URL with another path, which begins with a slash.
    #[must_use]
    pub fn with_path(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// Host and port to connect to.
    pub fn address(&self) -> String {
        if self.has_port() { self.authority.clone() } else { format!("{}:{}", self.authority, self.port) }
    }

    /// Host and port as given, for the header `Host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn has_port(&self) -> bool {
        // Compared as a number, because it may have leading zeros.
        self.authority.rsplit_once(':').is_some_and(|(_, port)| port.parse() == Ok(self.port))
    }
}

impl FromStr for Url {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        const BAD: BadUrl = BadUrl("/PATH");
        let uri: Uri = text.parse().map_err(|_| BAD)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(BAD)?;
        let port = match authority.as_str().strip_prefix(authority.host()) {
            None | Some("") => Some(80),
            Some(_) => authority.port_u16(),
        };
        if uri.scheme_str() != Some("http") || authority.host().is_empty() {
            return Err(BAD);
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        Ok(Self { authority: authority.to_string(), port: port.ok_or(BAD)?, path })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path == "/" { "" } else { &self.path };
        write!(f, "http://{}{path}", self.authority)
    }
}

/// What is encoded in a segment of a path: all but the unreserved characters (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Percent-encodes `text` as a segment of a path.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_host_port_and_path() {
        for (text, address, path, told) in [
            ("http://127.0.0.1:5001", "127.0.0.1:5001", "/", "http://127.0.0.1:5001"),
            ("http://localhost:05001", "localhost:05001", "/", "http://localhost:05001"),
            ("http://localhost/", "localhost:80", "/", "http://localhost"),
            ("http://[::1]:9/a?b", "[::1]:9", "/a?b", "http://[::1]:9/a?b"),
            ("http://[::1]", "[::1]:80", "/", "http://[::1]"),
            ("http://balancer/readyz", "balancer:80", "/readyz", "http://balancer/readyz"),
            ("http://a?b", "a:80", "/?b", "http://a/?b"),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.address().as_str(), url.path()), (address, path), "{text}");
            assert_eq!(url.to_string(), told);
        }
        for text in
            ["", "/a", "127.0.0.1:1", "https://a", "http://", "http://a@b/", "http://a b/", "http://a:99999"]
        {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }

    #[test]
    fn that_of_an_api_has_no_path() {
        assert_eq!(Url::of_api("http://a:1/").unwrap().to_string(), "http://a:1");
        for text in ["http://a/b", "http://a/?b", "a:1"] {
            assert_eq!(Url::of_api(text).unwrap_err().to_string(), "use http://HOST:PORT", "{text}");
        }
    }

    #[test]
    fn what_listens_everywhere_is_here_too() {
        for (address, url) in [
            ("0.0.0.0:9", "http://127.0.0.1:9"),
            ("[::]:9", "http://[::1]:9"),
            ("10.0.0.7:9", "http://10.0.0.7:9"),
        ] {
            assert_eq!(Url::local(address.parse().unwrap()).to_string(), url);
        }
    }

    #[test]
    fn a_segment_of_a_path_holds_any_text() {
        assert_eq!(encode("Server 1/ü"), "Server%201%2F%C3%BC");
    }
}
