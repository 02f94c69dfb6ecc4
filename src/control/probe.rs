//! One heartbeat after the other on one HTTP/1.1 connection: `GET`, and as much of the response as
//! it takes to use the connection again.
//!
//! Written on httparse instead of hyper's client, because thousands of replicas get two heartbeats
//! a second: the channels and header maps of hyper's client were about a quarter of the balancer's
//! idle CPU time. Knows nothing of time-outs or of what a status means.

use std::io;
use std::mem::MaybeUninit;

use httparse::{ParserConfig, Response, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::reach::ReachedStream;
use crate::tls::ConnectorError;

/// Most fields of a response's head.
const MAX_FIELDS: usize = 256;

/// Longest head of a response, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// Longest body, with its framing, that is read to use the connection again, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Room made for each read, in bytes: the whole of most responses.
const READ_SIZE: usize = 1024;

/// A connection for heartbeats.
#[derive(Debug)]
pub(super) struct ProbeConnection {
    stream: ReachedStream,
    opened: Instant,
    /// What was read and not used up.
    buffer: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    /// The connection ended or broke.
    #[error("{0}")]
    Broken(#[from] io::Error),
    /// What came is not HTTP.
    #[error("{0}")]
    NotHttp(String),
}

impl ProbeError {
    /// What it means for TLS, if it does.
    pub(super) fn of_tls(&self) -> Option<ConnectorError> {
        match self {
            Self::Broken(error) => ConnectorError::of_stream(error),
            Self::NotHttp(_) => None,
        }
    }
}

/// The head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResponseHead {
    /// The status, 200 and above: interim responses are skipped.
    pub(super) status: u16,
    body: BodyLength,
    /// Whether the other side keeps the connection open.
    keeps_alive: bool,
}

/// How the end of a body is found (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyLength {
    Exact(usize),
    Chunked,
    /// At the end of the connection, or in a way that is not followed here.
    Unknown,
}

/// The bytes of a `GET` request, or `None` where `path` or `host` cannot be sent in one.
pub(super) fn request(path: &str, host: &str) -> Option<Vec<u8>> {
    let is_sendable = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let agent = concat!("ringherd/", env!("CARGO_PKG_VERSION"));
    (is_sendable(path) && is_sendable(host))
        .then(|| format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {agent}\r\n\r\n").into_bytes())
}

impl ProbeConnection {
    /// Takes a new stream into use.
    pub(super) fn new(stream: ReachedStream) -> Self {
        Self { stream, opened: Instant::now(), buffer: Vec::new() }
    }

    /// When it was made.
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Whether nothing has come on an idle connection: neither its end nor bytes that belong to no
    /// request, such as the 408 that some servers send before they close.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.stream.is_quiet()
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// The connection broke, which an idle one may have done before, or what came is not HTTP.
    pub(super) async fn send(&mut self, request: &[u8]) -> Result<ResponseHead, ProbeError> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        loop {
            while let Some((head, length)) = parse_head(&self.buffer)? {
                self.buffer.drain(..length);
                if head.status >= 200 {
                    return Ok(head);
                }
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(ProbeError::NotHttp(format!("the head is longer than {MAX_HEAD} bytes")));
            }
            self.read().await?;
        }
    }

    /// Reads the body that `head` announces; whether the connection can be used again.
    pub(super) async fn finish(&mut self, head: ResponseHead) -> bool {
        loop {
            if let Some(reusable) = self.try_finish(head) {
                return reusable;
            }
            if self.read().await.is_err() {
                return false;
            }
        }
    }

    /// The same, with what has come already; `None` if that is not enough to tell.
    pub(super) fn try_finish(&mut self, head: ResponseHead) -> Option<bool> {
        if !head.keeps_alive {
            return Some(false);
        }
        let end = match head.body {
            BodyLength::Exact(length) => (length <= self.buffer.len()).then_some(length),
            BodyLength::Chunked => match chunked_length(&self.buffer) {
                Ok(end) => end,
                Err(_) => return Some(false),
            },
            BodyLength::Unknown => return Some(false),
        };
        match end {
            // Bytes behind the response belong to nothing that was asked.
            Some(end) => {
                let reusable = end == self.buffer.len();
                self.buffer.clear();
                Some(reusable)
            }
            None if self.buffer.len() > MAX_BODY => Some(false),
            None => None,
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        self.buffer.reserve(READ_SIZE);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed")),
            _ => Ok(()),
        }
    }
}

