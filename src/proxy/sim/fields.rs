//! What becomes of header fields, whatever they are.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use crate::proxy::{Via, forwarding, headers};

/// Fields of which no connection but their own may hear.
const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "upgrade"];

/// Runs the lines of `text` as the fields of a request, of a response and of trailers through what is done with
/// them. The first byte says whether they come from a trusted proxy.
///
/// # Panics
/// When a law is broken: what belongs to one connection is passed on, or what a client claims is.
pub fn fields(text: &[u8]) {
    let (trusted, lines) = text.split_first().map_or((false, text), |(first, rest)| (first % 2 == 1, rest));
    let given: HeaderMap = lines.split(|byte| *byte == b'\n').filter_map(field).collect();
    request(&given, trusted);
    response(&given);
    let mut trailers = given.clone();
    headers::clean_trailers(&mut trailers);
    assert!(!trailers.keys().any(|name| *name == HOST || forwarding::is_of_way(name)), "{trailers:?}");
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
}

fn request(given: &HeaderMap, trusted: bool) {
    let mut request = Request::new(());
    *request.headers_mut() = given.clone();
    let (via, peer) = (Via::new(7), HeaderValue::from_static("10.0.0.7"));
    let Ok(cleaned) = headers::clean_request(&mut request, trusted, Some(&via)) else { return };
    cleaned.forwarding.add_to(request.headers_mut(), &peer, Some(&via));
    let fields = request.headers();
    assert_of_any_hop(given, fields);
    assert_eq!(fields.get_all(HOST).iter().count(), 1);
    assert!(via.is_in(fields), "a loop would not be noticed");
    let way: Vec<_> = fields.get_all(forwarding::FORWARDED_FOR).iter().collect();
    assert!(way.len() == 1 && way[0].as_bytes().ends_with(b"10.0.0.7"), "{way:?}");
    if !trusted {
        assert_eq!(way[0], "10.0.0.7");
        assert_eq!(fields[forwarding::FORWARDED_PROTO], "http");
        let ours = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
        let is_claim = |name: &&HeaderName| {
            forwarding::is_of_way(name) && **name != VIA && !ours.contains(&name.as_str())
        };
        assert_eq!(fields.keys().find(is_claim), None);
    }
}

fn response(given: &HeaderMap) {
    let mut fields = given.clone();
    if headers::forward_response(&mut fields, None).is_some() {
        assert_of_any_hop(given, &fields);
        assert!(!given.contains_key(TRANSFER_ENCODING) || !fields.contains_key(CONTENT_LENGTH));
    }
}

/// Nothing that belongs to one connection is left of `given`.
fn assert_of_any_hop(given: &HeaderMap, left: &HeaderMap) {
    assert_eq!(HOP_BY_HOP.iter().find(|name| left.contains_key(**name)), None, "of {given:?}");
    let listed =
        given.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    for name in listed.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()) {
        let relied_on = ["host", "content-length", "transfer-encoding", "x-request-id"];
        let is_relied_on = relied_on.contains(&name.as_str()) || forwarding::is_of_way(&name);
        assert!(is_relied_on || !left.contains_key(&name), "{name} of {given:?}");
    }
}
