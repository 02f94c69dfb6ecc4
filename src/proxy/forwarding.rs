//! What a request says of the way that it came: `X-Forwarded-*`, `Forwarded` (RFC 7239),
//! `X-Real-IP` and `Via`.
//!
//! Replicas trust these fields, so they must not be what a client made up. From a trusted proxy they
//! are kept and extended, and the address of the client is taken from them. From any other peer
//! they are replaced by what is known of the connection, and those that are not set here are removed.
//! `Via` names the proxies on the way, for loops and for people; it is kept from any peer.

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use http::header::{FORWARDED, HOST, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use ipnet::IpNet;

use super::via::Via;

pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The subject of the certificate that a client has shown.
pub(crate) const CLIENT_SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Which fields about its way a head has. A bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WayFields(u8);

impl WayFields {
    const VIA: u8 = 1;
    const FOR: u8 = 2;
    const PROTO: u8 = 4;
    const HOST: u8 = 8;
    const FORWARDED: u8 = 16;
    /// One that is never set here.
    const OTHER: u8 = 32;

    /// Those of a head.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        headers.keys().for_each(|name| found.note(name.as_str()));
        found
    }

    /// Notes the field of this name, if it is one of them. Many servers take `_` for `-`, also in a part
    /// of a name.
    #[inline]
    pub(crate) fn note(&mut self, name: &str) {
        self.0 |= match name.len() {
            3 if name == "via" => Self::VIA,
            9 if name == "forwarded" => Self::FORWARDED,
            9 if begins_like(name, "x-real-ip") => Self::OTHER,
            // Set here alone, where a client has shown a certificate.
            21.. if begins_like(name, "x-client-cert-subject") => Self::OTHER,
            13.. if begins_like(name, "x-forwarded-") => match name {
                "x-forwarded-for" => Self::FOR,
                "x-forwarded-proto" => Self::PROTO,
                "x-forwarded-host" => Self::HOST,
                _ => Self::OTHER,
            },
            _ => 0,
        }
    }

    fn has(self, field: u8) -> bool {
        self.0 & field != 0
    }

    /// Whether a proxy passed the request on, or its client pretends so.
    pub(crate) fn tells_of_a_proxy(self) -> bool {
        self.0 != 0
    }

    /// Whether any tells who the client is.
    fn tells_of_the_client(self) -> bool {
        self.0 & !Self::VIA != 0
    }
}

/// Tells the next hop whose certificate the client has shown, and nothing else of the kind.
pub(crate) fn tell_subject(headers: &mut HeaderMap, subject: &str) {
    let is_claim = |name: &&HeaderName| begins_like(name.as_str(), CLIENT_SUBJECT.as_str());
    let claims: Vec<HeaderName> = headers.keys().filter(is_claim).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
    if let Ok(subject) = HeaderValue::try_from(subject) {
        headers.insert(CLIENT_SUBJECT, subject);
    }
}

/// Whether `name` begins with `prefix`, with `_` for the same as `-`.
fn begins_like(name: &str, prefix: &str) -> bool {
    let same = |(ours, theirs): (u8, u8)| ours == theirs || (ours == b'-' && theirs == b'_');
    name.len() >= prefix.len() && std::iter::zip(prefix.bytes(), name.bytes()).all(same)
}

/// Whether a field is one of those that the next hop relies on.
pub(crate) fn is_of_way(name: &HeaderName) -> bool {
    let mut found = WayFields::default();
    found.note(name.as_str());
    found.tells_of_a_proxy()
}

/// What the next hop is to be told of the way of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarding {
    /// `Host`, where it came with one.
    host: Option<HeaderValue>,
    /// The version it came with.
    version: Version,
    /// Those that came and are kept.
    found: WayFields,
    /// Whether it came over TLS.
    pub(crate) is_secure: bool,
}

impl Forwarding {
    /// Of a request with these fields, from a peer that is a trusted proxy or not. What must not be
    /// passed on is removed from `headers`.
    pub(crate) fn new(
        headers: &mut HeaderMap,
        host: Option<HeaderValue>,
        version: Version,
        found: WayFields,
        trusted: bool,
    ) -> Self {
        if !trusted && found.tells_of_the_client() {
            let is_claim = |name: &&HeaderName| is_of_way(name) && **name != VIA;
            let claims: Vec<HeaderName> = headers.keys().filter(is_claim).cloned().collect();
            for name in claims {
                headers.remove(name);
            }
        }
        let found = if trusted { found } else { WayFields(found.0 & WayFields::VIA) };
        Self { host, version, found, is_secure: false }
    }

