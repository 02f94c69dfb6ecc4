//! Interim responses (1xx) of replicas on their way to a client of HTTP/1.1: early hints (103) for the most part.
//!
//! hyper's client hands them over, its server sends none. So they are written below it, into the stream of the
//! client, and only where hyper has written all that it had: see [`Outbox`]. 100 and 101 are none of them. The one
//! is between a replica and us, the other is the last response of its connection.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::BytesMut;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, StatusCode};
use tokio::sync::mpsc;

use super::headers;
use super::request::ActiveRequest;
use super::upload::RequestBody;
use super::upstream::Lease;

/// Most of them that are passed on of one attempt at a request; more are dropped.
const MAX_RESPONSES: usize = 8;

/// Most bytes of them, and most that wait for a client. What does not fit is dropped.
const MAX_BYTES: usize = 16 * 1024;

/// What those of one attempt are given to. hyper wants it to be `Send`, though it stays on its thread.
#[derive(Clone, Debug)]
pub(crate) struct InterimSender {
    heads: mpsc::Sender<Vec<u8>>,
    /// Bytes that they may still have.
    room: Arc<AtomicUsize>,
}

/// What has come of one attempt.
#[derive(Debug)]
pub(crate) struct InterimReceiver(mpsc::Receiver<Vec<u8>>);

/// Has those to `request`, which goes out on `lease`, passed on to its client, if that is wanted and it takes any.
#[inline]
pub(crate) fn listen(
    active: &ActiveRequest,
    request: &mut Request<RequestBody>,
    lease: &Lease,
) -> Option<InterimReceiver> {
    let is_wanted = active.pool().config().early_hints && active.takes_interim();
    is_wanted.then(|| attach(request, lease))
}

#[cold]
fn attach(request: &mut Request<RequestBody>, lease: &Lease) -> InterimReceiver {
    let (heads, received) = mpsc::channel(MAX_RESPONSES);
    let sender = InterimSender { heads, room: Arc::new(AtomicUsize::new(MAX_BYTES)) };
    match lease {
        Lease::Own(_) => hyper::ext::on_informational(request, move |response| {
            sender.pass(response.status(), response.headers());
        }),
        Lease::Stream(_) => drop(request.extensions_mut().insert(sender)),
    }
    InterimReceiver(received)
}

impl InterimSender {
    /// Passes one on, if there is room.
    pub(crate) fn pass(&self, status: StatusCode, headers: &HeaderMap) {
        let Some(head) = encode(status, headers) else { return };
        // So many bytes at least that their number is limited as well.
        let size = head.len().max(MAX_BYTES / MAX_RESPONSES);
        let room =
            self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(size));
        if room.is_ok() {
            // Where nobody waits for the response any more, nobody waits for this.
            let _ = self.heads.try_send(head);
        }
    }
}

impl InterimReceiver {
    /// Hands on what has come to the client's connection. The task is woken for more. To be called when the
    /// response was polled, because that may have come with them.
    #[cold]
    pub(crate) fn pass_on(&mut self, outbox: &Outbox, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(head)) = self.0.poll_recv(cx) {
            outbox.push(&head);
        }
    }
}

/// One as it is sent, by the rules for any response; `None` if it is not to be passed on.
fn encode(status: StatusCode, headers: &HeaderMap) -> Option<Vec<u8>> {
    if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
        return None;
    }
    let mut headers = headers.clone();
    headers::forward_response(&mut headers, None)?;
    // There is no body of which it could be the length.
    headers.remove(CONTENT_LENGTH);
    let mut head = Vec::with_capacity(256);
    let reason = status.canonical_reason().unwrap_or_default();
    head.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).as_bytes());
    for (name, value) in &headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Some(head)
}

/// Interim responses that wait for a client, and whether they may be sent.
///
/// hyper writes what it has until it has nothing left, then it flushes. Between a flush and the next write
/// nothing is half written, and the response that comes next is that to the request under way. There an
/// interim response may go in front, as long as the head of that response is not in hyper's buffer behind
/// the rest of another one.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Whether hyper has begun to write since it last had nothing to write.
    is_mid_write: Cell<bool>,
    is_filled: Cell<bool>,
    waiting: RefCell<BytesMut>,
}

