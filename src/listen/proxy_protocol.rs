//! The PROXY protocol, versions 1 and 2: what a proxy says of its client at the beginning of a connection
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>). Pure: bytes in, a header out, and back.
//!
//! Strict, because what follows is taken for the word of another client: one space is one space, and nothing
//! is skipped but the end of a header of version 2 (TLVs), which is not looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header of version 1, with its line break.
const MAX_V1: usize = 107;

/// Longest header of version 2 that is taken: addresses and some TLVs. nginx has the same limit.
const MAX_V2: usize = 4096;

/// How a header of version 2 begins, and how many bytes it has before its addresses.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_V2: usize = 16;

/// How one of version 1 begins, and the shortest there is.
const PREFIX: &[u8; 6] = b"PROXY ";
const MIN_V1: usize = b"PROXY UNKNOWN\r\n".len();

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What a header says: the two ends of the connection of the client to the proxy; `None` for a connection of
/// the proxy's own, such as a health check (`LOCAL`), or one that it knows nothing of (`UNKNOWN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source, which is the client, and destination; both of one family.
    pub ends: Option<(SocketAddr, SocketAddr)>,
}

/// What the beginning of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A header of this length.
    Header(Header, usize),
    /// A part of one, of which at least so many bytes are to come.
    Missing(usize),
}

/// Why something is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It begins otherwise.
    #[error("the connection does not begin with a header of the PROXY protocol")]
    None,
    /// It is longer than any may be.
    #[error("the header of the PROXY protocol is too long")]
    TooLong,
    /// It begins like one, and goes on in a way that none does.
    #[error("the header of the PROXY protocol is malformed: {0}")]
    Malformed(&'static str),
}

/// Reads the header at the beginning of `bytes`.
///
/// # Errors
/// There is none, whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let begins_like = |start: &[u8]| std::iter::zip(start, bytes).all(|(expected, byte)| expected == byte);
    if bytes.is_empty() {
        Ok(Parsed::Missing(MIN_V1))
    } else if begins_like(PREFIX) {
        parse_v1(bytes)
    } else if begins_like(SIGNATURE) {
        parse_v2(bytes)
    } else {
        Err(HeaderError::None)
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let line = &bytes[..bytes.len().min(MAX_V1)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        if bytes.len() >= MAX_V1 {
            return Err(HeaderError::TooLong);
        }
        let ends = if line.last() == Some(&b'\r') { 1 } else { 2 };
        return Ok(Parsed::Missing(MIN_V1.saturating_sub(bytes.len()).max(ends)));
    };
    let malformed = HeaderError::Malformed;
    let text =
        std::str::from_utf8(&line[PREFIX.len().min(end)..end]).map_err(|_| malformed("it is not text"))?;
    let length = end + 2;
    // What follows is not for us to understand.
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Ok(Parsed::Header(Header { ends: None }, length));
    }
    let mut words = text.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (family, source, destination) = (next(), next(), next());
    let (source_port, destination_port) = (port(next())?, port(next())?);
    if words.next().is_some() {
        return Err(malformed("something follows the ports"));
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse().map(IpAddr::V4).ok(),
        "TCP6" => text.parse().map(IpAddr::V6).ok(),
        _ => None,
    };
    let no_address = || malformed("it has no family of addresses, or no address of it");
    let source = address(source).ok_or_else(no_address)?;
    let destination = address(destination).ok_or_else(no_address)?;
    let ends = (SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port));
    Ok(Parsed::Header(Header { ends: Some(ends) }, length))
}

fn port(text: &str) -> Result<u16, HeaderError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(HeaderError::Malformed("a port is not a number"))
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_V2>() else {
        return Ok(Parsed::Missing(FIXED_V2 - bytes.len()));
    };
    let malformed = HeaderError::Malformed;
    let [.., command, family, high, low] = *fixed;
    let is_proxied = match command {
        0x20 => false,
        0x21 => true,
        _ => return Err(malformed("the version is not 2, or the command is unknown")),
    };
    let after = usize::from(u16::from_be_bytes([high, low]));
    let length = FIXED_V2 + after;
    if length > MAX_V2 {
        return Err(HeaderError::TooLong);
    }
    let needed = match (is_proxied, family) {
        (false, _) | (true, 0x00) => 0,
        (true, 0x11) => 12,
        (true, 0x21) => 36,
        (true, 0x31) => 216,
        _ => return Err(malformed("its addresses are not those of a stream")),
    };
    if after < needed {
        return Err(malformed("it is too short for its addresses"));
    }
    if rest.len() < after {
        return Ok(Parsed::Missing(after - rest.len()));
    }
    let ends = match family {
        0x11 if is_proxied => ends_v4(rest),
        0x21 if is_proxied => ends_v6(rest),
        _ => None,
    };
    Ok(Parsed::Header(Header { ends }, length))
}

