//! Reads the body of a request: checks its type and limits. Knows nothing of its content.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body::Body;
use http_body_util::BodyExt;

use super::error::{Reason, Refusal};

/// Largest body, in bytes: enough for thousands of names.
const MAX_BYTES: u64 = 64 * 1024;

/// Largest body that is read and discarded, in bytes, so that a client that writes its whole request
/// first receives the refusal. For a larger one, the connection is closed while the client writes.
const MAX_DISCARDED_BYTES: u64 = 1024 * 1024;

/// Time limit for the whole body.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Refuses bodies that are not declared as plain JSON, because a page of another origin cannot send
/// `application/json` without a preflight request.
pub(super) fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let json = match (types.next(), types.next()) {
        (Some(only), None) => only.to_str().is_ok_and(is_json),
        _ => false,
    };
    if json && !headers.contains_key(CONTENT_ENCODING) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::UnsupportedMediaType,
        "the body must be JSON, sent as Content-Type: application/json, without Content-Encoding",
    ))
}

/// Whether a media type is `application/json`, with no other parameter than `charset=utf-8`.
fn is_json(value: &str) -> bool {
    let (kind, parameter) = value.split_once(';').map_or((value, ""), |(kind, rest)| (kind, rest.trim()));
    let utf8 = ["", "charset=utf-8", "charset=\"utf-8\""];
    kind.trim().eq_ignore_ascii_case("application/json")
        && utf8.iter().any(|known| parameter.eq_ignore_ascii_case(known))
}

/// A body that is read at most once.
pub(super) struct RequestBody<B> {
    body: Pin<Box<B>>,
    ended: bool,
}

impl<B: Body<Data = Bytes>> RequestBody<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body: Box::pin(body), ended: false }
    }

    /// Whether parts of it may still come, so that the connection cannot be reused.
    pub(super) fn is_unread(&self) -> bool {
        !self.ended && !self.body.is_end_stream()
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// It is too large, too slow, or was cut off.
    pub(super) async fn read(&mut self) -> Result<Vec<u8>, Refusal> {
        if self.body.size_hint().lower() > MAX_DISCARDED_BYTES {
            return Err(too_large());
        }
        tokio::time::timeout(READ_TIMEOUT, self.collect()).await.unwrap_or_else(|_| {
            let seconds = READ_TIMEOUT.as_secs();
            Err(Refusal::new(Reason::BodyTimeout, format!("the body was not complete after {seconds} s")))
        })
    }

    async fn collect(&mut self) -> Result<Vec<u8>, Refusal> {
        let mut kept = Vec::new();
        let mut seen: u64 = 0;
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|_| Refusal::new(Reason::BadRequest, "the body broke off"))?;
            let Ok(data) = frame.into_data() else { continue };
            seen += data.len() as u64;
            if seen > MAX_DISCARDED_BYTES {
                return Err(too_large());
            } else if seen > MAX_BYTES {
                kept = Vec::new();
            } else {
                kept.extend_from_slice(&data);
            }
        }
        self.ended = true;
        if seen > MAX_BYTES { Err(too_large()) } else { Ok(kept) }
    }
}

fn too_large() -> Refusal {
    Refusal::new(Reason::TooLarge, format!("the body is larger than {MAX_BYTES} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_type() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json ;charset=\"UTF-8\"",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "text/json",
            "application/jsonx",
            "application/json; charset=latin1",
            "application/json; charset=utf-8; x=y",
            "application/json, text/plain",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
