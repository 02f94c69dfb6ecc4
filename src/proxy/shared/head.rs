//! The head of a request as HTTP/2 says it (RFC 9113, section 8.3.1). What concerned the client's
//! connection is gone by then.

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, Request, Uri, Version};

/// What HTTP/1 says of a connection (RFC 9113, section 8.2.2); `te` may say `trailers`.
const OF_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HOST,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The head of a request of HTTP/1 as one of HTTP/2, over TLS or not; to `replica` if it names no host.
///
/// # Errors
/// Why it cannot be said.
pub(super) fn to_http2(parts: &Parts, is_tls: bool, replica: &str) -> Result<Request<()>, &'static str> {
    const BAD_HOST: &str = "the Host header is not a host with a port or without one";
    let named = parts.headers.get(HOST).filter(|host| !host.is_empty());
    let host = named.map_or(replica.as_bytes(), |host| host.as_bytes());
    let authority = Authority::try_from(host).map_err(|_| BAD_HOST)?;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if is_tls { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(authority);
    uri.path_and_query =
        Some(parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| BAD_HOST)?;
    *request.method_mut() = parts.method.clone();
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().clone_from(&parts.headers);
    for name in &OF_CONNECTION {
        request.headers_mut().remove(name);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::TE;

    fn head(request: http::request::Builder) -> Result<Request<()>, &'static str> {
        to_http2(&request.body(()).unwrap().into_parts().0, false, "replica:1")
    }

    #[test]
    fn the_host_is_the_authority() {
        let uri = |request| head(request).unwrap().uri().to_string();
        assert_eq!(uri(Request::get("/a?b").header(HOST, "web:80")), "http://web:80/a?b");
        assert_eq!(uri(Request::get("/")), "http://replica:1/");
        assert_eq!(uri(Request::get("/").header(HOST, "")), "http://replica:1/");
        assert_eq!(uri(Request::options("*").header(HOST, "web")), "http://web*");
        head(Request::get("/").header(HOST, "a:b:c")).expect_err("two ports");
        let parts = Request::get("/").header(HOST, "a").body(()).unwrap().into_parts().0;
        assert_eq!(to_http2(&parts, true, "").unwrap().uri(), "https://a/");
    }

    #[test]
    fn what_concerns_a_connection_goes_out() {
        let request = Request::post("/")
            .header(HOST, "a")
            .header(TRANSFER_ENCODING, "chunked")
            .header(CONNECTION, "close")
            .header(TE, "trailers")
            .header("x", "y");
        let head = head(request).unwrap();
        let mut names: Vec<_> = head.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["te", "x"]);
    }
}
