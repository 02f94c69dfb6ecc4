//! How the balancer names itself in `Via` (RFC 9110, section 7.6.3), and how it knows a request that
//! comes back to it.

use http::header::VIA;
use http::{HeaderMap, HeaderValue, Version};

/// The name of one balancer, which no other has. Clones are the same balancer.
#[derive(Clone, Debug)]
pub struct Via {
    /// As in the values.
    name: HeaderValue,
    http_10: HeaderValue,
    http_11: HeaderValue,
    http_2: HeaderValue,
}

impl Via {
    /// The balancer with this id.
    #[expect(clippy::missing_panics_doc, reason = "hexadecimal digits are a header value")]
    pub fn new(id: u64) -> Self {
        let name = format!("ringherd-{id:016x}");
        let value = |text: &str| HeaderValue::from_str(text).expect("a name is a header value");
        Self {
            name: value(&name),
            http_10: value(&format!("1.0 {name}")),
            http_11: value(&format!("1.1 {name}")),
            http_2: value(&format!("2.0 {name}")),
        }
    }

    /// The element for a message that was received with `version`.
    pub(crate) fn value(&self, version: Version) -> &HeaderValue {
        match version {
            Version::HTTP_10 => &self.http_10,
            Version::HTTP_2 => &self.http_2,
            _ => &self.http_11,
        }
    }

    /// Whether a message with these fields has passed this balancer before.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let name = self.name.as_bytes();
        let mut values = headers.get_all(VIA).iter();
        values.any(|value| value.as_bytes().windows(name.len()).any(|part| part == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_itself_and_no_other() {
        let (us, other) = (Via::new(7), Via::new(8));
        let mut headers = HeaderMap::new();
        assert!(!us.is_in(&headers));
        headers.append(VIA, other.value(Version::HTTP_11).clone());
        assert!(!us.is_in(&headers));
        headers.append(VIA, HeaderValue::from_static("1.1 a, 1.0 ringherd-0000000000000007 (b)"));
        assert!(us.is_in(&headers));
        assert_eq!(us.value(Version::HTTP_10), "1.0 ringherd-0000000000000007");
        assert_eq!(us.value(Version::HTTP_2), "2.0 ringherd-0000000000000007");
    }
}
