//! What is special about calls of gRPC: a deadline of the whole, a status of their own, and errors that are
//! said as gRPC says them (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::error::{Failure, REASON};
use crate::telemetry::{GrpcCode, Reason};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The media type; `+proto` and the like, or parameters, may follow. gRPC-Web is another protocol.
const MEDIA_TYPE: &[u8] = b"application/grpc";

/// Longest time that a call is given; more is as good as none.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What may not stand in `grpc-message`, besides what is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    content_type: HeaderValue,
    /// What its client is told, once that is known.
    status: Cell<Option<GrpcCode>>,
}

/// Whether a media type is that of gRPC.
pub(crate) fn is_grpc(content_type: &HeaderValue) -> bool {
    let rest = content_type.as_bytes().strip_prefix(MEDIA_TYPE);
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

impl Call {
    /// That of a request with this head, if it is one.
    #[cold]
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE).filter(|kind| is_grpc(kind))?.clone();
        Some(Self { content_type, status: Cell::new(None) })
    }

    /// Takes in the status that stands in the head or the trailers of a response, if one does.
    #[cold]
    pub(crate) fn hear(&self, fields: &HeaderMap) {
        if let Some(status) = fields.get(GRPC_STATUS) {
            let number = status.to_str().ok().and_then(|status| status.parse().ok());
            self.status.set(Some(number.map_or(GrpcCode::Unknown, GrpcCode::of)));
        }
    }

    /// How it ended: what its client was told, or has to make of what it was told instead.
    #[cold]
    pub(crate) fn outcome(&self, status: u16, reason: Option<Reason>) -> GrpcCode {
        if let Some(code) = self.status.get() {
            return code;
        }
        match reason {
            Some(Reason::ClientGone) => GrpcCode::Cancelled,
            Some(Reason::DeadlineExceeded) => GrpcCode::DeadlineExceeded,
            Some(Reason::Stopped) => GrpcCode::Unavailable,
            Some(_) => GrpcCode::Internal,
            None => StatusCode::from_u16(status).map_or(GrpcCode::Unknown, of_http),
        }
    }

    /// What its client is told in place of a response: a status without a message, as trailers that are the
    /// head.
    #[cold]
    pub(crate) fn refuse(&self, failure: &Failure) -> Response<Bytes> {
        let code = match failure {
            // It may have run: to try it again may do it twice, which clients do for `UNAVAILABLE`.
            Failure::DeadlineExceeded | Failure::ResponseTimeout(_) => GrpcCode::DeadlineExceeded,
            failure => of_http(failure.status()),
        };
        self.status.set(Some(code));
        let told = failure.to_response();
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        headers.insert(GRPC_STATUS, HeaderValue::from(code as u16));
        let message = utf8_percent_encode(&failure.to_string(), ENCODED).to_string();
        if let Ok(message) = HeaderValue::try_from(message) {
            headers.insert(GRPC_MESSAGE, message);
        }
        for name in [REASON, CONNECTION] {
            if let Some(value) = told.headers().get(&name) {
                headers.insert(name, value.clone());
            }
        }
        response
    }
}

/// The code for a status of HTTP
/// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).
fn of_http(status: StatusCode) -> GrpcCode {
    match status.as_u16() {
        400 => GrpcCode::Internal,
        401 => GrpcCode::Unauthenticated,
        403 => GrpcCode::PermissionDenied,
        404 => GrpcCode::Unimplemented,
        429 | 502 | 503 | 504 => GrpcCode::Unavailable,
        _ => GrpcCode::Unknown,
    }
}

/// How long a call may take, if its client says so.
///
/// # Errors
/// When that is not said as it has to be.
#[cold]
pub(crate) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let mut said = headers.get_all(GRPC_TIMEOUT).iter();
    let Some(value) = said.next() else { return Ok(None) };
    let is_only = said.next().is_none();
    let timeout = parse(value.as_bytes()).filter(|_| is_only);
    timeout.map(Some).ok_or(Failure::BadRequest("grpc-timeout must be one to eight digits and one of HMSmun"))
}

fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0, |amount, digit| amount * 10 + u64::from(digit - b'0'));
    let timeout = match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    };
    Some(timeout.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        for (text, millis) in [
            ("1H", 3_600_000),
            ("2M", 120_000),
            ("00000003S", 3000),
            ("250m", 250),
            ("1500u", 1),
            ("99999999n", 99),
            ("0m", 0),
            ("99999999H", LONGEST.as_millis()),
        ] {
            assert_eq!(parse(text.as_bytes()).map(|timeout| timeout.as_millis()), Some(millis), "{text}");
        }
        for text in ["", "S", "1", "1s", "-1S", "+1S", "1 S", "123456789S", "1.5S", "1h", "1SS"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(timeout(&headers), Ok(None));
        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        assert_eq!(timeout(&headers), Ok(Some(Duration::from_secs(1))));
        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        timeout(&headers).expect_err("two of them");
    }

    #[test]
    fn a_media_type_is_that_of_grpc_or_not() {
        let is = |kind: &'static str| is_grpc(&HeaderValue::from_static(kind));
        assert!(is("application/grpc") && is("application/grpc+proto") && is("application/grpc;x=y"));
        assert!(!is("application/grpc-web") && !is("application/grpcx") && !is("text/plain") && !is(""));
    }

    #[test]
    fn a_refusal_is_trailers_alone() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc+json"));
        let call = Call::of(&headers).unwrap();
        let told = |failure: Failure| {
            let response = call.refuse(&failure);
            assert_eq!((response.status(), response.body().len()), (StatusCode::OK, 0));
            assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc+json");
            assert_eq!(response.headers()[REASON], failure.reason().expect("it failed").code());
            let number: u16 = response.headers()[GRPC_STATUS].to_str().unwrap().parse().unwrap();
            assert_eq!(call.outcome(200, None) as u16, number);
            (number, response.headers()[GRPC_MESSAGE].to_str().unwrap().to_owned())
        };
        assert_eq!(told(Failure::NoReplica), (14, "no replica is available".to_owned()));
        let name = || "50 % \u{fc}".to_owned();
        assert_eq!(told(Failure::Closed(name())).0, 14);
        assert_eq!(
            told(Failure::ConnectTimeout(name())),
            (14, "no connection to replica '50 %25 %C3%BC' in time".to_owned())
        );
        assert_eq!(told(Failure::BadRequest("x")).0, 13);
        assert_eq!(told(Failure::DeadlineExceeded).0, 4);
        assert_eq!(told(Failure::ResponseTimeout(name())).0, 4);
        assert_eq!(told(Failure::Loop).0, 2);
    }

    #[test]
    fn an_outcome_is_what_was_said_or_what_it_amounts_to() {
        let call = || Call { content_type: HeaderValue::from_static("x"), status: Cell::new(None) };
        let heard = |status: &'static str| {
            let (call, mut fields) = (call(), HeaderMap::new());
            fields.insert(GRPC_STATUS, HeaderValue::from_static(status));
            call.hear(&fields);
            call.outcome(200, Some(Reason::ClientGone))
        };
        assert_eq!(heard("0"), GrpcCode::Ok);
        assert_eq!(heard("16"), GrpcCode::Unauthenticated);
        assert_eq!(
            (heard("17"), heard("-1"), heard("x")),
            (GrpcCode::Unknown, GrpcCode::Unknown, GrpcCode::Unknown)
        );
        assert_eq!(call().outcome(200, None), GrpcCode::Unknown);
        assert_eq!(call().outcome(404, None), GrpcCode::Unimplemented);
        assert_eq!(call().outcome(0, Some(Reason::ClientGone)), GrpcCode::Cancelled);
        assert_eq!(call().outcome(200, Some(Reason::ResponseCut)), GrpcCode::Internal);
    }

    proptest! {
        #[test]
        fn no_timeout_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            prop_assert!(parse(&bytes).is_none_or(|timeout| timeout <= LONGEST));
        }
    }
}
