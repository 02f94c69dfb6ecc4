//! What was agreed with a client in the handshake.

use std::sync::Arc;

use super::Certificate;

/// One TLS session with a client.
#[derive(Clone, Debug)]
pub struct Session {
    /// The host that the client asked for; none from a client that named an address.
    pub(super) server_name: Option<Box<str>>,
    /// The certificate that it got.
    pub(super) certificate: Arc<Certificate>,
    /// The subject of its own certificate, if it has shown one.
    pub(super) client: Option<String>,
    /// Whether HTTP/2 was agreed on.
    pub(super) speaks_http2: bool,
}

impl Session {
    /// The subject of the client's certificate, as `CN=alice, O=Example`, if it has shown one. It is
    /// verified.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Whether HTTP/2 is spoken on it, and not HTTP/1.1.
    pub fn speaks_http2(&self) -> bool {
        self.speaks_http2
    }

    /// Whether a request for `host`, with or without a port, may come on it: for the host of the
    /// handshake, or another one that its certificate is for (RFC 9110, section 7.4).
    pub fn is_for(&self, host: &str) -> bool {
        let Some(server_name) = &self.server_name else { return true };
        let name = without_port(host);
        let name = name.strip_suffix('.').unwrap_or(name);
        name.eq_ignore_ascii_case(server_name) || self.certificate.covers(name)
    }
}

/// A host without its port, an IPv6 address without its brackets.
pub(super) fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_the_handshake_asked_for_or_the_certificate_is_for() {
        let provider = crate::tls::provider::default_provider();
        let certificate = Arc::new(Certificate::self_signed(&provider).unwrap());
        let session = |name: Option<&str>| Session {
            server_name: name.map(Into::into),
            certificate: Arc::clone(&certificate),
            client: None,
            speaks_http2: false,
        };
        let asked = session(Some("a.example"));
        for host in
            ["a.example", "A.example:443", "a.example.", "localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]"]
        {
            assert!(asked.is_for(host), "{host}");
        }
        for host in ["b.example", "a.example.b", "", "a", "[::2]:443"] {
            assert!(!asked.is_for(host), "{host}");
            assert!(session(None).is_for(host), "{host}");
        }
    }
}
