//! One heartbeat after the other on one connection of HTTP/2: `GET`, or a call of the health service of
//! gRPC. Knows nothing of time-outs or of what a status means.

use bytes::{Buf, Bytes};
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, Method, Request};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::reach::ReachedStream;

/// Largest answer of the health service, in bytes; the right one has seven.
const MAX_ANSWER: usize = 4096;

/// Bytes of a body that may come: it is not read.
const WINDOW: u32 = 64 * 1024;

/// The method of the health service (`grpc.health.v1`).
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// A connection for heartbeats.
#[derive(Debug)]
pub(super) struct Http2Probe {
    sender: SendRequest<Bytes>,
    /// What reads and writes.
    driver: JoinHandle<()>,
    opened: Instant,
    is_tls: bool,
}

impl Drop for Http2Probe {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Http2Error {
    /// The connection broke, or what came is not HTTP/2.
    Broken(h2::Error),
    /// Path and host make no request.
    Request,
}

impl From<h2::Error> for Http2Error {
    fn from(error: h2::Error) -> Self {
        Self::Broken(error)
    }
}

/// What the health service said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// `SERVING`.
    Yes,
    /// Another state of the service, as a number of its own.
    No(u64),
    /// A status of gRPC instead of an answer.
    Status(u16),
    /// A status of HTTP, which is no answer of gRPC.
    Http(u16),
    /// Something else.
    NotGrpc,
}

impl Http2Probe {
    /// Takes a new stream into use. For a tokio runtime.
    pub(super) async fn over(stream: ReachedStream) -> Result<Self, h2::Error> {
        let is_tls = matches!(stream, ReachedStream::Tls(_));
        let mut builder = Builder::new();
        builder.enable_push(false).initial_window_size(WINDOW);
        let (sender, connection) = builder.handshake(stream).await?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, driver, opened: Instant::now(), is_tls })
    }

    /// When it was made.
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Whether it is still open, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }

    fn request(&self, method: Method, host: &str, path: &str) -> Result<Request<()>, Http2Error> {
        let scheme = if self.is_tls { "https" } else { "http" };
        let agent = concat!("ringherd/", env!("CARGO_PKG_VERSION"));
        let request = Request::builder().method(method).uri(format!("{scheme}://{host}{path}"));
        request.header(USER_AGENT, agent).body(()).map_err(|_| Http2Error::Request)
    }

    /// `GET path`: the status of the response. Its body is taken back.
    pub(super) async fn get(&mut self, host: &str, path: &str) -> Result<u16, Http2Error> {
        let request = self.request(Method::GET, host, path)?;
        let mut sender = self.sender.clone().ready().await?;
        let (response, _) = sender.send_request(request, true)?;
        Ok(response.await?.status().as_u16())
    }

    /// Asks the health service for `service`, which is all of the server if it is empty.
    pub(super) async fn check(&mut self, host: &str, service: &str) -> Result<Serving, Http2Error> {
        let mut request = self.request(Method::POST, host, CHECK)?;
        for (name, value) in [(CONTENT_TYPE, "application/grpc"), (TE, "trailers")] {
            request.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut body) = sender.send_request(request, false)?;
        body.send_data(question(service), true)?;
        let (head, mut stream) = response.await?.into_parts();
        let is_grpc = head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if head.status != 200 || !is_grpc {
            return Ok(Serving::Http(head.status.as_u16()));
        }
        if let Some(status) = grpc_status(&head.headers) {
            return Ok(Serving::Status(status));
        }
        let answer = read(&mut stream).await?;
        let trailers = stream.trailers().await?;
        Ok(match trailers.as_ref().and_then(grpc_status) {
            Some(0) => answer.and_then(|answer| serving(&answer)).unwrap_or(Serving::NotGrpc),
            Some(status) => Serving::Status(status),
            None => Serving::NotGrpc,
        })
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// The whole body; `None` if it is too long.
async fn read(stream: &mut RecvStream) -> Result<Option<Vec<u8>>, h2::Error> {
    let mut answer = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        if answer.len() + data.len() > MAX_ANSWER {
            return Err(Reason::CANCEL.into());
        }
        answer.extend_from_slice(&data);
    }
    Ok(Some(answer))
}

/// `HealthCheckRequest`, with the five bytes that are before each message: not compressed, and its length.
fn question(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, a string.
        message.push(0x0a);
        push_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.append(&mut message);
    framed.into()
}

fn push_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = message.has_remaining().then(|| message.get_u8())?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The state in a `HealthCheckResponse`: field 1 is 1 for `SERVING`. Others are passed over.
fn serving(framed: &[u8]) -> Option<Serving> {
    let (prefix, mut message) = framed.split_at_checked(5)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
    if prefix[0] != 0 || message.len() as u64 != u64::from(length) {
        return None;
    }
    let mut state = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => {
                let value = varint(&mut message)?;
                state = if tag >> 3 == 1 { value } else { state };
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(if state == 1 { Serving::Yes } else { Serving::No(state) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_question_is_a_message() {
        assert_eq!(question(""), [0, 0, 0, 0, 0].as_slice());
        assert_eq!(question("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B'].as_slice());
        let long = question(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn an_answer_says_whether_it_serves() {
        for (message, says) in [
            (&[0x08, 1][..], Some(Serving::Yes)),
            (&[0x08, 2], Some(Serving::No(2))),
            (&[], Some(Serving::No(0))),
            // Fields that are not known yet.
            (&[0x12, 2, 9, 9, 0x08, 1, 0x1d, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0, 0, 0, 0], Some(Serving::Yes)),
            (&[0x08], None),
            (&[0x12, 9], None),
            (&[0x0b], None),
        ] {
            let framed = [&[0, 0, 0, 0, message.len() as u8], message].concat();
            assert_eq!(serving(&framed), says, "{message:?}");
        }
        assert_eq!(serving(&[0, 0, 0, 0, 3, 0x08, 1]), None, "it is longer than it is");
        assert_eq!(serving(&[1, 0, 0, 0, 2, 0x08, 1]), None, "compressed");
        assert_eq!(serving(&[]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = serving(&bytes);
            let _ = serving(&[&[0, 0, 0, 0, bytes.len() as u8][..], &bytes].concat());
        }
    }
}