    /// Adds what is known here: the request came from `peer`, to a balancer that calls itself `via`,
    /// if it tells.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap, peer: &HeaderValue, via: Option<&Via>) {
        append(headers, FORWARDED_FOR, self.found.has(WayFields::FOR), peer);
        if let Some(via) = via {
            append(headers, VIA, self.found.has(WayFields::VIA), via.value(self.version));
        }
        if self.found.has(WayFields::FORWARDED) {
            append(headers, FORWARDED, true, &self.element(peer));
        }
        if !self.found.has(WayFields::PROTO) {
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static(self.scheme()));
        }
        match &self.host {
            Some(host) if !self.found.has(WayFields::HOST) => {
                headers.insert(FORWARDED_HOST, host.clone());
            }
            Some(_) => {}
            // From an HTTP/1.0 client. In HTTP/1.1 a host that is not known is an empty one.
            None => drop(headers.insert(HOST, HeaderValue::from_static(""))),
        }
    }

    /// The host that it is for, where one is known.
    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_ref().and_then(|host| host.to_str().ok())
    }

    fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }

    /// Our element of `Forwarded` (RFC 7239, section 4).
    fn element(&self, peer: &HeaderValue) -> HeaderValue {
        let mut text = BytesMut::from(&b"for="[..]);
        if peer.as_bytes().contains(&b':') {
            text.put_slice(b"\"[");
            text.put_slice(peer.as_bytes());
            text.put_slice(b"]\"");
        } else {
            text.put_slice(peer.as_bytes());
        }
        // What a host is made of is checked before; none of it ends a quoted string.
        if let Some(host) = &self.host {
            text.put_slice(b";host=\"");
            text.put_slice(host.as_bytes());
            text.put_slice(b"\"");
        }
        text.put_slice(b";proto=");
        text.put_slice(self.scheme().as_bytes());
        HeaderValue::from_maybe_shared(text.freeze()).expect("it is made of header values")
    }
}

/// Sets a list-valued field to what came, if anything, and `ours` behind it.
fn append(headers: &mut HeaderMap, name: HeaderName, present: bool, ours: &HeaderValue) {
    if !present {
        headers.insert(name, ours.clone());
        return;
    }
    let mut list = BytesMut::new();
    for value in headers.get_all(&name) {
        list.put_slice(value.as_bytes());
        list.put_slice(b", ");
    }
    list.put_slice(ours.as_bytes());
    let list = HeaderValue::from_maybe_shared(list.freeze()).expect("header values joined by a comma");
    headers.insert(name, list);
}

/// Whether a peer is one of the proxies whose word is taken.
pub(crate) fn is_trusted(peer: IpAddr, proxies: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    proxies.iter().any(|network| network.contains(&peer))
}

/// The client of a request that came from `peer`, a trusted proxy: the last address on its way that
/// is not one of `proxies`. Those before it may be made up. Taken from the first of
/// `X-Forwarded-For`, `Forwarded` and `X-Real-IP` that is there.
pub(crate) fn client(headers: &HeaderMap, peer: IpAddr, proxies: &[IpNet]) -> IpAddr {
    let way: Vec<Option<IpAddr>> = if headers.contains_key(FORWARDED_FOR) {
        elements(headers, &FORWARDED_FOR).map(address).collect()
    } else if headers.contains_key(FORWARDED) {
        elements(headers, &FORWARDED).map(|element| address(forwarded_for(element)?)).collect()
    } else {
        elements(headers, &REAL_IP).map(address).collect()
    };
    let mut client = peer.to_canonical();
    for hop in way.iter().rev() {
        // What is no address was put there by somebody that is not trusted, or hides its client.
        let Some(hop) = *hop else { break };
        client = hop;
        if !is_trusted(hop, proxies) {
            break;
        }
    }
    client
}

/// The elements of a list-valued field, in order.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().flat_map(|value| split(value.as_bytes(), b','))
}

/// The parts between `separator`s that are outside of quotes.
fn split(bytes: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let at_separator = |byte: &u8| {
        let separates = *byte == separator && !is_quoted;
        is_quoted ^= *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && is_quoted && !is_escaped;
        separates
    };
    bytes.split(at_separator).collect()
}

/// The value of `for` in an element of `Forwarded`.
fn forwarded_for(element: &[u8]) -> Option<&[u8]> {
    split(element, b';').into_iter().find_map(|pair| {
        let (name, value) = pair.trim_ascii().split_at_checked("for=".len())?;
        let value = value.strip_prefix(b"\"").map_or(Some(value), |value| value.strip_suffix(b"\""))?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    })
}

