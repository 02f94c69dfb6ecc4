//! One heartbeat: `GET path` over a connection of its own. Knows nothing of states or schedules.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use tokio::net::TcpStream;

use crate::http_client;
use crate::listen::is_exhaustion;

/// Asks the replica at `address`, called `host`, for `path`. Any 2xx answer within `timeout`
/// (connecting included) is good; its body is not read.
///
/// # Errors
/// What was wrong, in words.
pub(super) async fn check(address: SocketAddr, host: &str, path: &str, timeout: Duration) -> Result<(), Bad> {
    let limit = || format!("no answer from {address} within {}", humantime::format_duration(timeout));
    let status = tokio::time::timeout(timeout, ask(address, host, path)).await.map_err(|_| limit())??;
    if status.is_success() { Ok(()) } else { Err(format!("{address}{path} answered {status}").into()) }
}

/// What a bad heartbeat tells about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// The replica.
    Replica(String),
    /// This machine, which has no descriptor or port for the connection: nothing is known of the
    /// replica.
    Machine(String),
}

impl From<String> for Bad {
    fn from(reason: String) -> Self {
        Self::Replica(reason)
    }
}

fn cannot_connect(address: SocketAddr, error: &io::Error) -> Bad {
    let reason = format!("cannot connect to {address}: {error}");
    if is_exhaustion(error) { Bad::Machine(reason) } else { Bad::Replica(reason) }
}

async fn ask(address: SocketAddr, host: &str, path: &str) -> Result<StatusCode, Bad> {
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, concat!("ringherd/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("'{path}' cannot be asked for: {error}"))?;
    let stream = TcpStream::connect(address).await.map_err(|error| cannot_connect(address, &error))?;
    let answer = http_client::send(stream, request).await;
    Ok(answer.map_err(|error| format!("no HTTP answer from {address}: {error}"))?.status())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Answers one connection with `answer` and closes it; returns what was asked.
    async fn checked(answer: &'static str) -> (Result<(), Bad>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        };
        tokio::join!(check(address, "web:80", "/heartbeat", LONG), server)
    }

    #[tokio::test]
    async fn any_2xx_is_good() {
        for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "HTTP/1.0 204 No Content\r\n\r\n"] {
            let (result, asked) = checked(answer).await;
            assert_eq!(result, Ok(()));
            assert!(asked.starts_with("GET /heartbeat HTTP/1.1\r\n"), "{asked}");
            assert!(asked.contains("host: web:80\r\n") && asked.contains("connection: close\r\n"), "{asked}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_bad_and_says_why() {
        for (answer, why) in [
            ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "answered 503"),
            ("HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", "answered 302"),
            ("nonsense\r\n\r\n", "no HTTP answer"),
            ("", "no HTTP answer"),
        ] {
            let (result, _) = checked(answer).await;
            assert!(
                matches!(&result, Err(Bad::Replica(reason)) if reason.contains(why)),
                "{answer:?}: {result:?}"
            );
        }
    }

    #[tokio::test]
    async fn silence_ends_with_the_time_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let result = check(address, "web", "/", Duration::from_millis(20)).await;
        assert_eq!(result, Err(Bad::Replica(format!("no answer from {address} within 20ms"))));
    }

    #[tokio::test]
    async fn nobody_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let result = check(address, "web", "/", LONG).await;
        assert!(matches!(result, Err(Bad::Replica(reason)) if reason.starts_with("cannot connect")));
    }
}
