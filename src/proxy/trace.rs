//! Trace context: the header that ties the work of many services for one request together.
//!
//! Source: W3C Trace Context, level 1, section 3.2. ringherd records no spans: a trace that comes
//! is passed on as it is.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What is done with trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TraceContext {
    /// Passed on as it came.
    #[default]
    Pass,
    /// Begun where none came, or one that cannot be read.
    Start,
}

/// The id of a trace: 32 hexadecimal digits in lower case, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceId([u8; 32]);

impl TraceId {
    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The trace that a request belongs to, if to one that can be read.
pub(crate) fn of(headers: &HeaderMap) -> Option<TraceId> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => parse(value.as_bytes()),
        _ => None,
    }
}

/// Begins a trace of which the request is the root. It is marked as sampled: services that follow
/// their parent would else record nothing.
pub(crate) fn start(headers: &mut HeaderMap) -> TraceId {
    let mut text = String::with_capacity(55);
    // Zero stands for no id.
    let (trace, span) = (fastrand::u128(1..), fastrand::u64(1..));
    let _ = write!(text, "00-{trace:032x}-{span:016x}-01");
    let mut id = [0; 32];
    id.copy_from_slice(&text.as_bytes()[3..35]);
    // State without a parent belongs to nothing (section 3.3).
    headers.remove(TRACESTATE);
    headers.insert(TRACEPARENT, HeaderValue::try_from(text).expect("digits and dashes are a header value"));
    TraceId(id)
}

/// `version "-" trace-id "-" parent-id "-" flags`; versions after the first may go on behind that.
fn parse(text: &[u8]) -> Option<TraceId> {
    let (head, rest) = text.split_at_checked(55)?;
    let field = |range: std::ops::Range<usize>| &head[range];
    let dashes = [2, 35, 52].iter().all(|&at| head[at] == b'-');
    let hex =
        [0..2, 3..35, 36..52, 53..55].into_iter().all(|range| field(range).iter().all(|byte| is_hex(*byte)));
    let ends = match field(0..2) {
        b"ff" => false,
        b"00" => rest.is_empty(),
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let set = |range| field(range).iter().any(|digit| *digit != b'0');
    (dashes && hex && ends && set(3..35) && set(36..52)).then(|| {
        let mut id = [0; 32];
        id.copy_from_slice(field(3..35));
        TraceId(id)
    })
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn with(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn contexts_that_can_be_read() {
        for rest in ["-00f067aa0ba902b7-01", "-00f067aa0ba902b7-00"] {
            assert_eq!(of(&with(&[&format!("00-{TRACE}{rest}")])).unwrap().as_str(), TRACE);
        }
        // Of a later version.
        assert!(of(&with(&[&format!("cc-{TRACE}-00f067aa0ba902b7-01-what-comes")])).is_some());
    }

    #[test]
    fn contexts_that_cannot() {
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        for bad in [
            "",
            "00",
            &good[..54],
            &format!("{good}-more"),
            &format!("ff{}", &good[2..]),
            &good.to_uppercase(),
            &good.replace('-', "_"),
            &good.replace(TRACE, &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &format!("cc{}x", &good[2..]),
        ] {
            assert_eq!(of(&with(&[bad])), None, "{bad}");
        }
        assert_eq!(of(&with(&[&good, &good])), None, "two of them");
    }

    #[test]
    fn one_that_is_begun_can_be_read() {
        let mut headers = with(&["nonsense"]);
        headers.insert(TRACESTATE, HeaderValue::from_static("a=1"));
        let id = start(&mut headers);
        assert_eq!(of(&headers), Some(id));
        assert!(!headers.contains_key(TRACESTATE));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            parse(&bytes);
        }
    }
}