/// An address, perhaps with a port, an IPv6 address perhaps in brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None if text.matches(':').count() == 1 => text.split(':').next()?,
        None => text,
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    /// What is passed on of these fields, in alphabetical order.
    fn passed_on(fields: &[(&str, &str)], trusted: bool) -> Vec<String> {
        let mut headers = headers(fields);
        let found = WayFields::of(&headers);
        let host = Some(HeaderValue::from_static("a.example"));
        let forwarding = Forwarding::new(&mut headers, host, Version::HTTP_11, found, trusted);
        forwarding.add_to(&mut headers, &HeaderValue::from_static("10.0.0.1"), None);
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().expect("text"));
        let mut lines: Vec<_> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    const CLAIMS: &[(&str, &str)] = &[
        ("x-forwarded-for", "9.9.9.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-prefix", "/shop"),
        ("forwarded", "for=9.9.9.9;proto=https"),
        ("x-real-ip", "9.9.9.9"),
        ("x_forwarded_for", "9.9.9.9"),
        ("x_real_ip", "9.9.9.9"),
        ("x-forwarded_for", "9.9.9.9"),
        ("x_forwarded-proto", "https"),
        ("x-real_ip", "9.9.9.9"),
    ];

    #[test]
    fn what_a_client_claims_is_replaced() {
        let expected =
            ["x-forwarded-for: 10.0.0.1", "x-forwarded-host: a.example", "x-forwarded-proto: http"];
        assert_eq!(passed_on(CLAIMS, false), expected);
        assert_eq!(passed_on(&[], false), expected);
        assert_eq!(passed_on(&[], true), expected);
    }

    #[test]
    fn what_a_trusted_proxy_says_is_kept_and_extended() {
        assert_eq!(
            passed_on(CLAIMS, true),
            [
                "forwarded: for=9.9.9.9;proto=https, for=10.0.0.1;host=\"a.example\";proto=http",
                "x-forwarded-for: 9.9.9.9, 10.0.0.1",
                "x-forwarded-host: shop.example",
                "x-forwarded-port: 443",
                "x-forwarded-prefix: /shop",
                "x-forwarded-proto: https",
                "x-forwarded_for: 9.9.9.9",
                "x-real-ip: 9.9.9.9",
                "x-real_ip: 9.9.9.9",
                "x_forwarded-proto: https",
                "x_forwarded_for: 9.9.9.9",
                "x_real_ip: 9.9.9.9",
            ]
        );
    }

    #[test]
    fn the_client_is_the_last_that_is_not_trusted() {
        let proxies: Vec<IpNet> =
            ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network")).into();
        let peer = IpAddr::from([10, 0, 0, 1]);
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[], "10.0.0.1"),
            (&[("x-forwarded-for", "1.1.1.1")], "1.1.1.1"),
            (&[("x-forwarded-for", "1.1.1.1, 2.2.2.2, 10.0.0.9")], "2.2.2.2"),
            (&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "10.0.0.9")], "1.1.1.1"),
            (&[("x-forwarded-for", "10.0.0.8, 10.0.0.9")], "10.0.0.8"),
            (&[("x-forwarded-for", "1.1.1.1, junk, 10.0.0.9")], "10.0.0.9"),
            (&[("x-forwarded-for", "")], "10.0.0.1"),
            (&[("x-forwarded-for", "1.1.1.1:4711")], "1.1.1.1"),
            (&[("x-forwarded-for", "2001:db8::1, fd00::1")], "2001:db8::1"),
            (&[("x-forwarded-for", "[2001:db8::1]:80")], "2001:db8::1"),
            (&[("x-forwarded-for", "::ffff:1.1.1.1")], "1.1.1.1"),
            (&[("forwarded", "for=1.1.1.1;proto=https, For=\"[fd00::2]:1\"")], "1.1.1.1"),
            (&[("forwarded", "for=_hidden, for=10.0.0.9")], "10.0.0.9"),
            (&[("forwarded", "for=1.1.1.1;host=\"x,for=6.6.6.6\"")], "1.1.1.1"),
            (&[("forwarded", "host=\"a;for=6.6.6.6\";for=1.1.1.1")], "1.1.1.1"),
            (&[("forwarded", "for=1.1.1.1, for=\"6.6.6.6")], "10.0.0.1"),
            (&[("x-forwarded-for", "\u{ff}, 1.1.1.1")], "1.1.1.1"),
            (&[("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=2.2.2.2")], "1.1.1.1"),
            (&[("x-real-ip", "1.1.1.1")], "1.1.1.1"),
        ];
        for (fields, expected) in table {
            assert_eq!(client(&headers(fields), peer, &proxies).to_string(), *expected, "{fields:?}");
        }
    }
}
