//! From a request to its routing key.

use http::{HeaderMap, HeaderValue, Request, Uri, header};

use super::request::ActiveRequest;
use super::upload::RequestBody;
use super::{forwarding, redirect};
use crate::cluster::KeySource;
use crate::ring;

/// The key of a request.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) hash: u64,
    /// That of its session, if it is new.
    pub(super) cookie: Option<Box<HeaderValue>>,
}

/// The key of a request to its pool, of which `source` says what is hashed.
#[inline]
pub(super) fn key(
    active: &ActiveRequest,
    source: &KeySource,
    request: &Request<RequestBody>,
    id: &HeaderValue,
    address_key: u64,
) -> Key {
    let KeySource::Sticky(name) = source else {
        return Key { hash: hash(source, request, id, address_key), cookie: None };
    };
    let connection = active.connection();
    let is_secure =
        connection.tls.is_some() || connection.is_trusted && redirect::came_over_tls(request.headers());
    let session = active.pool().sticky().session(request.headers(), name, is_secure);
    Key { hash: session.key, cookie: session.cookie }
}

/// The routing key of the client's address. Behind a trusted proxy each request has a client of its
/// own, which is also recorded.
pub(super) fn client_key(active: &ActiveRequest, request: &Request<RequestBody>) -> u64 {
    let connection = &**active.connection();
    if !connection.is_trusted {
        return connection.address_key;
    }
    let proxies = &connection.worker.config().trusted_proxies;
    let client = forwarding::client(request.headers(), connection.peer.ip(), proxies);
    active.record().came_from(client);
    ring::request_id(client.to_string().as_bytes())
}

/// Text that is not there, or empty, becomes a random key: hashing the empty string would send all such
/// requests to one replica.
fn hash<B>(source: &KeySource, request: &Request<B>, request_id: &HeaderValue, client: u64) -> u64 {
    let text = match source {
        KeySource::RequestId => request_id.as_bytes(),
        KeySource::Path => request.uri().path().as_bytes(),
        KeySource::Uri => return uri_key(request.uri()),
        KeySource::ClientIp => return client,
        KeySource::Header(name) => request.headers().get(name).map_or(&[][..], HeaderValue::as_bytes),
        KeySource::Cookie(name) => cookie(request.headers(), name),
        KeySource::Query(name) => query(request.uri(), name),
        // Needs to be verified: `super::sticky`.
        KeySource::Sticky(_) => &[],
    };
    if text.is_empty() { fastrand::u64(..) } else { ring::request_id(text) }
}

fn uri_key(uri: &Uri) -> u64 {
    let text = uri.path_and_query().map_or("/", |target| target.as_str());
    ring::request_id(text.as_bytes())
}

/// The value of the first cookie of that name, without its quotes; empty if there is none.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> &'a [u8] {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .find_map(|pair| value_of(pair.trim_ascii(), name))
        .map(|value| value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(value))
        .unwrap_or_default()
}

/// The value of the first query parameter of that name, as sent; empty if there is none.
fn query<'a>(uri: &'a Uri, name: &str) -> &'a [u8] {
    uri.query()
        .unwrap_or_default()
        .as_bytes()
        .split(|byte| *byte == b'&')
        .find_map(|pair| value_of(pair, name))
        .unwrap_or_default()
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request<()> {
        Request::get("/a/b?user=42&empty=")
            .header("x-user", "user-1")
            .header("cookie", "xsid=no; sid=\"s 1\"")
            .header("cookie", "other=7")
            .body(())
            .unwrap()
    }

    fn key_of(source: &str) -> u64 {
        hash(&source.parse().unwrap(), &request(), &HeaderValue::from_static("132574"), 99)
    }

    #[test]
    fn each_source_reads_its_part() {
        assert_eq!(key_of("request-id"), 132_574);
        assert_eq!(key_of("path"), ring::hash_key(b"/a/b"));
        assert_eq!(key_of("uri"), ring::hash_key(b"/a/b?user=42&empty="));
        assert_eq!(key_of("client-ip"), 99);
        assert_eq!(key_of("header:x-user"), ring::hash_key(b"user-1"));
        assert_eq!(key_of("cookie:sid"), ring::hash_key(b"s 1"));
        assert_eq!(key_of("cookie:other"), 7);
        assert_eq!(key_of("query:user"), 42);
    }

    #[test]
    fn what_is_not_there_is_drawn_at_random() {
        for source in ["header:x-none", "cookie:none", "query:none", "query:empty"] {
            assert_ne!(key_of(source), key_of(source), "{source}");
        }
    }
}
