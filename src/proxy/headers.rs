//! Header fields of requests and responses as they pass: what concerns only one connection goes
//! out (RFC 9110, section 7.6.1), what the next hop should know comes in.
//!
//! Looking a name up costs a hash, and almost no message has most of these fields: one scan by
//! the length of the names finds which are there, and only those are removed.

use bytes::{BufMut, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    SEC_WEBSOCKET_ACCEPT, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::error::{Failure, REASON};
use super::field_name::{is_token, remove_fields};
use super::forwarding::{Forwarding, WayFields, is_of_way};
use super::grpc;
use super::timeline::BodyKind;
use super::upgrade::Offer;
use super::via::Via;
use super::websocket;

/// The header that names a request, and by default decides where it goes.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header that names the replica to the client, where that is wanted.
pub(crate) const REPLICA: HeaderName = HeaderName::from_static("x-ringherd-replica");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Longest request id that is kept, in bytes; a longer one is replaced.
const MAX_REQUEST_ID: usize = 200;

/// The media type of a stream of events, as all servers write it.
const EVENTS: &[u8] = b"text/event-stream";

/// Fields that concern only the connection a message came on, by length.
static HOP_BY_HOP: [HeaderName; 7] =
    [TE, UPGRADE, CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION];

/// The bits of `Upgrade` and `Connection`: without both nothing is offered.
const OFFER: u8 = 1 << 1 | 1 << 2;

/// The bit of `TE`.
const OF_TE: u8 = 1;

/// Which of the fields that concern us a head has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Scan {
    /// `Host`, the first one.
    host: Option<HeaderValue>,
    hosts: u8,
    encodings: u8,
    /// `X-Request-Id`, the first one.
    id: Option<HeaderValue>,
    /// A bit for each of [`HOP_BY_HOP`].
    hop_by_hop: u8,
    expect: bool,
    /// `Content-Type` is that of a stream of events, in a response; of gRPC, in a request.
    special: bool,
    way: WayFields,
    error: bool,
}

fn scan<const REQUEST: bool>(headers: &HeaderMap) -> Scan {
    let mut found = Scan::default();
    for (name, value) in headers {
        let mut hop_by_hop = |index: usize| found.hop_by_hop |= u8::from(*name == HOP_BY_HOP[index]) << index;
        let text = name.as_str();
        // No response tells of its way.
        if REQUEST && matches!(text.len(), 3 | 9 | 13..) {
            found.way.note(text);
        }
        match text.len() {
            2 => hop_by_hop(0),
            4 if name == HOST => {
                found.hosts = found.hosts.saturating_add(1);
                found.host.get_or_insert_with(|| value.clone());
            }
            6 => found.expect |= name == EXPECT,
            7 => hop_by_hop(1),
            10 => {
                hop_by_hop(2);
                hop_by_hop(3);
            }
            12 if name == CONTENT_TYPE => {
                found.special = if REQUEST {
                    grpc::is_grpc(value)
                } else {
                    value.as_bytes().get(..EVENTS.len()).is_some_and(|kind| kind == EVENTS)
                };
            }
            12 if name == REQUEST_ID => {
                found.id.get_or_insert_with(|| value.clone());
            }
            16 => {
                hop_by_hop(4);
                found.error |= name == REASON;
            }
            17 if name == TRANSFER_ENCODING => found.encodings = found.encodings.saturating_add(1),
            18 => hop_by_hop(5),
            19 => hop_by_hop(6),
            _ => {}
        }
    }
    found
}

/// Removes what concerns only the connection a message came on.
fn remove_hop_by_hop(headers: &mut HeaderMap, found: &Scan) {
    if found.hop_by_hop == 0 {
        return;
    }
    // Those it lists first, while it is there.
    remove_listed(headers);
    for (index, name) in HOP_BY_HOP.iter().enumerate() {
        if found.hop_by_hop >> index & 1 == 1 {
            headers.remove(name);
        }
    }
}

/// Removes the fields that `Connection` lists.
fn remove_listed(headers: &mut HeaderMap) {
    let is_plain = |value: &HeaderValue| {
        value.as_bytes().eq_ignore_ascii_case(b"keep-alive")
            || value.as_bytes().eq_ignore_ascii_case(b"close")
    };
    if headers.get_all(CONNECTION).iter().all(is_plain) {
        return;
    }
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !is_protected(name))
        .collect();
    for name in listed {
        headers.remove(name);
    }
}

/// Fields that a `Connection` header cannot take away: the next hop relies on them.
fn is_protected(name: &HeaderName) -> bool {
    [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, REQUEST_ID].contains(name) || is_of_way(name)
}