/// The head at the beginning of `buffer`, with its length; `None` while it is not complete.
fn parse_head(buffer: &[u8]) -> Result<Option<(ResponseHead, usize)>, ProbeError> {
    let not_http = |error: &dyn std::fmt::Display| ProbeError::NotHttp(error.to_string());
    if buffer.is_empty() {
        return Ok(None);
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = Response::new(&mut []);
    let parser = ParserConfig::default();
    let parsed = parser.parse_response_with_uninit_headers(&mut response, buffer, &mut fields);
    let Status::Complete(length) = parsed.map_err(|error| not_http(&error))? else { return Ok(None) };
    let status = response.code.ok_or_else(|| not_http(&"it has no status"))?;
    let mut head =
        ResponseHead { status, body: BodyLength::Unknown, keeps_alive: response.version == Some(1) };
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let digits = field.value.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(field.value).ok().filter(|_| digits);
            let length = text.and_then(|text| text.parse().ok());
            if let (Some(length), BodyLength::Unknown) = (length, head.body) {
                head.body = BodyLength::Exact(length);
            } else {
                // Not a number, or a second one: the framing is not to be trusted.
                head.body = BodyLength::Unknown;
                head.keeps_alive = false;
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            let is_chunked = field.value.eq_ignore_ascii_case(b"chunked");
            head.keeps_alive &= is_chunked && head.body == BodyLength::Unknown;
            head.body = BodyLength::Chunked;
        } else if field.name.eq_ignore_ascii_case("connection") {
            let mut options = field.value.split(|byte| *byte == b',');
            head.keeps_alive &= !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
        }
    }
    if status < 200 || status == 204 || status == 304 {
        head.body = BodyLength::Exact(0);
    }
    Ok(Some((head, length)))
}

/// Length of the chunked body at the beginning of `buffer`, framing included; `None` while it is
/// not complete. One with trailers counts as an error: its connection is not used again.
fn chunked_length(buffer: &[u8]) -> Result<Option<usize>, ProbeError> {
    let broken = || ProbeError::NotHttp("the body's chunks are not valid".to_owned());
    let mut at = 0;
    loop {
        let rest = &buffer[at..];
        let Status::Complete((used, size)) = httparse::parse_chunk_size(rest).map_err(|_| broken())? else {
            return Ok(None);
        };
        let size = usize::try_from(size).ok().filter(|&size| size <= MAX_BODY).ok_or_else(broken)?;
        let end = at + used + size;
        let Some(line_end) = buffer.get(end..end + 2) else { return Ok(None) };
        if line_end != b"\r\n" {
            return Err(broken());
        }
        at = end + 2;
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(text: &str) -> ResponseHead {
        let parsed = parse_head(text.as_bytes()).expect("HTTP").expect("a whole head");
        assert_eq!(parsed.1, text.len());
        parsed.0
    }

    #[test]
    fn heads_and_whether_their_connection_is_kept() {
        use BodyLength::{Chunked, Exact, Unknown};
        for (text, status, body, keeps_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, Exact(5), true),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 200, Chunked, true),
            ("HTTP/1.1 204 No Content\r\n\r\n", 204, Exact(0), true),
            ("HTTP/1.1 100 Continue\r\n\r\n", 100, Exact(0), true),
            ("HTTP/1.1 200 OK\r\n\r\n", 200, Unknown, true),
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", 200, Exact(0), false),
            (
                "HTTP/1.1 503 No\r\nconnection: keep-alive, Close\r\ncontent-length: 0\r\n\r\n",
                503,
                Exact(0),
                false,
            ),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 200, Unknown, false),
            ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", 200, Unknown, false),
            ("HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n", 200, Unknown, false),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
                200,
                Chunked,
                false,
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", 200, Chunked, false),
        ] {
            assert_eq!(head(text), ResponseHead { status, body, keeps_alive }, "{text:?}");
        }
        assert!(parse_head(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_end_where_they_end() {
        let length = |text: &str| chunked_length(text.as_bytes()).ok().flatten();
        assert_eq!(length("0\r\n\r\n"), Some(5));
        assert_eq!(length("3\r\none\r\n0\r\n\r\nmore"), Some(13));
        assert_eq!(length("3;name=value\r\none\r\n0\r\n\r\n"), Some(24));
        assert_eq!(length("3\r\none\r\n0\r\n"), None);
        for bad in ["x\r\n", "3\r\nfour\r\n0\r\n\r\n", "0\r\ntrailer: 1\r\n\r\n", "fffffff\r\n"] {
            assert!(chunked_length(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_request_is_one() {
        let text = String::from_utf8(request("/up?a=b", "web:80").expect("sendable")).unwrap();
        assert!(text.starts_with("GET /up?a=b HTTP/1.1\r\nhost: web:80\r\nuser-agent: ringherd/"));
        for (path, host) in [("/a b", "h"), ("/\r\nx: y", "h"), ("/", "h\r\nx: y"), ("/ü", "h"), ("/", "")] {
            assert_eq!(request(path, host), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_head(&bytes);
            let _ = chunked_length(&bytes);
            let _ = parse_head(&[b"HTTP/1.1 200 OK\r\n".as_slice(), &bytes].concat());
        }

        #[test]
        fn a_part_of_a_response_is_incomplete_and_not_wrong(cut in 0usize..80) {
            let text = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
            prop_assert!(parse_head(&text[..cut.min(text.len() - 1)]).is_ok_and(|head| head.is_none()));
            let body = b"3\r\none\r\n5;a=b\r\nthree\r\n0\r\n\r\n";
            prop_assert!(chunked_length(&body[..cut % body.len()]).is_ok_and(|end| end.is_none()));
        }
    }
}
