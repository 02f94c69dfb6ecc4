//! Access checks, in the order in which they are made: the host of the request, the origin of the page
//! that sent it, and the bearer token.
//!
//! Host: a page whose name was made to resolve to our address (DNS rebinding) can send requests that
//! the browser takes for requests to the page's own server; their host is the page's name. So only
//! hosts that cannot be rebound are served: addresses, `localhost`, and configured names.
//!
//! Origin: browsers send the origin of the page, and only pages of this balancer may send requests.
//! There is no CORS: a page of another origin that may not send requests has nothing to read. Behind an
//! edge the origin is that of the edge, which is configured, or which the browser vouches for.
//!
//! Token: RFC 6750.

use std::net::{IpAddr, Ipv6Addr};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version};
use subtle::ConstantTimeEq;

use super::AdminConfig;
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

/// Refuses requests to other hosts than an address, `localhost`, or a name that is configured, alone or
/// in an origin.
pub(super) fn check_host(target: &Target<'_>, config: &AdminConfig) -> Result<(), Refusal> {
    let of_origin = |origin: &String| {
        let host = Origin::parse(origin).map(|origin| origin.target.host);
        host.is_some_and(|host| host.eq_ignore_ascii_case(target.host))
    };
    if target.is_one_of(&config.hosts) || config.origins.iter().any(of_origin) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::Misdirected,
        "admin requests are answered under an IP address, localhost, or a name given with --admin-host or \
         --admin-origin",
    ))
}

/// Refuses requests that a page of another origin than `target` and the configured ones sent. `is_secure` is
/// whether the request came over TLS. If it did not, an edge in front may speak it, and pass on the host: that
/// the page is from there, and not from another server of the same host, only the browser knows. Requests
/// without such headers come from programs, or from browsers on behalf of their user.
pub(super) fn check_origin(
    headers: &HeaderMap,
    target: &Target<'_>,
    is_secure: bool,
    config: &AdminConfig,
) -> Result<(), Refusal> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let same = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => origin.to_str().ok().and_then(Origin::parse).is_some_and(|origin| {
            let is_same_scheme = origin.secure == is_secure || is_same_origin_fetch(headers);
            (is_same_scheme && origin.is_of(target)) || origin.is_one_of(&config.origins)
        }),
        (Some(_), Some(_)) => false,
    };
    if same && !is_cross_origin_fetch(headers) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::ForeignOrigin,
        "requests of pages of other origins than this balancer's own are refused; behind an edge, allow \
         the edge's origin with --admin-origin",
    ))
}

/// The origin of a page (RFC 6454): scheme, host and port.
#[derive(Clone, Copy, Debug)]
struct Origin<'a> {
    secure: bool,
    target: Target<'a>,
}

impl<'a> Origin<'a> {
    /// Reads `http://` or `https://` with a host and maybe a port, and nothing behind it.
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ => return None,
        };
        Some(Self { secure, target: Target::parse(rest)? })
    }

    /// The port that a URL of this scheme has if it names none.
    fn default_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }

    /// Whether this is the origin of pages from `target`, but for the scheme, of which that says nothing.
    fn is_of(&self, target: &Target<'_>) -> bool {
        self.target.host.eq_ignore_ascii_case(target.host)
            && self.port() == target.port.unwrap_or(self.default_port())
    }

    fn port(&self) -> u16 {
        self.target.port.unwrap_or(self.default_port())
    }

    fn is_one_of(&self, origins: &[String]) -> bool {
        let same = |other: Origin<'_>| self.secure == other.secure && self.is_of(&other.target);
        origins.iter().filter_map(|origin| Origin::parse(origin)).any(same)
    }
}

/// The origin that `text` is, as browsers send it: in lower case, without the port that its scheme has
/// anyway. `None` if it is none.
pub fn origin(text: &str) -> Option<String> {
    let origin = Origin::parse(text)?;
    let Target { host, bracketed, .. } = origin.target;
    let host = if bracketed { format!("[{host}]") } else { host.to_owned() };
    let port = Some(origin.port()).filter(|port| *port != origin.default_port());
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let scheme = if origin.secure { "https" } else { "http" };
    Some(format!("{scheme}://{host}{port}").to_ascii_lowercase())
}

