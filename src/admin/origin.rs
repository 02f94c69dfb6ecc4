//! Which page a request comes from: browsers say so, and only pages of our own may ask.
//!
//! There is no CORS here: a foreign page that may not send cannot be told to read either.

use http::HeaderMap;
use http::header::ORIGIN;

use super::error::{Reason, Refusal};
use super::host::Target;

/// Port of an `http` origin that names none.
const DEFAULT_PORT: u16 = 80;

/// Refuses what a page of another origin than `target` sent. Requests without such headers come
/// from programs, or from browsers on behalf of their user.
pub(super) fn check(headers: &HeaderMap, target: &Target<'_>) -> Result<(), Refusal> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let same = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => origin.to_str().is_ok_and(|origin| is_same(origin, target)),
        (Some(_), Some(_)) => false,
    };
    if same && !is_fetched_from_elsewhere(headers) {
        return Ok(());
    }
    Err(Refusal::new(Reason::ForeignOrigin, "requests of other origins than this balancer's own are refused"))
}

/// Whether `origin` is `http://` and the host and port of `target`. We speak clear text, so
/// another scheme is another origin.
fn is_same(origin: &str, target: &Target<'_>) -> bool {
    let Some(origin) = origin.strip_prefix("http://").and_then(Target::parse) else { return false };
    origin.host.eq_ignore_ascii_case(target.host)
        && origin.port.unwrap_or(DEFAULT_PORT) == target.port.unwrap_or(DEFAULT_PORT)
}

/// `same-site` is elsewhere too: every port of `localhost` is the same site. Other values than
/// the four known ones are to be ignored (Fetch Metadata, section 2).
fn is_fetched_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| {
        let site = site.as_bytes();
        site.eq_ignore_ascii_case(b"cross-site") || site.eq_ignore_ascii_case(b"same-site")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let cases = [
            ("http://127.0.0.1:5000", "127.0.0.1:5000", true),
            ("http://localhost:5000", "LOCALHOST:5000", true),
            ("http://lb.example", "lb.example:80", true),
            ("http://[::1]:5000", "[::1]:5000", true),
            ("http://127.0.0.1:5001", "127.0.0.1:5000", false),
            ("http://localhost:5000", "127.0.0.1:5000", false),
            ("https://127.0.0.1:5000", "127.0.0.1:5000", false),
            ("http://127.0.0.1:5000/", "127.0.0.1:5000", false),
            ("http://127.0.0.1:5000@evil.example", "127.0.0.1:5000", false),
            ("127.0.0.1:5000", "127.0.0.1:5000", false),
            ("null", "127.0.0.1:5000", false),
            ("", "127.0.0.1:5000", false),
        ];
        for (origin, host, same) in cases {
            let target = Target::parse(host).unwrap();
            assert_eq!(is_same(origin, &target), same, "{origin} and {host}");
        }
    }
}
