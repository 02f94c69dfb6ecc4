//! The head of a request that came over HTTP/2, put as HTTP/1 says it (RFC 9113, section 8.3.1).
//!
//! h2 has refused what is malformed by then: pseudo-fields that are missing, twice or unknown, fields that
//! concern a connection, line breaks, a body that is not as long as it says. What it leaves to us, and
//! what would mean something else in HTTP/1, is decided here.

use http::header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body::Body;

use crate::listen;
use crate::proxy::error::Failure;

/// Most header fields of a head: as many as hyper takes over HTTP/1.
const MAX_FIELDS: usize = 100;

/// Makes the head what it would be over HTTP/1, but for its version. Its target stays in absolute form.
///
/// # Errors
/// When it is ambiguous, or larger than is taken.
pub(in crate::proxy) fn to_http1<B: Body>(request: &mut Request<B>) -> Result<(), Failure> {
    if *request.method() == Method::CONNECT {
        // Refused by its method, like any.
        return Ok(());
    }
    set_host(request)?;
    check_target(request)?;
    let has_body = !request.body().is_end_stream();
    let headers = request.headers_mut();
    join_cookies(headers);
    if headers.len() > MAX_FIELDS {
        return Err(Failure::HeadTooLarge);
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(Failure::BadRequest("there is no Transfer-Encoding in HTTP/2"));
    }
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    if lengths > 1 {
        return Err(Failure::BadRequest("there must be at most one Content-Length"));
    }
    if has_body && lengths == 0 {
        // Said, because hyper takes a GET that says nothing for one without a body.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(())
}

/// `:authority` becomes `Host`. Two that differ could lead to two places.
fn set_host<B>(request: &mut Request<B>) -> Result<(), Failure> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Failure::BadRequest("there must be exactly one Host header"));
    }
    match (request.uri().authority(), host) {
        (None, None) => Err(Failure::BadRequest("there is neither :authority nor Host")),
        (None, Some(_)) => Ok(()),
        (Some(authority), Some(host)) => {
            let is_same = host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
            is_same.then_some(()).ok_or(Failure::BadRequest("Host and :authority differ"))
        }
        (Some(authority), None) => {
            let host = HeaderValue::from_str(authority.as_str())
                .map_err(|_| Failure::BadRequest(":authority is not a header value"))?;
            request.headers_mut().insert(HOST, host);
            Ok(())
        }
    }
}

/// `:path` becomes a target that may stand in a request line.
fn check_target<B>(request: &mut Request<B>) -> Result<(), Failure> {
    const NO_PATH: Failure = Failure::BadRequest(":path is not a path");
    let path = request.uri().path();
    if path == "*" && *request.method() != Method::OPTIONS {
        return Err(Failure::BadRequest("the request target * is for OPTIONS alone"));
    }
    if path != "*" && !path.starts_with('/') {
        return Err(NO_PATH);
    }
    let target = request.uri().path_and_query().ok_or(NO_PATH)?;
    if let Some(encoded) = listen::encoded_target(target.as_str()) {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(encoded).map_err(|_| NO_PATH)?);
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| NO_PATH)?;
    }
    Ok(())
}

/// Puts the crumbs of `Cookie` together: HTTP/1 has one such field (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    let joined = HeaderValue::try_from(joined).expect("header values joined by a separator");
    headers.insert(COOKIE, joined);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    fn head(request: http::request::Builder) -> Result<Request<Empty<Bytes>>, Failure> {
        let mut request = request.body(Empty::new()).unwrap();
        to_http1(&mut request).map(|()| request)
    }

    fn refused(request: http::request::Builder) -> Failure {
        head(request).expect_err("refused")
    }

    #[test]
    fn the_authority_is_the_host() {
        let host = |request: http::request::Builder| head(request).unwrap().headers()[HOST].clone();
        assert_eq!(host(Request::get("http://a.example:8/x")), "a.example:8");
        assert_eq!(host(Request::get("http://a.example/x").header(HOST, "A.example")), "A.example");
        assert_eq!(host(Request::get("/x").header(HOST, "b")), "b");
        refused(Request::get("/x"));
        refused(Request::get("http://a/x").header(HOST, "b"));
        refused(Request::get("http://a/x").header(HOST, "a").header(HOST, "a"));
    }

    #[test]
    fn a_target_is_one_of_http1() {
        let target = |target: &str| head(Request::get(target)).unwrap().uri().to_string();
        assert_eq!(target("http://a/x?y={1}"), "http://a/x?y=%7B1%7D");
        assert_eq!(target("http://a/x?y=%20"), "http://a/x?y=%20");
        let asterisk = || {
            let parts = Uri::builder().scheme("http").authority("a").path_and_query("*");
            parts.build().unwrap()
        };
        refused(Request::get(asterisk()));
        head(Request::options(asterisk())).unwrap();
    }

    #[test]
    fn crumbs_make_one_cookie() {
        let crumbs = Request::get("http://a/").header(COOKIE, "a=1").header(COOKIE, "b=2");
        let head = head(crumbs.header(COOKIE, "c=3")).unwrap();
        assert_eq!(head.headers().get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    }

    #[test]
    fn a_body_has_one_framing() {
        let mut request = Request::get("http://a/").body(Full::new(Bytes::from("x"))).unwrap();
        to_http1(&mut request).unwrap();
        assert_eq!(request.headers()[TRANSFER_ENCODING], "chunked");
        let mut request =
            Request::get("http://a/").header(CONTENT_LENGTH, 1).body(Full::new(Bytes::from("x"))).unwrap();
        to_http1(&mut request).unwrap();
        assert!(!request.headers().contains_key(TRANSFER_ENCODING));
        refused(Request::get("http://a/").header(CONTENT_LENGTH, 1).header(CONTENT_LENGTH, 0));
        refused(Request::get("http://a/").header(TRANSFER_ENCODING, "chunked"));
    }

    #[test]
    fn fields_are_counted_without_crumbs() {
        let with = |name: &str, count: usize| {
            (0..count).fold(Request::get("http://a/"), |request, number| {
                request.header(name.replace('#', &number.to_string()), "x")
            })
        };
        head(with("cookie", 500)).unwrap();
        assert_eq!(refused(with("x-#", 100)), Failure::HeadTooLarge, "Host is one more");
        head(with("x-#", 99)).unwrap();
    }
}
