//! Access checks, in the order in which they are made: the host of the request, the origin of the page
//! that sent it, and the bearer token.
//!
//! Host: a page whose name was made to resolve to our address (DNS rebinding) can send requests that
//! the browser takes for requests to the page's own server; their host is the page's name. So only
//! hosts that cannot be rebound are served: addresses, `localhost`, and configured names.
//!
//! Origin: browsers send the origin of the page, and only pages of this balancer may send requests.
//! There is no CORS: a page of another origin that may not send requests has nothing to read.
//!
//! Token: RFC 6750.

use std::net::{IpAddr, Ipv6Addr};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version};
use subtle::ConstantTimeEq;

use super::error::{Reason, Refusal};

/// The host and port that a request was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Name or address; an IPv6 address without brackets.
    pub(super) host: &'a str,
    /// Port, if the request names one.
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
            // `u16::from_str` accepts a sign, which is not allowed here.
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

/// The host of a request: the authority of its target, else its one `Host` header.
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

/// Refuses requests to other hosts than an address, `localhost` or one of `names`.
pub(super) fn check_host(target: &Target<'_>, names: &[String]) -> Result<(), Refusal> {
    if target.is_one_of(names) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::Misdirected,
        "admin requests are answered under an IP address, localhost, or a name given with --admin-host",
    ))
}

/// Port of an `http` origin without one.
const DEFAULT_PORT: u16 = 80;

/// Refuses requests that a page of another origin than `target` sent. Requests without such headers
/// come from programs, or from browsers on behalf of their user.
pub(super) fn check_origin(headers: &HeaderMap, target: &Target<'_>) -> Result<(), Refusal> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let same = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => origin.to_str().is_ok_and(|origin| is_same_origin(origin, target)),
        (Some(_), Some(_)) => false,
    };
    if same && !is_cross_origin_fetch(headers) {
        return Ok(());
    }
    Err(Refusal::new(Reason::ForeignOrigin, "requests of other origins than this balancer's own are refused"))
}

/// Whether `origin` is `http://` with the host and port of `target`. The admin API has no TLS, so
/// another scheme is another origin.
fn is_same_origin(origin: &str, target: &Target<'_>) -> bool {
    let Some(origin) = origin.strip_prefix("http://").and_then(Target::parse) else { return false };
    origin.host.eq_ignore_ascii_case(target.host)
        && origin.port.unwrap_or(DEFAULT_PORT) == target.port.unwrap_or(DEFAULT_PORT)
}

/// Whether the browser says that the request is from another origin. `same-site` is another origin
/// too: every port of `localhost` is the same site. Unknown values are ignored (Fetch Metadata,
/// section 2).
fn is_cross_origin_fetch(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| {
        let site = site.as_bytes();
        site.eq_ignore_ascii_case(b"cross-site") || site.eq_ignore_ascii_case(b"same-site")
    })
}

/// The scheme and the space after it, in lower case.
const SCHEME: &[u8] = b"bearer ";

/// Refuses requests without exactly one `Authorization` header that has `token`. Without a configured
/// token, accepts all.
pub(super) fn check_token(headers: &HeaderMap, token: Option<&str>) -> Result<(), Refusal> {
    let Some(token) = token else { return Ok(()) };
    if presented(headers).is_some_and(|presented| is_equal(presented, token.as_bytes())) {
        return Ok(());
    }
    Err(Refusal::new(Reason::Unauthorized, "this needs the admin token: Authorization: Bearer TOKEN"))
}

/// The token that was sent. Not read from two headers: a proxy in front may have checked the other one.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    // The empty string is never a token, even if it is configured.
    (scheme.eq_ignore_ascii_case(SCHEME) && !token.is_empty()).then_some(token)
}

/// Compares in constant time, so that the time does not tell how many bytes were right. The length is
/// not hidden.
fn is_equal(presented: &[u8], token: &[u8]) -> bool {
    presented.ct_eq(token).into()
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

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let cases = [
            ("http://127.0.0.1:5000", "127.0.0.1:5000", true),
            ("http://localhost:5000", "LOCALHOST:5000", true),
            ("http://lb.example", "lb.example:80", true),
            ("http://[::1]:5000", "[::1]:5000", true),
            ("http://127.0.0.1:5001", "127.0.0.1:5000", false),
            ("http://localhost:5000", "127.0.0.1:5000", false),
            ("https://127.0.0.1:5000", "127.0.0.1:5000", false),
            ("http://127.0.0.1:5000/", "127.0.0.1:5000", false),
            ("http://127.0.0.1:5000@evil.example", "127.0.0.1:5000", false),
            ("127.0.0.1:5000", "127.0.0.1:5000", false),
            ("null", "127.0.0.1:5000", false),
            ("", "127.0.0.1:5000", false),
        ];
        for (origin, host, same) in cases {
            let target = Target::parse(host).unwrap();
            assert_eq!(is_same_origin(origin, &target), same, "{origin} and {host}");
        }
    }

    fn allowed(values: &[&'static str], token: &str) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        check_token(&headers, Some(token)).is_ok()
    }

    #[test]
    fn one_header_with_the_token_is_accepted() {
        assert!(allowed(&["Bearer s3cret"], "s3cret"));
        assert!(allowed(&["bEARER s3cret"], "s3cret"));
        for values in [
            &[][..],
            &["Bearer wrong!"],
            &["Bearer s3cre"],
            &["Bearer s3crets"],
            &["Bearer S3cret"],
            &["Bearer  s3cret"],
            &["Bearer "],
            &["Bearer"],
            &["s3cret"],
            &["Basic s3cret"],
            &["Bearer wrong!", "Bearer s3cret"],
            &["Bearer s3cret", "Bearer s3cret"],
        ] {
            assert!(!allowed(values, "s3cret"), "{values:?}");
        }
    }

    #[test]
    fn an_empty_token_is_never_accepted() {
        assert!(!allowed(&["Bearer "], ""));
        assert!(!allowed(&[], ""));
    }
}
