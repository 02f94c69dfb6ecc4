//! A strict reader of HTTP/1 requests (RFC 9112), to judge the balancer by what it sent. It shares nothing with
//! the parser under hyper, nor with its leniency.

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) method: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// Whether what follows may be of another protocol.
    pub(super) offers_upgrade: bool,
}

/// How a stream of requests ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Behind a whole request, or within one that may go on.
    Open,
    /// With what is no request of RFC 9112, in a way that many parsers forgive.
    Malformed(&'static str),
    /// With a request of which two parsers may see different ends or hosts.
    Ambiguous(&'static str),
}

/// The requests that begin a stream, and what comes behind them. One with a length beside its transfer encoding
/// may be taken by the latter, and then is the last (RFC 9112, section 6.3).
pub(super) fn requests(mut bytes: &[u8]) -> (Vec<Message>, End) {
    let mut messages = Vec::new();
    loop {
        match request(&mut bytes) {
            Ok((message, is_last)) => {
                messages.push(message);
                if is_last {
                    return (messages, End::Ambiguous("its length is there beside its transfer encoding"));
                }
            }
            Err(end) => return (messages, end),
        }
    }
}

/// What of a head says where its message ends.
#[derive(Default)]
struct Framing {
    hosts: usize,
    lengths: Vec<u64>,
    encodings: Vec<Vec<u8>>,
    has_length: bool,
    is_bad_length: bool,
    offers_upgrade: bool,
}

/// Takes a request off `bytes`; with it whether it must be the last.
fn request(bytes: &mut &[u8]) -> Result<(Message, bool), End> {
    if bytes.is_empty() {
        return Err(End::Open);
    }
    let line = line(bytes)?;
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(End::Malformed("a request line does not have three parts"));
    };
    if !is_token(method)
        || target.is_empty()
        || !target.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..))
    {
        return Err(End::Malformed("a method or a target has bytes that it cannot have"));
    }
    let is_http10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(End::Malformed("the version is neither 1.0 nor 1.1")),
    };
    let mut framing = Framing::default();
    while let Some((name, value)) = field(bytes)? {
        framing.note(&name, value);
    }
    let body = framing.body(bytes, is_http10)?;
    let is_last = !framing.encodings.is_empty() && framing.has_length;
    Ok((Message { method: method.to_vec(), body, offers_upgrade: framing.offers_upgrade }, is_last))
}

impl Framing {
    fn note(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"host" => self.hosts += 1,
            b"upgrade" => self.offers_upgrade = true,
            b"transfer-encoding" => self.encodings.push(value.to_ascii_lowercase()),
            b"content-length" => {
                self.has_length = true;
                let digits =
                    value.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(value).ok()).flatten();
                match digits.and_then(|digits| digits.parse().ok()) {
                    Some(length) => self.lengths.push(length),
                    None => self.is_bad_length = true,
                }
            }
            _ => {}
        }
    }

    /// Takes the body off `bytes`.
    fn body(&self, bytes: &mut &[u8], is_http10: bool) -> Result<Vec<u8>, End> {
        if self.hosts > 1 || self.hosts == 0 && !is_http10 {
            return Err(End::Ambiguous("it has no host, or several"));
        }
        if self.encodings.is_empty() {
            if self.is_bad_length || self.lengths.iter().any(|length| *length != self.lengths[0]) {
                return Err(End::Ambiguous("its length is no number, or several"));
            }
            if self.lengths.len() > 1 {
                return Err(End::Malformed("its length is there twice"));
            }
            let length = usize::try_from(self.lengths.first().copied().unwrap_or(0));
            return length.ok().and_then(|length| take(bytes, length)).ok_or(End::Open);
        }
        if self.encodings != [b"chunked"] || is_http10 {
            return Err(End::Ambiguous("its transfer encoding is not one 'chunked' in HTTP/1.1"));
        }
        let mut body = Vec::new();
        loop {
            let line = line(bytes)?;
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
            if size.is_empty() || size.len() > 16 || !size.iter().all(u8::is_ascii_hexdigit) {
                return Err(End::Malformed("the size of a chunk is no number"));
            }
            let size = str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
            let size = size.ok_or(End::Malformed("the size of a chunk is no number"))?;
            if size == 0 {
                while field(bytes)?.is_some() {}
                return Ok(body);
            }
            body.extend(take(bytes, size).ok_or(End::Open)?);
            match take(bytes, 2).as_deref() {
                Some(b"\r\n") => {}
                Some(_) => return Err(End::Malformed("a chunk is longer than its size")),
                None => return Err(End::Open),
            }
        }
    }
}

/// Takes one line off `bytes`, without its end.
fn line<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], End> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Err(End::Open) };
    let (line, rest) = bytes.split_at(end + 1);
    *bytes = rest;
    match line.strip_suffix(b"\r\n") {
        Some(line) if !line.contains(&b'\r') => Ok(line),
        _ => Err(End::Malformed("a line does not end with one CR and LF")),
    }
}

/// A name in lower case, and its value.
type Field<'a> = (Vec<u8>, &'a [u8]);

/// Takes one field off `bytes`; none at the end of a head.
fn field<'a>(bytes: &mut &'a [u8]) -> Result<Option<Field<'a>>, End> {
    let line = line(bytes)?;
    if line.is_empty() {
        return Ok(None);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(End::Malformed("a field has no colon"))?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let is_text = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    if !is_token(name) || !value.iter().all(is_text) {
        return Err(End::Malformed("a field has bytes that it cannot have"));
    }
    Ok(Some((name.to_ascii_lowercase(), value)))
}

fn take(bytes: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken.to_vec())
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> (usize, End) {
        let (messages, end) = requests(text.as_bytes());
        (messages.len(), end)
    }

    #[test]
    fn whole_requests_are_told_from_the_rest() {
        let get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
        let post = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
        let chunked =
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nz: 1\r\n\r\n";
        assert_eq!(end(&[get, post, chunked, "GET"].concat()), (3, End::Open));
        assert_eq!(requests(chunked.as_bytes()).0[0].body, b"abc");
        let message = &requests(post.as_bytes()).0[0];
        assert_eq!((&message.method[..], &message.body[..]), (&b"POST"[..], &b"ab"[..]));
        assert_eq!(end(&post[..post.len() - 1]), (0, End::Open));
        let both =
            post.replace("Content", "Transfer-Encoding: chunked\r\nContent").replace("ab", "0\r\n\r\n");
        assert!(matches!(end(&[&both, get].concat()), (1, End::Ambiguous(_))));
        for (text, is_ambiguous) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", true),
            ("GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", false),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n x\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", false),
        ] {
            let (count, end) = end(text);
            assert_eq!(
                (count, matches!(end, End::Ambiguous(_)), end == End::Open),
                (0, is_ambiguous, false),
                "{text:?}"
            );
        }
    }
}
