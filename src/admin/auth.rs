//! Who may ask: the bearer token (RFC 6750).

use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use super::error::{Reason, Refusal};

/// Scheme and the space after it, in lower case.
const SCHEME: &[u8] = b"bearer ";

/// Refuses a request without exactly one `Authorization` header that carries `token`; no token,
/// no question.
pub(super) fn check(headers: &HeaderMap, token: Option<&str>) -> Result<(), Refusal> {
    let Some(token) = token else { return Ok(()) };
    if presented(headers).is_some_and(|presented| is_equal(presented, token.as_bytes())) {
        return Ok(());
    }
    Err(Refusal::new(Reason::Unauthorized, "this needs the admin token: Authorization: Bearer TOKEN"))
}

/// The token that was sent. Two headers are no answer: something between us and the client
/// might have looked at the other one.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    // The empty string is never a token, whatever was configured.
    (scheme.eq_ignore_ascii_case(SCHEME) && !token.is_empty()).then_some(token)
}

/// Takes as long for a wrong first byte as for a wrong last one. The length is not hidden.
fn is_equal(presented: &[u8], token: &[u8]) -> bool {
    presented.ct_eq(token).into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn allowed(values: &[&'static str], token: &str) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        check(&headers, Some(token)).is_ok()
    }

    #[test]
    fn one_header_with_the_very_token_is_let_in() {
        assert!(allowed(&["Bearer s3cret"], "s3cret"));
        assert!(allowed(&["bEARER s3cret"], "s3cret"));
        for values in [
            &[][..],
            &["Bearer wrong!"],
            &["Bearer s3cre"],
            &["Bearer s3crets"],
            &["Bearer S3cret"],
            &["Bearer  s3cret"],
            &["Bearer "],
            &["Bearer"],
            &["s3cret"],
            &["Basic s3cret"],
            &["Bearer wrong!", "Bearer s3cret"],
            &["Bearer s3cret", "Bearer s3cret"],
        ] {
            assert!(!allowed(values, "s3cret"), "{values:?}");
        }
    }

    #[test]
    fn an_empty_token_lets_nobody_in() {
        assert!(!allowed(&["Bearer "], ""));
        assert!(!allowed(&[], ""));
    }
}
