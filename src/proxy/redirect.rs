//! Where a request without TLS is sent that is to come over TLS.

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request};

use super::error::Failure;
use super::forwarding::FORWARDED_PROTO;
use super::headers::is_of_host;

/// The port that `https://` stands for.
const HTTPS: u16 = 443;

/// Whether a trusted proxy says that its client speaks TLS already.
pub(crate) fn came_over_tls(headers: &HeaderMap) -> bool {
    headers.get(FORWARDED_PROTO).is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// The same URL with `https` and `port`.
///
/// # Errors
/// The request does not say which host it is for, or not in a way that can be repeated.
pub(crate) fn location<B>(request: &Request<B>, port: u16) -> Result<HeaderValue, Failure> {
    const NO_HOST: Failure = Failure::BadRequest("without one Host there is no URL to redirect to");
    let uri = request.uri();
    let host = if let Some(authority) = uri.authority() {
        authority.as_str()
    } else {
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = hosts.next().filter(|_| hosts.next().is_none()).ok_or(NO_HOST)?;
        host.to_str().map_err(|_| NO_HOST)?
    };
    let name = match host.rfind(':').filter(|colon| !host[*colon..].contains(']')) {
        Some(colon) => &host[..colon],
        None => host,
    };
    if name.is_empty() || !name.bytes().all(is_of_host) {
        return Err(NO_HOST);
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let target = if target == "*" { "/" } else { target };
    let location = match port {
        HTTPS => format!("https://{name}{target}"),
        port => format!("https://{name}:{port}{target}"),
    };
    HeaderValue::from_str(&location).map_err(|_| NO_HOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &str, target: &str, port: u16) -> Option<String> {
        let request = Request::builder().uri(target).header(HOST, host).body(()).unwrap();
        location(&request, port).ok().map(|location| location.to_str().unwrap().to_owned())
    }

    #[test]
    fn all_but_scheme_and_port_stays() {
        let is = |location: &str| Some(location.to_owned());
        assert_eq!(of("a.example", "/x?y=1&z=%20", 443), is("https://a.example/x?y=1&z=%20"));
        assert_eq!(of("a.example:80", "/", 8443), is("https://a.example:8443/"));
        assert_eq!(of("[::1]:5000", "/x", 5443), is("https://[::1]:5443/x"));
        assert_eq!(of("[::1]", "/x", 443), is("https://[::1]/x"));
        assert_eq!(of("b", "http://a.example:80/x", 443), is("https://a.example/x"));
        for bad in ["", ":80", "a/b", "a\\b", "a b", "a@b"] {
            assert_eq!(of(bad, "/", 443), None, "{bad}");
        }
        let two = Request::builder().uri("/").header(HOST, "a").header(HOST, "b").body(()).unwrap();
        assert!(location(&two, 443).is_err());
    }
}
