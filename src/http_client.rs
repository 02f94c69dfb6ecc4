//! One HTTP/1 request and its response, over a connection of its own.
//!
//! Used by all small clients: heartbeats, calls of the engine, the client of the admin API. Knows no
//! addresses and no time limits. The data plane has a client of its own.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A response whose head has come. It holds the connection, which moves only while something of
/// the response is awaited, and ends with it.
pub struct Response<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Error: Into<BoxError>> + 'static,
{
    status: StatusCode,
    body: Incoming,
    driver: Driver<S, B>,
}

/// Sends `request` on `stream`, a fresh connection, and waits for the head of the response.
///
/// # Errors
/// The connection broke, or what came is not HTTP.
pub async fn send<S, B>(stream: S, request: Request<B>) -> hyper::Result<Response<S, B>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data: Send, Error: Into<BoxError>> + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = Driver { connection: Some(connection), broken: None };
    let response = driver.drive(sender.send_request(request)).await;
    // The connection's own error says more than that it is gone.
    let response = response.map_err(|error| driver.broken.take().unwrap_or(error))?;
    Ok(Response { status: response.status(), body: response.into_body(), driver })
}

impl<S, B> Response<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data: Send, Error: Into<BoxError>> + 'static,
{
    /// Status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// It broke off, or is longer than `max` bytes.
    pub async fn collect(mut self, max: usize) -> Result<Bytes, BoxError> {
        Ok(self.driver.drive(Limited::new(self.body, max).collect()).await?.to_bytes())
    }

    /// Reads the next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// It broke off.
    pub async fn piece(&mut self) -> Option<hyper::Result<Bytes>> {
        loop {
            match self.driver.drive(self.body.frame()).await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => return Some(Ok(data)),
                    Err(_trailers) => {}
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// A connection, which makes progress only while it is driven.
struct Driver<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Error: Into<BoxError>> + 'static,
{
    /// `None` once it has ended.
    connection: Option<Connection<TokioIo<S>, B>>,
    /// Why it ended.
    broken: Option<hyper::Error>,
}

impl<S, B> Driver<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data: Send, Error: Into<BoxError>> + 'static,
{
    /// Awaits `wanted`, and drives the connection meanwhile. What was received before the end of the
    /// connection can still be read after it.
    async fn drive<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        tokio::pin!(wanted);
        let Some(connection) = &mut self.connection else { return wanted.await };
        let ended = tokio::select! {
            result = &mut wanted => return result,
            ended = connection => ended,
        };
        self.connection = None;
        self.broken = ended.err();
        wanted.await
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    type Answered = hyper::Result<Response<tokio::io::DuplexStream, Empty<Bytes>>>;

    /// What is made of `bytes`, after which the other side closes.
    async fn answered(bytes: &'static str) -> Answered {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let request = Request::get("/").body(Empty::new()).unwrap();
        let server = async move {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(theirs.read_u8().await.unwrap());
            }
            theirs.write_all(bytes.as_bytes()).await.unwrap();
        };
        tokio::join!(send(ours, request), server).0
    }

    #[tokio::test]
    async fn a_body_is_had_whole_or_in_pieces_also_after_the_end_of_the_connection() {
        for response in [
            "HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 201 Created\r\nconnection: close\r\n\r\nhello",
            "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nx: y\r\n\r\n",
        ] {
            let whole = answered(response).await.unwrap();
            assert_eq!(whole.status(), StatusCode::CREATED);
            assert_eq!(whole.collect(5).await.unwrap(), "hello", "{response:?}");
            let mut pieces = answered(response).await.unwrap();
            let mut text = Vec::new();
            while let Some(piece) = pieces.piece().await {
                text.extend(piece.unwrap());
            }
            assert_eq!(text, b"hello", "{response:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_cut_or_too_long_is_an_error() {
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello";
        assert!(answered(cut).await.unwrap().collect(99).await.is_err());
        let mut pieces = answered(cut).await.unwrap();
        assert_eq!(pieces.piece().await.unwrap().unwrap(), "hello");
        assert!(pieces.piece().await.unwrap().is_err());
        let long = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        assert!(answered(long).await.unwrap().collect(4).await.is_err());
    }

    #[tokio::test]
    async fn what_is_no_answer_says_what_it_is_instead() {
        let nonsense = answered("nonsense\r\n\r\n").await.err().unwrap();
        assert!(nonsense.is_parse(), "{nonsense}");
        let nothing = answered("").await.err().unwrap();
        assert!(nothing.is_incomplete_message(), "{nothing}");
    }
}