/// What is known of a request whose head was cleaned.
pub(crate) struct Cleaned {
    /// What the next hop is to be told of its way.
    pub(crate) forwarding: Forwarding,
    /// The `X-Request-Id` that it came with.
    pub(crate) id: Option<HeaderValue>,
    /// The upgrade that it offers, if its body is empty.
    pub(crate) offer: Option<Offer>,
    /// Whether `TE` says that its client takes trailers.
    pub(crate) takes_trailers: bool,
    /// Whether it is a call of gRPC.
    pub(crate) is_call: bool,
}

/// Takes out of the head of a client's request what is not for the replica; what is to be added
/// follows from the [`Forwarding`], and from the [`Offer`] if there is one and it stands: a request with
/// a body makes none, which its head does not tell. `trusted` is whether it came from a trusted proxy, and
/// `via` how the balancer names itself, if it does.
///
/// # Errors
/// When the head is ambiguous: forwarded, it could mean two things. And when it was here before.
pub(crate) fn clean_request<B>(
    request: &mut Request<B>,
    trusted: bool,
    via: Option<&Via>,
) -> Result<Cleaned, Failure> {
    let handshake =
        if *request.method() == Method::CONNECT { Some(websocket::take_connect(request)?) } else { None };
    let mut found = scan::<true>(request.headers());
    check(request, &found)?;
    take_authority(request, &mut found.host)?;
    if via.is_some_and(|via| found.way.tells_of_a_proxy() && via.is_in(request.headers())) {
        return Err(Failure::Loop);
    }
    let version = request.version();
    let headers = request.headers_mut();
    let may_offer = found.hop_by_hop & OFFER == OFFER && version == Version::HTTP_11;
    let is_call = found.special && handshake.is_none();
    let offer = if may_offer { Offer::of(headers) } else { handshake };
    let takes_trailers = found.hop_by_hop & OF_TE != 0 && takes_trailers(headers);
    remove_hop_by_hop(headers, &found);
    // `Connection` may have listed it, and then it is gone.
    let is_continue = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if found.expect && headers.get(EXPECT).is_some_and(is_continue) {
        // Answered here, when the body is first asked for.
        headers.remove(EXPECT);
    }
    *request.version_mut() = Version::HTTP_11;
    let forwarding = Forwarding::new(request.headers_mut(), found.host, version, found.way, trusted);
    Ok(Cleaned { forwarding, id: found.id, offer, takes_trailers, is_call })
}

#[cold]
fn takes_trailers(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(TE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings.into_iter().any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

fn check<B>(request: &Request<B>, found: &Scan) -> Result<(), Failure> {
    if found.hosts > 1 || (found.hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Failure::BadRequest("there must be exactly one Host header"));
    }
    match found.encodings {
        0 => Ok(()),
        1 if request.headers().get(TRANSFER_ENCODING).is_some_and(is_chunked) => Ok(()),
        _ => Err(Failure::BadRequest("the only Transfer-Encoding understood is one 'chunked'")),
    }
}

/// Turns an absolute-form target into origin-form; its authority replaces the `Host` that came
/// (RFC 9112, section 3.2.2).
fn take_authority<B>(request: &mut Request<B>, came: &mut Option<HeaderValue>) -> Result<(), Failure> {
    let Some(authority) = request.uri().authority() else {
        if request.uri().path() == "*" && *request.method() != Method::OPTIONS {
            return Err(Failure::BadRequest("the request target * is for OPTIONS alone"));
        }
        let sound = came.as_ref().is_none_or(|host| host.as_bytes().iter().copied().all(is_of_host));
        return sound.then_some(()).ok_or(Failure::BadRequest("the Host header is not a host"));
    };
    match request.uri().scheme_str() {
        None => return Err(Failure::BadRequest("the request target is neither a path nor a URI")),
        Some(scheme) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => {}
        Some(_) => return Err(Failure::BadRequest("the request target's scheme is neither http nor https")),
    }
    if authority.as_str().contains('@') {
        return Err(Failure::BadRequest("the request target contains user information"));
    }
    // What is empty but for a fragment reads as "/" and is written as nothing.
    let path = request.uri().path_and_query().filter(|target| target.as_str() != "/").cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    // Over HTTP/2 it is the same.
    if came.as_ref().is_none_or(|host| host.as_bytes() != authority.as_str().as_bytes()) {
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| Failure::BadRequest("the request target's host is not a header value"))?;
        *came = Some(host.clone());
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = Uri::from(path);
    Ok(())
}

/// Whether a byte may stand in a host, with its port: what registered names, addresses and
/// brackets are made of (RFC 3986, section 3.2.2).
pub(crate) fn is_of_host(byte: u8) -> bool {
    IS_OF_HOST[usize::from(byte)]
}

/// A table, because a search for each byte of each request's host costs three times as much.
static IS_OF_HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+;=:[]%";
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
};

