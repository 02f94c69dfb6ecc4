//! Bodies that are too long, too slow or break off, and what becomes of the connection.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::script::{Bench, CONTEXT, add};
use crate::admin::request_body::READ_TIMEOUT;
use crate::admin::{Admin, AdminConfig, Context};

/// A body of given chunks, and what comes after them.
struct Scripted {
    chunks: VecDeque<Bytes>,
    declared: Option<u64>,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Ends,
    Breaks,
    Halts,
    MustNotBeReached,
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match (self.chunks.pop_front(), self.end) {
            (Some(chunk), _) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            (None, End::Ends) => Poll::Ready(None),
            (None, End::Breaks) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            (None, End::Halts) => Poll::Pending,
            (None, End::MustNotBeReached) => panic!("this much of the body is not to be read"),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.declared.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

fn chunks(count: usize, bytes: usize) -> VecDeque<Bytes> {
    vec![Bytes::from(vec![b' '; bytes]); count].into()
}

/// Sends a body; returns status, reason code and `Connection`.
async fn send(bench: &Bench, kind: &str, body: Scripted) -> (u16, Option<String>, Option<String>) {
    let request = Request::post("/add").header("host", "127.0.0.1").header("content-type", kind);
    let got = bench.send_body(request.body(body).unwrap(), CONTEXT).await;
    let header = |name| got.header(name).map(str::to_owned);
    (got.status.as_u16(), header("x-ringherd-error"), header("connection"))
}

fn refused(status: u16, code: &str, close: bool) -> (u16, Option<String>, Option<String>) {
    (status, Some(code.to_owned()), close.then(|| "close".to_owned()))
}

const JSON: &str = "application/json";
const KIB: usize = 1024;

fn bench() -> Bench {
    Bench::new(AdminConfig::default(), Ok(&["S1"]))
}

#[tokio::test]
async fn a_body_may_come_in_pieces_up_to_the_limit() {
    let bench = bench();
    let mut pieces = chunks(63, KIB);
    pieces.extend([Bytes::from_static(b"{\"n\":"), Bytes::from_static(b"1}")]);
    let whole = Scripted { chunks: pieces, declared: None, end: End::Ends };
    assert_eq!(send(&bench, JSON, whole).await, (200, None, None));
    assert_eq!(bench.commands().len(), 1);
}

#[tokio::test]
async fn a_body_over_the_limit_is_read_to_its_end_and_refused() {
    let bench = bench();
    for declared in [None, Some(1024 * KIB as u64)] {
        let body = Scripted { chunks: chunks(1024, KIB), declared, end: End::Ends };
        assert_eq!(send(&bench, JSON, body).await, refused(413, "too-large", false));
    }
    assert_eq!(bench.commands(), []);
}

#[tokio::test]
async fn a_body_far_over_the_limit_is_not_read() {
    let bench = bench();
    let declared = Some(20 << 20);
    let body = Scripted { chunks: VecDeque::new(), declared, end: End::MustNotBeReached };
    assert_eq!(send(&bench, JSON, body).await, refused(413, "too-large", true));
    // One that does not say how long it is, is read until it is over.
    let body = Scripted { chunks: chunks(1025, KIB), declared: None, end: End::MustNotBeReached };
    assert_eq!(send(&bench, JSON, body).await, refused(413, "too-large", true));
    assert_eq!(bench.commands(), []);
}

#[tokio::test]
async fn a_refused_request_with_an_unread_body_closes_the_connection() {
    let bench = bench();
    let body = Scripted { chunks: chunks(1, 8), declared: Some(8), end: End::MustNotBeReached };
    assert_eq!(send(&bench, "text/plain", body).await, refused(415, "unsupported-media-type", true));
    let flawed = Context { flawed_target: true, ..CONTEXT };
    let got = bench.send(add().context(flawed)).await;
    assert_eq!((got.status.as_u16(), got.header("connection")), (400, Some("close")));
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let bench = bench();
    let body =
        Scripted { chunks: [Bytes::from_static(b"{\"n\":1}")].into(), declared: None, end: End::Breaks };
    assert_eq!(send(&bench, JSON, body).await, refused(400, "bad-request", true));
    assert_eq!(bench.commands(), []);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_halts_is_given_up() {
    let bench = bench();
    let began = Instant::now();
    let body = Scripted { chunks: [Bytes::from_static(b"{")].into(), declared: Some(100), end: End::Halts };
    assert_eq!(send(&bench, JSON, body).await, refused(408, "body-timeout", true));
    assert_eq!(began.elapsed().as_secs(), READ_TIMEOUT.as_secs());
    assert_eq!(bench.commands(), []);
}

/// A multi-threaded server can use the service too.
#[test]
fn answering_is_send() {
    fn assert_send<T: Send>(_: impl Fn(Admin, Request<hyper::body::Incoming>) -> T) {}
    assert_send(|admin, request| async move { admin.handle(request, CONTEXT).await });
}