impl Outbox {
    fn push(&self, head: &[u8]) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() + head.len() <= MAX_BYTES {
            waiting.extend_from_slice(head);
            self.is_filled.set(true);
        }
    }

    /// Whether something waits that may be sent.
    pub(crate) fn is_due(&self) -> bool {
        self.is_filled.get() && !self.is_mid_write.get()
    }

    /// hyper writes.
    pub(crate) fn hyper_writes(&self) {
        self.is_mid_write.set(true);
    }

    /// hyper has written all that it had.
    pub(crate) fn hyper_has_written(&self) {
        self.is_mid_write.set(false);
    }

    /// The head of the response is handed to hyper. If that is in the middle of something, what waits here
    /// cannot come in front of the head any more.
    pub(crate) fn response_begins(&self) {
        if self.is_filled.get() && self.is_mid_write.get() {
            self.take();
        }
    }

    /// What waits.
    pub(crate) fn take(&self) -> BytesMut {
        self.is_filled.set(false);
        self.waiting.take()
    }

    /// The rest of it, which could not be sent yet.
    pub(crate) fn put_back(&self, rest: BytesMut) {
        self.is_filled.set(true);
        self.waiting.replace(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn encoded(status: u16, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let head = encode(StatusCode::from_u16(status).unwrap(), &fields(headers));
        head.map(|head| String::from_utf8(head).unwrap())
    }

    #[test]
    fn what_concerns_the_replicas_connection_stays_there() {
        let hint = [
            ("link", "</a.css>; rel=preload"),
            ("link", "</b.js>; rel=preload"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("content-length", "5"),
            ("x-ringherd-error", "no-replica"),
        ];
        let passed = "HTTP/1.1 103 Early Hints\r\n\
                      link: </a.css>; rel=preload\r\nlink: </b.js>; rel=preload\r\n\r\n";
        assert_eq!(encoded(103, &hint).as_deref(), Some(passed));
        assert_eq!(encoded(102, &[]).as_deref(), Some("HTTP/1.1 102 Processing\r\n\r\n"));
        assert_eq!(encoded(199, &[]).as_deref(), Some("HTTP/1.1 199 \r\n\r\n"));
    }

    #[test]
    fn what_is_no_interim_response_for_a_client_is_dropped() {
        assert_eq!(encoded(100, &[]), None);
        assert_eq!(encoded(101, &[("upgrade", "websocket")]), None);
        assert_eq!(encoded(103, &[("transfer-encoding", "gzip, chunked")]), None);
    }

    fn passed(count: usize, headers: &HeaderMap) -> usize {
        let (heads, mut received) = mpsc::channel(MAX_RESPONSES);
        let sender = InterimSender { heads, room: Arc::new(AtomicUsize::new(MAX_BYTES)) };
        (0..count).for_each(|_| sender.pass(StatusCode::EARLY_HINTS, headers));
        drop(sender);
        std::iter::from_fn(|| received.try_recv().ok()).count()
    }

    #[test]
    fn number_and_size_are_limited() {
        assert_eq!(passed(3, &HeaderMap::new()), 3);
        assert_eq!(passed(100, &HeaderMap::new()), MAX_RESPONSES);
        let mut large = HeaderMap::new();
        large.insert("x", HeaderValue::from_bytes(&[b'x'; MAX_BYTES / 2 - 64]).unwrap());
        assert_eq!(passed(100, &large), 2);
        large.insert("y", HeaderValue::from_bytes(&[b'x'; MAX_BYTES]).unwrap());
        assert_eq!(passed(100, &large), 0);
    }

    #[test]
    fn nothing_is_sent_within_a_write_or_behind_a_head() {
        let outbox = Outbox::default();
        assert!(!outbox.is_due());
        outbox.push(b"103");
        assert!(outbox.is_due());
        outbox.hyper_writes();
        assert!(!outbox.is_due());
        outbox.hyper_has_written();
        assert_eq!(&outbox.take()[..], b"103");
        // Partly sent, it goes on before all else, also before the head that comes meanwhile.
        outbox.put_back(b"3"[..].into());
        outbox.response_begins();
        assert!(outbox.is_due());
        assert_eq!(&outbox.take()[..], b"3");
        // Behind a response that is half written comes the next head, in one piece with it.
        outbox.hyper_writes();
        outbox.push(b"103");
        outbox.response_begins();
        outbox.hyper_has_written();
        assert!(!outbox.is_due());
    }
}