/// Takes out of the trailers of a client's request what would stand in its head for something that a
/// replica trusts or that concerns one connection: some servers add trailers to the head.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    remove_fields(trailers, |name| {
        let is_of_head = is_of_way(name) || *name == REQUEST_ID || *name == HOST;
        is_of_head || HOP_BY_HOP.contains(name) || !is_token(name)
    });
}

/// Takes out of the trailers of a response what concerns one connection, for a client to whom that is
/// malformed.
pub(crate) fn clean_response_trailers(trailers: &mut HeaderMap) {
    HOP_BY_HOP
        .iter()
        .chain([&TRANSFER_ENCODING, &CONTENT_LENGTH])
        .for_each(|name| drop(trailers.remove(name)));
}

/// Makes the head of a replica's response that of the response to the client, and says what its body
/// is; `None` if that is in a transfer coding that the client would not be told of. Tells the client the
/// `id` of its request, by which it is found in logs; a replica's own word stands.
pub(crate) fn forward_response(headers: &mut HeaderMap, id: Option<&HeaderValue>) -> Option<BodyKind> {
    let found = scan::<false>(headers);
    if found.encodings > 0 {
        if found.encodings > 1 || !headers.get(TRANSFER_ENCODING).is_some_and(is_chunked) {
            return None;
        }
        // The framing towards the client is chosen by what the client understands. A length
        // beside it is not that of the body (RFC 9112, section 6.3).
        headers.remove(TRANSFER_ENCODING);
        headers.remove(CONTENT_LENGTH);
    }
    if found.error {
        headers.remove(REASON);
    }
    remove_hop_by_hop(headers, &found);
    if let (None, Some(id)) = (&found.id, id) {
        headers.insert(REQUEST_ID, id.clone());
    }
    Some(if found.special { BodyKind::Events } else { BodyKind::Plain })
}

/// Whether a response is a stream of events.
pub(crate) fn is_events(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(EVENTS))
}

/// [`forward_response`] for a response with 101; `None` unless it takes what was offered.
pub(crate) fn forward_switch(
    headers: &mut HeaderMap,
    offer: Option<&Offer>,
    id: Option<&HeaderValue>,
) -> Option<BodyKind> {
    let offer = offer?;
    let taken = offer.taken(headers)?;
    // What follows is the other protocol, whatever is said of a body.
    headers.remove(TRANSFER_ENCODING);
    headers.remove(CONTENT_LENGTH);
    let kind = forward_response(headers, id)?;
    if offer.is_of_connect() {
        headers.remove(SEC_WEBSOCKET_ACCEPT);
    } else {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, taken);
    }
    Some(kind)
}

fn is_chunked(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"chunked")
}

/// The request's id as it came, or a new one cut from `buffer`, which is set on the head.
///
/// It is marked as sensitive, which is to say that HTTP/2 keeps it out of its table of fields: no id comes twice,
/// and the table would be full of them. Each one would be compared with all that are there.
pub(crate) fn request_id(
    headers: &mut HeaderMap,
    came_with: Option<HeaderValue>,
    buffer: &mut BytesMut,
) -> HeaderValue {
    if let Some(mut id) = came_with.filter(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID) {
        id.set_sensitive(true);
        return id;
    }
    let mut id = new_request_id(fastrand::u64(..), buffer);
    id.set_sensitive(true);
    headers.insert(REQUEST_ID, id.clone());
    id
}

