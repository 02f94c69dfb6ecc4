//! A client of HTTP/2, on the h2 crate: with its hands on streams and windows.

use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::PATIENCE;

/// Runs a test to its end. A hang fails it.
pub fn run<F: Future>(test: F) -> F::Output {
    run_within(PATIENCE, test)
}

/// Runs a test that moves much to its end. A hang of so long fails it.
pub fn run_within<F: Future>(patience: Duration, test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(patience, test).await.expect("it ends") })
}

/// Asks again and again, a little apart, while connections go on.
pub async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    /// Its head.
    pub head: http::response::Parts,
    /// Its body.
    pub body: Bytes,
    /// Fields behind it.
    pub trailers: HeaderMap,
}

impl Answer {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// A header field, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// One connection. Clones use the same.
#[derive(Clone)]
pub struct Client(SendRequest<Bytes>);

/// What became of a connection.
pub type Ending = JoinHandle<Result<(), h2::Error>>;

impl Client {
    /// Connects by prior knowledge.
    pub async fn connect(address: SocketAddr) -> (Self, Ending) {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        Self::over(stream).await
    }

    /// Begins on a stream.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> (Self, Ending) {
        // So that one stream alone cannot use up what is for all.
        let mut builder = Builder::new();
        builder.initial_connection_window_size(1024 * 1024);
        let (send, connection) = builder.handshake(stream).await.expect("it speaks HTTP/2");
        (Self(send), tokio::spawn(connection))
    }

    /// Whether it was told that it may open a WebSocket.
    pub fn may_connect(&self) -> bool {
        self.0.is_extended_connect_protocol_enabled()
    }

    /// Sends a head, and returns what a body is sent by and what the response comes from.
    pub async fn begin(
        &self,
        request: Request<()>,
        has_body: bool,
    ) -> Result<(SendStream<Bytes>, ResponseFuture), h2::Error> {
        let mut ready = self.0.clone().ready().await?;
        let (response, body) = ready.send_request(request, !has_body)?;
        Ok((body, response))
    }

    /// Sends a request without a body; returns the whole response.
    pub async fn ask(&self, request: Request<()>) -> Result<Answer, h2::Error> {
        let (_body, response) = self.begin(request, false).await?;
        whole(response.await?).await
    }

    /// Asks for a path; the response is a good one.
    pub async fn get(&self, path: &str) -> Answer {
        let answer = self.ask(get(path)).await.expect("a response");
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer
    }

    /// Waits until it knows that no more requests are taken; says why.
    pub async fn until_refused(&self) -> h2::Error {
        loop {
            if let Err(error) = self.0.clone().ready().await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends a body, as the window allows; returns the whole response.
    pub async fn post(&self, path: &str, content: Bytes) -> Result<Answer, h2::Error> {
        let request = Request::post(url(path)).body(()).expect("a request");
        let (mut body, response) = self.begin(request, true).await?;
        send(&mut body, content).await?;
        body.send_data(Bytes::new(), true)?;
        whole(response.await?).await
    }
}

/// The URL of a path, at a host that nobody looks up.
pub fn url(path: &str) -> String {
    format!("http://a.example{path}")
}

/// A request for a path.
pub fn get(path: &str) -> Request<()> {
    Request::get(url(path)).body(()).expect("a request")
}

/// Sends a part of a body, as the window allows.
pub async fn send(body: &mut SendStream<Bytes>, mut content: Bytes) -> Result<(), h2::Error> {
    while !content.is_empty() {
        body.reserve_capacity(content.len());
        let capacity = std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
        let capacity = capacity.ok_or(Reason::STREAM_CLOSED)??;
        body.send_data(content.split_to(capacity.min(content.len())), false)?;
    }
    Ok(())
}

/// Reads a response to its end, and gives the window back for all of it.
pub async fn whole(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = BytesMut::new();
    while let Some(part) = stream.data().await {
        let part = part?;
        stream.flow_control().release_capacity(part.len())?;
        body.extend_from_slice(&part);
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    Ok(Answer { head, body: body.freeze(), trailers })
}

/// The reason of a stream's end by the other side.
pub fn reset_by<T: Debug>(outcome: Result<T, h2::Error>) -> Option<Reason> {
    let error = outcome.expect_err("it is reset");
    assert!(error.is_remote(), "{error:?}");
    error.reason()
}
