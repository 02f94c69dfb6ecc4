//! WebSocket for clients that speak HTTP/2: their `CONNECT` (RFC 8441) becomes the handshake of HTTP/1.1
//! (RFC 6455, section 4) that replicas know. What that has and `CONNECT` has not, a key and its proof, is
//! between the balancer and the replica. Knows nothing of streams and tunnels.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::{HeaderMap, HeaderValue, Method, Request};
use hyper::ext::Protocol;

use super::error::Failure;
use super::upgrade::Offer;
use crate::tls::provider::digest;

const WEBSOCKET: &str = "websocket";

/// What the proof of a key is made with (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A handshake that the balancer makes with a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    key: HeaderValue,
    /// What a replica proves with that it has read the key.
    accept: HeaderValue,
}

impl Handshake {
    /// With a key of these bytes, which nobody has to guess: it tells a replica that knows WebSocket from
    /// one that does not.
    fn new(key: [u8; 16]) -> Self {
        let text = |bytes: &[u8]| {
            HeaderValue::try_from(BASE64_STANDARD.encode(bytes)).expect("base64 is a header value")
        };
        let key = text(&key);
        let proved = [key.as_bytes(), GUID].concat();
        let accept = text(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &proved).as_ref());
        Self { key, accept }
    }

    /// Tells a replica of it, in the head of the request.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        headers.insert(SEC_WEBSOCKET_KEY, self.key.clone());
    }

    /// Whether these fields of a response with 101 prove that the replica has read the key.
    pub(crate) fn is_proved_by(&self, headers: &HeaderMap) -> bool {
        let mut proofs = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
        proofs.next() == Some(&self.accept) && proofs.next().is_none()
    }
}

/// Whether a request is a `CONNECT`, or was one that [`take_connect`] has changed.
pub(crate) fn is_connect<B>(request: &Request<B>) -> bool {
    *request.method() == Method::CONNECT || request.extensions().get::<Protocol>().is_some()
}

/// Makes a `CONNECT` for a WebSocket the request that a replica knows, and says what it offers.
///
/// # Errors
/// When it is for something else (RFC 9220, section 3, for an unknown protocol: 501).
#[cold]
pub(crate) fn take_connect<B>(request: &mut Request<B>) -> Result<Offer, Failure> {
    let Some(protocol) = request.extensions().get::<Protocol>() else {
        return Err(Failure::Method(Method::CONNECT));
    };
    if !protocol.as_str().eq_ignore_ascii_case(WEBSOCKET) {
        return Err(Failure::Protocol(protocol.as_str().to_owned()));
    }
    *request.method_mut() = Method::GET;
    let handshake = Handshake::new(fastrand::u128(..).to_ne_bytes());
    Ok(Offer::of_handshake(HeaderValue::from_static(WEBSOCKET), handshake))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_rfc_6455() {
        let handshake = Handshake::new(*b"the sample nonce");
        assert_eq!(handshake.key, "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let with = |proofs: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for proof in proofs {
                headers.append(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static(proof));
            }
            handshake.is_proved_by(&headers)
        };
        assert!(with(&["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]));
        let right = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        for wrong in [&[][..], &["S3pPLMBiTxaQ9kYGzzhZRbK+xOo="], &["x"], &[right, "x"], &[right, right]] {
            assert!(!with(wrong), "{wrong:?}");
        }
    }

    fn connect(protocol: Option<&'static str>) -> Request<()> {
        let mut request = Request::connect("http://a/x").body(()).expect("a request");
        if let Some(protocol) = protocol {
            request.extensions_mut().insert(Protocol::from_static(protocol));
        }
        request
    }

    #[test]
    fn only_a_connect_for_a_websocket_becomes_a_handshake() {
        for name in ["websocket", "WebSocket"] {
            let mut request = connect(Some(name));
            let offer = take_connect(&mut request).expect("it is one");
            assert_eq!(*request.method(), Method::GET);
            assert!(is_connect(&request), "it came as one");
            request.headers_mut().insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("of the client"));
            offer.add_to(request.headers_mut());
            let keys: Vec<_> = request.headers().get_all(SEC_WEBSOCKET_KEY).iter().collect();
            assert_eq!(BASE64_STANDARD.decode(keys[0]).map(|key| key.len()), Ok(16));
            assert_eq!(
                (keys.len(), &request.headers()["upgrade"]),
                (1, &HeaderValue::from_static("websocket"))
            );
        }
        assert_eq!(take_connect(&mut connect(None)), Err(Failure::Method(Method::CONNECT)));
        let other = take_connect(&mut connect(Some("connect-udp")));
        assert_eq!(other, Err(Failure::Protocol("connect-udp".to_owned())));
        assert!(!is_connect(&Request::get("/").body(()).expect("a request")));
    }
}