fn ends_v4(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = bytes.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    let [a, b, c, d] = *rest.first_chunk::<4>()?;
    let end = |address: [u8; 4], port| SocketAddr::from((Ipv4Addr::from(address), u16::from_be_bytes(port)));
    Some((end(*source, [a, b]), end(*destination, [c, d])))
}

fn ends_v6(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = bytes.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    let [a, b, c, d] = *rest.first_chunk::<4>()?;
    let end = |address: [u8; 16], port| SocketAddr::from((Ipv6Addr::from(address), u16::from_be_bytes(port)));
    Some((end(*source, [a, b]), end(*destination, [c, d])))
}

impl Header {
    /// Of a connection of a client, from `source` to `destination`. Ends of two families are both put as IPv6.
    pub fn of(source: SocketAddr, destination: SocketAddr) -> Self {
        let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        let (source, destination) = (canonical(source), canonical(destination));
        if source.is_ipv4() == destination.is_ipv4() {
            return Self { ends: Some((source, destination)) };
        }
        let wide = |end: SocketAddr| SocketAddr::new(IpAddr::V6(wide(end.ip())), end.port());
        Self { ends: Some((wide(source), wide(destination))) }
    }

    /// Of a connection that no client made.
    pub const fn local() -> Self {
        Self { ends: None }
    }

    /// Its bytes in this version.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        match version {
            Version::V1 => self.encode_v1().into_bytes(),
            Version::V2 => self.encode_v2(),
        }
    }

    fn encode_v1(&self) -> String {
        let Some((source, destination)) = self.ends else { return "PROXY UNKNOWN\r\n".to_owned() };
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let address = |end: SocketAddr| match end.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => address.to_string(),
        };
        let (from, to) = (address(source), address(destination));
        format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
    }

    fn encode_v2(&self) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        let Some((source, destination)) = self.ends else {
            bytes.extend_from_slice(&[0x20, 0, 0, 0]);
            return bytes;
        };
        if let (IpAddr::V4(source), IpAddr::V4(destination)) = (source.ip(), destination.ip()) {
            bytes.extend_from_slice(&[0x21, 0x11, 0, 12]);
            bytes.extend_from_slice(&source.octets());
            bytes.extend_from_slice(&destination.octets());
        } else {
            bytes.extend_from_slice(&[0x21, 0x21, 0, 36]);
            bytes.extend_from_slice(&wide(source.ip()).octets());
            bytes.extend_from_slice(&wide(destination.ip()).octets());
        }
        bytes.extend_from_slice(&source.port().to_be_bytes());
        bytes.extend_from_slice(&destination.port().to_be_bytes());
        bytes
    }
}

fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(source: &str, destination: &str) -> Header {
        Header { ends: Some((source.parse().unwrap(), destination.parse().unwrap())) }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, rest].concat()
    }

    #[test]
    fn lines_of_version_1() {
        for (line, header) in [
            ("PROXY TCP4 1.2.3.4 5.6.7.8 9 65535\r\n", ends("1.2.3.4:9", "5.6.7.8:65535")),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 0 1\r\n", ends("1.2.3.4:0", "5.6.7.8:1")),
            ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", ends("[2001:db8::1]:1", "[::1]:2")),
            ("PROXY UNKNOWN\r\n", Header::local()),
            ("PROXY UNKNOWN what ever\tit is\r\n", Header::local()),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(Parsed::Header(header, line.len())), "{line:?}");
            let followed = format!("{line}GET / HTTP/1.1\r\n\r\n");
            assert_eq!(parse(followed.as_bytes()), Ok(Parsed::Header(header, line.len())), "{line:?}");
        }
    }

    #[test]
    fn what_is_no_line_of_version_1() {
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
            "PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
            "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY UNKNOWNER\r\n",
            "PROXY TCP4 1.2.3.4\n5.6.7.8 1 2\r\n",
        ] {
            assert!(matches!(parse(line.as_bytes()), Err(HeaderError::Malformed(_))), "{line:?}");
        }
        assert_eq!(parse(b"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n"), Err(HeaderError::None));
        assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Err(HeaderError::None));
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_V1 - 16));
        assert_eq!(parse(long.as_bytes()), Ok(Parsed::Header(Header::local(), MAX_V1)));
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_V1 - 15));
        assert_eq!(parse(longer.as_bytes()), Err(HeaderError::TooLong));
    }

    #[test]
    fn headers_of_version_2() {
        let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0xff, 0xff];
        let told = ends("1.2.3.4:9", "5.6.7.8:65535");
        let tlv = [v4.as_slice(), &[3, 0, 4, 0xde, 0xad, 0xbe, 0xef]].concat();
        for (bytes, header) in [
            (v2(0x21, 0x11, &v4), told),
            (v2(0x21, 0x11, &tlv), told),
            (v2(0x20, 0x11, &v4), Header::local()),
            (v2(0x20, 0x77, b"what ever"), Header::local()),
            (v2(0x21, 0x00, b"what ever"), Header::local()),
            (v2(0x21, 0x31, &[0; 216]), Header::local()),
            (v2(0x21, 0x11, &[v4.as_slice(), &[0; MAX_V2 - 28]].concat()), told),
        ] {
            let followed = [bytes.as_slice(), b"GET"].concat();
            assert_eq!(parse(&followed), Ok(Parsed::Header(header, bytes.len())), "{bytes:x?}");
        }
        for bad in [
            v2(0x11, 0x11, &v4),
            v2(0x22, 0x11, &v4),
            v2(0x21, 0x12, &v4),
            v2(0x21, 0x41, &v4),
            v2(0x21, 0x11, &v4[..11]),
            v2(0x21, 0x21, &v4),
            v2(0x21, 0x31, &v4),
        ] {
            assert!(matches!(parse(&bad), Err(HeaderError::Malformed(_))), "{bad:x?}");
        }
        assert_eq!(parse(&v2(0x20, 0, &[0; MAX_V2 - 15])), Err(HeaderError::TooLong));
        assert_eq!(parse(b"\r\n\r\n\0\r\nQUIT\r"), Err(HeaderError::None));
    }

    #[test]
    fn ends_of_two_families_are_put_in_one() {
        let header = Header::of("1.2.3.4:5".parse().unwrap(), "[::1]:6".parse().unwrap());
        assert_eq!(header, ends("[::ffff:1.2.3.4]:5", "[::1]:6"));
        let header = Header::of("[::ffff:1.2.3.4]:5".parse().unwrap(), "9.8.7.6:5".parse().unwrap());
        assert_eq!(header, ends("1.2.3.4:5", "9.8.7.6:5"));
    }

    fn any_header() -> impl Strategy<Value = Header> {
        let v4 = || any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
        let v6 = || any::<([u8; 16], u16)>().prop_map(SocketAddr::from);
        prop_oneof![
            Just(Header::local()),
            (v4(), v4()).prop_map(|ends| Header { ends: Some(ends) }),
            (v6(), v6()).prop_map(|ends| Header { ends: Some(ends) }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_a_part_of_it_is_missing(
            header in any_header(), v1 in any::<bool>(), rest in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let bytes = header.encode(if v1 { Version::V1 } else { Version::V2 });
            prop_assert_eq!(parse(&[bytes.as_slice(), &rest].concat()), Ok(Parsed::Header(header, bytes.len())));
            for cut in 0..bytes.len() {
                let Ok(Parsed::Missing(missing)) = parse(&bytes[..cut]) else { panic!("cut at {cut}") };
                // Never more than there is: what follows belongs to others.
                prop_assert!((1..=bytes.len() - cut).contains(&missing));
            }
        }

        #[test]
        fn no_bytes_are_too_strange(start in 0..4_usize, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let start = [&b""[..], PREFIX, SIGNATURE, b"PROXY TCP4 1.2.3.4 "][start];
            let bytes = [start, &bytes].concat();
            if let Ok(Parsed::Header(_, length)) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
