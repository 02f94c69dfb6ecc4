//! Names of fields as both versions of HTTP have them.
//!
//! h2 takes `"` in a name that came over HTTP/2, where only lower case is asked for (RFC 9113, section
//! 8.2.1); but a name is a token (RFC 9110, section 5.1), and over HTTP/1 that one cannot be said.

use http::{HeaderMap, HeaderName};

/// Whether HTTP/1 has such a name.
pub(crate) fn is_token(name: &HeaderName) -> bool {
    memchr::memchr(b'"', name.as_str().as_bytes()).is_none()
}

/// Whether HTTP/1 has all names of a head.
pub(crate) fn are_tokens(headers: &HeaderMap) -> bool {
    headers.keys().all(is_token)
}

/// Takes out of trailers what HTTP/1 has no name for.
pub(crate) fn retain_tokens(trailers: &mut HeaderMap) {
    remove_fields(trailers, |name| !is_token(name));
}

/// Takes out all fields with such names.
pub(crate) fn remove_fields(headers: &mut HeaderMap, is_such: impl Fn(&HeaderName) -> bool) {
    let names: Vec<_> = headers.keys().filter(|name| is_such(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// A new version of http or h2 that takes other characters shows here.
    #[test]
    fn names_of_http2_are_those_of_http1_but_for_the_quote() {
        for byte in 0..=u8::MAX {
            let bytes = [b'x', byte];
            if let Ok(name) = HeaderName::from_lowercase(&bytes) {
                assert_eq!(is_token(&name), HeaderName::from_bytes(&bytes).is_ok(), "{}", char::from(byte));
            }
        }
    }

    #[test]
    fn others_go_out_of_trailers() {
        let mut trailers = HeaderMap::new();
        for name in [&b"x"[..], b"x\"y", b"z"] {
            trailers.append(HeaderName::from_lowercase(name).unwrap(), HeaderValue::from_static("1"));
        }
        assert!(!are_tokens(&trailers));
        retain_tokens(&mut trailers);
        assert!(are_tokens(&trailers));
        assert_eq!(trailers.len(), 2);
    }
}
