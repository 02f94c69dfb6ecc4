//! The head of a request that came over HTTP/2, put as HTTP/1 says it (RFC 9113, section 8.3.1).
//!
//! h2 has refused what is malformed by then: pseudo-fields that are missing, twice or unknown, fields that
//! concern a connection, line breaks, a body that is not as long as it says. What it leaves to us, and
//! what would mean something else in HTTP/1, is decided here.

use std::pin::pin;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::ext::Protocol;

use crate::listen;
use crate::proxy::error::Failure;
use crate::proxy::field_name;
use crate::proxy::request::ActiveRequest;
use crate::proxy::timeline::{Expiry, Input};
use crate::proxy::upload::RequestBody;

/// Most header fields of a head: as many as hyper takes over HTTP/1.
const MAX_FIELDS: usize = 100;

/// Makes a request what it would be over HTTP/1, but for its version: its head, and its end, if there is nothing
/// else of its body.
///
/// # Errors
/// See [`to_http1`] and [`await_end`].
pub(super) async fn prepare(
    active: &ActiveRequest,
    request: &mut Request<RequestBody>,
) -> Result<(), Failure> {
    to_http1(request)?;
    if is_to_end(request) {
        Box::pin(await_end(active, request.body_mut())).await?;
    }
    Ok(())
}

/// Makes the head what it would be over HTTP/1, but for its version. Its target stays in absolute form.
///
/// # Errors
/// When it is ambiguous, or larger than is taken.
fn to_http1<B: Body>(request: &mut Request<B>) -> Result<(), Failure> {
    if *request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_none() {
        // Refused by its method, like any. Only with a protocol it has what another request has.
        return Ok(());
    }
    let found = Found::in_head(request.headers());
    if found.others > 0 {
        return Err(Failure::BadRequest("the name of a header field is not a token"));
    }
    set_host(request, found.hosts)?;
    check_target(request)?;
    let has_body = !request.body().is_end_stream();
    let headers = request.headers_mut();
    if found.cookies > 1 {
        join_cookies(headers);
    }
    if headers.len() > MAX_FIELDS {
        return Err(Failure::HeadTooLarge);
    }
    if found.encodings > 0 {
        return Err(Failure::BadRequest("there is no Transfer-Encoding in HTTP/2"));
    }
    if found.lengths > 1 {
        return Err(Failure::BadRequest("there must be at most one Content-Length"));
    }
    if has_body && found.lengths == 0 {
        // Said, because hyper takes a GET that says nothing for one without a body.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(())
}

/// How many there are of the fields that are looked at here. One scan costs less than looking each up.
#[derive(Default)]
struct Found {
    hosts: usize,
    cookies: usize,
    lengths: usize,
    encodings: usize,
    /// Names that HTTP/1 has no word for.
    others: usize,
}

impl Found {
    fn in_head(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, _) in headers {
            found.others += usize::from(!field_name::is_token(name));
            match name.as_str().len() {
                4 => found.hosts += usize::from(name == HOST),
                6 => found.cookies += usize::from(name == COOKIE),
                14 => found.lengths += usize::from(name == CONTENT_LENGTH),
                17 => found.encodings += usize::from(name == TRANSFER_ENCODING),
                _ => {}
            }
        }
        found
    }
}

/// Whether a request says that it has no body, and has not ended.
fn is_to_end(request: &Request<RequestBody>) -> bool {
    !request.body().is_end_stream()
        && request
            .headers()
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes().iter().all(|digit| *digit == b'0'))
}

/// Waits for the end of such a request. If bytes come instead it is malformed (RFC 9113, section 8.1.1), and
/// must not have been forwarded: elsewhere that is seen before its last part is passed on, but here there is
/// none to hold back.
///
/// # Errors
/// When it is malformed, or does not end in time.
async fn await_end(active: &ActiveRequest, body: &mut RequestBody) -> Result<(), Failure> {
    active.on(Input::AwaitEnd);
    loop {
        match active.within(pin!(body.frame())).await {
            Ok(None) => {
                *body = RequestBody::Empty;
                return Ok(());
            }
            Ok(Some(Ok(frame))) => match frame.into_trailers() {
                Ok(trailers) => {
                    *body = std::mem::take(body).preceded_by(Vec::new(), Some(trailers));
                    return Ok(());
                }
                Err(data) if data.data_ref().is_none_or(Bytes::is_empty) => {}
                Err(_) => return Err(Failure::ClientBody),
            },
            Ok(Some(Err(_))) => return Err(Failure::ClientBody),
            Err(Expiry::Call) => return Err(Failure::DeadlineExceeded),
            Err(_) => return Err(Failure::ClientTimeout),
        }
    }
}

/// `:authority` becomes `Host`, of which there are so many. Two that differ could lead to two places.
fn set_host<B>(request: &mut Request<B>, hosts: usize) -> Result<(), Failure> {
    if hosts > 1 {
        return Err(Failure::BadRequest("there must be exactly one Host header"));
    }
    let host = if hosts == 1 { request.headers().get(HOST) } else { None };
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
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::try_from(crumbs.join(&b"; "[..])).expect("header values joined by a separator");
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
    fn the_name_of_a_field_is_one_of_http1() {
        let name = http::HeaderName::from_lowercase(b"x\"y").unwrap();
        refused(Request::get("http://a/").header(name, "w"));
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
