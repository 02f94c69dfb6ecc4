//! The connection preface of HTTP/2 (RFC 9113, section 3.4): how a client that knows what it speaks to
//! begins.

/// What such a client sends first. No request of HTTP/1 is like it: there is no method `PRI`.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// The preface, with or without more behind it.
    Http2,
    /// Something else.
    Other,
    /// A part of the preface: so many bytes more would tell.
    Unclear(usize),
}

impl Opening {
    /// Of these bytes, of which there is one at least.
    #[inline]
    pub(super) fn of(bytes: &[u8]) -> Self {
        // Nearly all clients begin with GET or POST.
        if !bytes.starts_with(&PREFACE[..bytes.len().min(3)]) {
            return Self::Other;
        }
        let seen = bytes.len().min(PREFACE.len());
        match PREFACE.len() - seen {
            _ if bytes[..seen] != PREFACE[..seen] => Self::Other,
            0 => Self::Http2,
            missing => Self::Unclear(missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_is_known_by_all_of_its_bytes() {
        for seen in 1..PREFACE.len() {
            assert_eq!(Opening::of(&PREFACE[..seen]), Opening::Unclear(PREFACE.len() - seen));
            let mut other = PREFACE[..seen].to_vec();
            other[seen - 1] ^= 1;
            assert_eq!(Opening::of(&other), Opening::Other);
        }
        assert_eq!(Opening::of(PREFACE), Opening::Http2);
        assert_eq!(Opening::of(&[&PREFACE[..], b"\0\0\0\x04"].concat()), Opening::Http2);
        for other in ["GET / HTTP/1.1\r\n", "POST /", "PUT /", "PROPFIND", "PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n"]
        {
            assert_eq!(Opening::of(other.as_bytes()), Opening::Other, "{other}");
        }
    }
}