/// Whether the browser says that the request goes to the origin that the page came from. No page can
/// set this header (Fetch standard: forbidden request-header).
fn is_same_origin_fetch(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let said = sites.next().is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"same-origin"));
    said && sites.next().is_none()
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
            ("http://127.0.0.1:5000/", "127.0.0.1:5000", false),
            ("http://127.0.0.1:5000@evil.example", "127.0.0.1:5000", false),
            ("127.0.0.1:5000", "127.0.0.1:5000", false),
            ("null", "127.0.0.1:5000", false),
            ("", "127.0.0.1:5000", false),
        ];
        for (origin, host, same) in cases {
            let target = Target::parse(host).unwrap();
            let config = AdminConfig::default();
            let passes = |is_secure, origin: &str| {
                let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_str(origin).unwrap())]);
                check_origin(&headers, &target, is_secure, &config).is_ok()
            };
            assert_eq!(passes(false, origin), same, "{origin} and {host}");
            if origin == "http://lb.example" {
                // Without a port the schemes have different ones.
                continue;
            }
            // Over TLS it is the other scheme.
            let secure = origin.replace("http:", "https:");
            assert_eq!(passes(true, &secure), same, "{secure} and {host}");
            assert!(!same || !passes(true, origin) && !passes(false, &secure));
        }
    }

    /// The origin and the host of a request, what the browser says, and whether it passes.
    #[test]
    fn an_edge_with_tls_is_ours_if_it_is_configured_or_the_browser_vouches() {
        let config = AdminConfig {
            hosts: vec!["lb.example".to_owned()],
            origins: vec!["https://ops.example".to_owned(), "https://[::1]:8443".to_owned()],
            ..AdminConfig::default()
        };
        let cases = [
            ("https://lb.example", "lb.example", Some("same-origin"), true),
            ("https://lb.example:8443", "lb.example:8443", Some("Same-Origin"), true),
            // Another server of the same host, for all we know.
            ("https://lb.example", "lb.example", None, false),
            ("https://lb.example", "lb.example", Some("none"), false),
            ("https://lb.example", "lb.example", Some("same-site"), false),
            ("https://lb.example:444", "lb.example", Some("same-origin"), false),
            ("https://evil.example", "lb.example", Some("same-origin"), false),
            ("https://evil.example", "127.0.0.1:5001", Some("same-origin"), false),
            // Configured: whatever host the edge asks for.
            ("https://ops.example", "ops.example", None, true),
            ("HTTPS://OPS.example:443", "127.0.0.1:5001", None, true),
            ("https://ops.example", "127.0.0.1:5001", Some("same-origin"), true),
            ("https://[::1]:8443", "localhost", None, true),
            ("https://ops.example", "127.0.0.1:5001", Some("cross-site"), false),
            ("http://ops.example", "127.0.0.1:5001", None, false),
            ("https://ops.example:8443", "127.0.0.1:5001", None, false),
            ("https://ops.example.evil.example", "127.0.0.1:5001", None, false),
        ];
        for (origin, host, site, passes) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
            site.map(|site| headers.insert("sec-fetch-site", HeaderValue::from_static(site)));
            let target = Target::parse(host).unwrap();
            let is =
                check_host(&target, &config).and_then(|()| check_origin(&headers, &target, false, &config));
            assert_eq!(is.is_ok(), passes, "{origin} for {host}, {site:?}");
        }
        let evil = Target::parse("evil.example").unwrap();
        assert!(check_host(&evil, &config).is_err());
    }

    #[test]
    fn an_origin_is_kept_as_browsers_send_it() {
        for (text, kept) in [
            ("https://ops.example", Some("https://ops.example")),
            ("HTTPS://Ops.Example:443", Some("https://ops.example")),
            ("http://ops.example:443", Some("http://ops.example:443")),
            ("http://10.0.0.1:80", Some("http://10.0.0.1")),
            ("https://[2001:DB8::1]:8443", Some("https://[2001:db8::1]:8443")),
            ("https://ops.example/", None),
            ("https://ops.example/lb", None),
            ("https://user@ops.example", None),
            ("ops.example", None),
            ("ftp://ops.example", None),
            ("null", None),
            ("*", None),
            ("https://", None),
            ("", None),
        ] {
            assert_eq!(origin(text).as_deref(), kept, "{text}");
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