/// `id` as 16 hexadecimal digits. The digits of many ids share one allocation.
fn new_request_id(id: u64, buffer: &mut BytesMut) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    const IDS_PER_BUFFER: usize = 256;
    let mut text = [0; 16];
    for (index, digit) in text.iter_mut().enumerate() {
        *digit = DIGITS[(id >> (60 - 4 * index) & 0xf) as usize];
    }
    if buffer.capacity() < text.len() {
        buffer.reserve(text.len() * IDS_PER_BUFFER);
    }
    buffer.put_slice(&text);
    HeaderValue::from_maybe_shared(buffer.split().freeze()).expect("hexadecimal digits are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::request::Parts;

    fn forwarded(request: http::request::Builder) -> Result<Parts, Failure> {
        let mut request = request.body(()).unwrap();
        let via = Via::new(7);
        let Cleaned { forwarding, offer, .. } = clean_request(&mut request, true, Some(&via))?;
        if let Some(offer) = offer {
            offer.add_to(request.headers_mut());
        }
        forwarding.add_to(request.headers_mut(), &HeaderValue::from_static("10.0.0.1"), Some(&via));
        Ok(request.into_parts().0)
    }

    fn list(headers: &HeaderMap) -> Vec<String> {
        let mut list: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        list.sort();
        list
    }

    #[test]
    fn what_concerns_one_connection_goes_out() {
        let head = forwarded(
            Request::get("/x")
                .header("host", "a")
                .header("connection", "X-Secret, keep-alive, Host")
                .header("x-secret", "1")
                .header("keep-alive", "timeout=5")
                .header("proxy-connection", "keep-alive")
                .header("proxy-authorization", "Basic x")
                .header("te", "gzip")
                .header("upgrade", "h2c")
                .header("accept", "*/*"),
        )
        .unwrap();
        assert_eq!(
            list(&head.headers),
            [
                "accept: */*",
                "host: a",
                "via: 1.1 ringherd-0000000000000007",
                "x-forwarded-for: 10.0.0.1",
                "x-forwarded-host: a",
                "x-forwarded-proto: http"
            ]
        );
    }

    #[test]
    fn each_hop_by_hop_field_is_found_alone() {
        for name in &HOP_BY_HOP {
            let mut headers = HeaderMap::new();
            headers.insert(name.clone(), HeaderValue::from_static("x"));
            let found = scan::<true>(&headers);
            remove_hop_by_hop(&mut headers, &found);
            assert!(headers.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_field_that_connection_lists_may_be_any() {
        let head = forwarded(
            Request::get("/").header("host", "a").header("connection", "expect").header("expect", "x"),
        );
        assert!(!head.unwrap().headers.contains_key(EXPECT));
        for name in ["host", "via", "x-forwarded-for", "x-forwarded-proto", "te", "upgrade", "expect"] {
            let request = Request::get("/").header("host", "a").header(name, "a").header("connection", name);
            let _ = forwarded(request);
        }
    }

    #[test]
    fn lists_are_continued() {
        let head = forwarded(
            Request::get("/")
                .header("host", "a")
                .header("x-forwarded-for", "1.1.1.1")
                .header("x-forwarded-for", "2.2.2.2")
                .header("via", "1.0 fred"),
        )
        .unwrap();
        assert_eq!(head.headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.0.0.1");
        assert_eq!(head.headers["via"], "1.0 fred, 1.1 ringherd-0000000000000007");
    }

    #[test]
    fn the_host_of_an_absolute_target_wins() {
        let head = forwarded(Request::get("http://right:81/p?q").header("host", "wrong")).unwrap();
        assert_eq!(head.uri, "/p?q");
        assert_eq!(head.headers[HOST], "right:81");
        let bare = forwarded(Request::get("http://a#b").header("host", "a")).unwrap();
        assert_eq!(bare.uri.to_string(), "/");
        assert!(forwarded(Request::get("http://u:p@a/").header("host", "a")).is_err());
        assert!(forwarded(Request::get("example.com").header("host", "a")).is_err());
        assert!(forwarded(Request::get("HTTPS://a/").header("host", "a")).is_ok());
        for target in ["ftp://a/", "ws://a/", "file://a/"] {
            assert!(forwarded(Request::get(target).header("host", "a")).is_err(), "{target}");
        }
        assert!(forwarded(Request::options("*").header("host", "a")).is_ok());
        for method in ["GET", "POST", "TRACE"] {
            assert!(forwarded(Request::builder().method(method).uri("*").header("host", "a")).is_err());
        }
        for host in ["a b", "a/b", "u@a", "a,b"] {
            assert!(forwarded(Request::get("/").header("host", host)).is_err(), "{host}");
        }
        assert!(forwarded(Request::get("/").header("host", "[::1]:80")).is_ok());
    }

    #[test]
    fn a_request_that_was_here_before_is_refused() {
        let came_back = |via: &str| forwarded(Request::get("/").header("host", "a").header("via", via));
        assert_eq!(came_back("1.1 ringherd-0000000000000007, 1.1 b").unwrap_err(), Failure::Loop);
        assert!(came_back("1.1 ringherd-0000000000000008").is_ok(), "another balancer");
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        assert!(forwarded(Request::get("/")).is_err(), "no host");
        assert!(forwarded(Request::get("/").header("host", "a").header("host", "a")).is_err());
        let encoded = |encoding| {
            forwarded(Request::post("/").header("host", "a").header("transfer-encoding", encoding))
        };
        assert!(encoded("Chunked").is_ok());
        assert!(encoded("gzip, chunked").is_err());
        assert!(encoded("chunked, chunked").is_err());
        assert!(forwarded(Request::connect("a:1").header("host", "a")).is_err());
    }

    #[test]
    fn a_response_has_one_framing() {
        let response = |encoding: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static(encoding));
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("3"));
            headers.insert(REASON, HeaderValue::from_static("not ours"));
            forward_response(&mut headers, None).map(|_| headers)
        };
        assert_eq!(response("chunked"), Some(HeaderMap::new()));
        assert_eq!(response("gzip, chunked"), None);
    }

    #[test]
    fn a_response_names_its_request_unless_the_replica_does() {
        let id = HeaderValue::from_static("ours");
        let mut headers = HeaderMap::new();
        assert_eq!(forward_response(&mut headers, None), Some(BodyKind::Plain));
        assert!(headers.is_empty());
        for _ in 0..2 {
            assert_eq!(forward_response(&mut headers, Some(&id)), Some(BodyKind::Plain));
            assert_eq!(list(&headers), ["x-request-id: ours"]);
        }
        headers.insert(REQUEST_ID, HeaderValue::from_static("theirs"));
        assert_eq!(forward_response(&mut headers, Some(&id)), Some(BodyKind::Plain));
        assert_eq!(list(&headers), ["x-request-id: theirs"]);
    }

    #[test]
    fn an_offer_of_http_1_1_passes_and_so_does_what_is_taken_of_it() {
        let offering = |version, connection: &str| {
            let request = Request::get("/").version(version).header("host", "a").header("x-hop", "1");
            let request = request.header("connection", connection).header("upgrade", "websocket, h2c");
            forwarded(request.header("http2-settings", "x").header("sec-websocket-key", "k")).unwrap().headers
        };
        let sent = offering(Version::HTTP_11, "X-Hop, HTTP2-Settings, Upgrade");
        assert_eq!(
            (&sent[CONNECTION], &sent[UPGRADE]),
            (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
        assert!(sent.contains_key("sec-websocket-key"));
        assert!(!sent.contains_key("x-hop") && !sent.contains_key("http2-settings"));
        for (version, connection) in [(Version::HTTP_10, "upgrade"), (Version::HTTP_11, "x-hop")] {
            let sent = offering(version, connection);
            assert!(!sent.contains_key(UPGRADE) && !sent.contains_key(CONNECTION), "{sent:?}");
        }

        let offer = Offer::of(&sent);
        let switch = |upgrade: &'static str, offer: Option<&Offer>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(UPGRADE, upgrade), (CONNECTION, "Upgrade, X-Hop"), (CONTENT_LENGTH, "3")] {
                headers.insert(name, HeaderValue::from_static(value));
            }
            headers.insert("x-hop", HeaderValue::from_static("1"));
            headers.insert("sec-websocket-accept", HeaderValue::from_static("y"));
            forward_switch(&mut headers, offer, None).map(|_| list(&headers))
        };
        let told = ["connection: upgrade", "sec-websocket-accept: y", "upgrade: WebSocket"];
        assert_eq!(switch("WebSocket", offer.as_ref()).unwrap(), told);
        assert_eq!((switch("h2c", offer.as_ref()), switch("WebSocket", None)), (None, None));
    }

    #[test]
    fn an_old_client_needs_no_host() {
        let head = forwarded(Request::get("/").version(Version::HTTP_10)).unwrap();
        assert_eq!((head.version, &head.headers[HOST]), (Version::HTTP_11, &HeaderValue::from_static("")));
    }

    #[test]
    fn an_id_is_kept_or_made() {
        let mut buffer = BytesMut::new();
        let mut id_of = |headers: &mut HeaderMap| {
            let came_with = scan::<true>(headers).id;
            request_id(headers, came_with, &mut buffer)
        };
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("mine"));
        headers.append(REQUEST_ID, HeaderValue::from_static("another"));
        let kept = id_of(&mut headers);
        assert_eq!(kept, "mine");
        headers.insert(REQUEST_ID, HeaderValue::from_static(""));
        let made = id_of(&mut headers);
        assert_eq!(made.len(), 16);
        assert!(kept.is_sensitive() && made.is_sensitive());
        assert_eq!(headers[REQUEST_ID], made);
        assert_eq!(new_request_id(0x0123_4567_89ab_cdef, &mut buffer), "0123456789abcdef");
        assert_eq!(new_request_id(7, &mut buffer), "0000000000000007");
    }
}
