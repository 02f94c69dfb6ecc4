//! Upgrades as heads tell of them (RFC 9110, section 7.8): what a client offers to switch to, and what
//! its replica takes of that.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::websocket::Handshake;

/// Protocols that are never offered to a replica. What they carry are requests of their own, and those
/// would pass by all that is checked here.
const REFUSED: [&[u8]; 4] = [b"h2c", b"h2", b"http", b"tls"];

/// Protocols that a client offers to switch to, as its replica is told of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    protocols: HeaderValue,
    /// The handshake that is made for a client of HTTP/2, whose own is `CONNECT`.
    handshake: Option<Box<Handshake>>,
}

impl Offer {
    /// What these fields of a request offer, if it is anything that is forwarded.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let has_option = |option: &[u8]| list(headers, &CONNECTION).any(|is| is.eq_ignore_ascii_case(option));
        // Who wants the connection closed behind the response does not want it for another protocol.
        if !has_option(b"upgrade") || has_option(b"close") {
            return None;
        }
        let mut offered = Vec::new();
        for protocol in list(headers, &UPGRADE).filter(|protocol| is_forwarded(protocol)) {
            if !offered.is_empty() {
                offered.extend_from_slice(b", ");
            }
            offered.extend_from_slice(protocol);
        }
        let protocols = HeaderValue::from_maybe_shared(offered).ok().filter(|offered| !offered.is_empty())?;
        Some(Self { protocols, handshake: None })
    }

    /// What a client of HTTP/2 offers.
    pub(crate) fn of_handshake(protocol: HeaderValue, handshake: Handshake) -> Self {
        Self { protocols: protocol, handshake: Some(Box::new(handshake)) }
    }

    /// Whether it is made for a client of HTTP/2, for whom nothing of it is in the head of a response.
    pub(crate) fn is_of_connect(&self) -> bool {
        self.handshake.is_some()
    }

    /// Whether a response with this status, which is not 101, would tell the client that the offer is taken.
    pub(crate) fn is_misread(&self, status: StatusCode) -> bool {
        self.is_of_connect() && status.is_success()
    }

    /// Tells a replica of it, in the head of the request.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocols.clone());
        if let Some(handshake) = &self.handshake {
            handshake.add_to(headers);
        }
    }

    /// What these fields of a response with 101 switch to, if all of that was offered.
    pub(crate) fn taken(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.handshake.as_ref().is_some_and(|handshake| !handshake.is_proved_by(headers)) {
            return None;
        }
        let offered =
            |protocol: &[u8]| split(&self.protocols).any(|offered| offered.eq_ignore_ascii_case(protocol));
        let mut values = headers.get_all(UPGRADE).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        (split(value).next().is_some() && split(value).all(offered)).then(|| value.clone())
    }
}

/// The members of a field that is a list, on however many lines it is.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().flat_map(split)
}

fn split(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Whether a replica is told of this protocol: a name, or a name and a version.
fn is_forwarded(protocol: &[u8]) -> bool {
    let mut parts = protocol.split(|byte| *byte == b'/');
    let name = parts.next().unwrap_or_default();
    let is_refused = REFUSED.iter().any(|refused| refused.eq_ignore_ascii_case(name));
    let is_token = |part: &[u8]| !part.is_empty() && part.iter().copied().all(is_of_token);
    !is_refused && is_token(name) && parts.next().is_none_or(is_token) && parts.next().is_none()
}

/// Whether a byte may stand in a token (RFC 9110, section 5.6.2).
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn offer(protocols: &'static str) -> Offer {
        Offer { protocols: HeaderValue::from_static(protocols), handshake: None }
    }

    fn offered(connection: &'static str, upgrade: &'static str) -> Option<String> {
        let offer = Offer::of(&fields(&[("connection", connection), ("upgrade", upgrade)]))?;
        let mut told = fields(&[("connection", "x"), ("connection", "y"), ("upgrade", "z")]);
        offer.add_to(&mut told);
        assert_eq!(told["connection"], "upgrade");
        assert_eq!(told.len(), told.keys_len(), "each once");
        Some(told["upgrade"].to_str().expect("text").to_owned())
    }

    #[test]
    fn what_is_offered_is_what_both_fields_say() {
        let cases = [
            ("Upgrade", "websocket", Some("websocket")),
            ("keep-alive, UPGRADE", "WebSocket", Some("WebSocket")),
            ("upgrade", " spdy/3.1 ,, tcp", Some("spdy/3.1, tcp")),
            ("upgrade, HTTP2-Settings", "h2c", None),
            ("upgrade", "H2C, websocket, h2c/1, HTTP/2.0, TLS/1.0", Some("websocket")),
            ("upgrade", "", None),
            ("upgrade", "web socket", None),
            ("upgrade", "a/b/c, /1, a/", None),
            ("keep-alive", "websocket", None),
            ("upgrade, close", "websocket", None),
            ("upgraded", "websocket", None),
        ];
        for (connection, upgrade, told) in cases {
            assert_eq!(offered(connection, upgrade).as_deref(), told, "{connection:?} {upgrade:?}");
        }
        let lines =
            fields(&[("connection", "x"), ("connection", "upgrade"), ("upgrade", "a"), ("upgrade", "b")]);
        assert_eq!(Offer::of(&lines), Some(offer("a, b")));
    }

    #[test]
    fn only_what_was_offered_is_taken() {
        let offer = offer("websocket, tcp");
        let taken = |upgrades: &[&'static str]| {
            let upgrades: Vec<_> = upgrades.iter().map(|upgrade| ("upgrade", *upgrade)).collect();
            offer.taken(&fields(&upgrades))
        };
        assert_eq!(taken(&["WebSocket"]), Some(HeaderValue::from_static("WebSocket")));
        assert_eq!(taken(&["tcp,websocket"]), Some(HeaderValue::from_static("tcp,websocket")));
        for upgrades in [&[][..], &[""], &["x"], &["websocket, x"], &["websocket", "tcp"], &["websocket/2"]] {
            assert_eq!(taken(upgrades), None, "{upgrades:?}");
        }
    }
}
