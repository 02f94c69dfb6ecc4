//! One keep-alive connection: sends a request, and reads the response and the replica's name.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::experiment::keys::Key;

/// Time limit for a response; a request that takes longer is lost.
const LIMIT: Duration = Duration::from_secs(10);

/// Largest response body that is read, in bytes.
const MAX_RESPONSE: usize = 1024 * 1024;

/// The path of the requests; the built-in replica's response has its name.
const PATH: &str = "/home";

/// The text before the name in that response.
const ANSWER: &str = "Request routed to ";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REASON: HeaderName = HeaderName::from_static("x-ringherd-error");

/// A lost request.
pub(super) struct Lost {
    pub(super) why: String,
    pub(super) kind: Kind,
}

/// Why a request was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The connection was refused or failed.
    Unconnected,
    /// This process has no more file descriptors.
    Full,
    /// There was no response in time.
    Late,
    /// The connection broke.
    Broken,
    /// The response is an error.
    Refusal,
}

type BoxError = Box<dyn Error + Send + Sync>;

#[derive(Deserialize)]
struct Home<'a> {
    // Owned if JSON escapes characters in it.
    #[serde(borrow)]
    message: Cow<'a, str>,
}

/// A connection that is opened when it is needed.
pub(super) struct Connection {
    address: String,
    host: Option<HeaderValue>,
    open: Option<SendRequest<Empty<Bytes>>>,
}

impl Connection {
    pub(super) fn new(address: String) -> Self {
        let host = HeaderValue::try_from(&address).ok();
        Self { address, host, open: None }
    }

    /// Sends a request with `key`; returns the name of the replica, if the response has it.
    pub(super) async fn ask(&mut self, key: &Key) -> Result<Option<String>, Lost> {
        let mut sender = match self.open.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await?,
        };
        let exchange = tokio::time::timeout(LIMIT, exchange(&mut sender, self.request(key)));
        match exchange.await {
            Ok(Ok(response)) => {
                self.open = Some(sender);
                response.map_err(|why| Lost { why, kind: Kind::Refusal })
            }
            Ok(Err(error)) => Err(Lost { why: error.to_string(), kind: Kind::Broken }),
            Err(_) => Err(Lost { why: format!("no answer within {} s", LIMIT.as_secs()), kind: Kind::Late }),
        }
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Lost> {
        let connect = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // Ends with the sender; an error is seen there.
            drop(tokio::task::spawn_local(connection));
            sender.ready().await?;
            Ok::<_, BoxError>(sender)
        };
        match tokio::time::timeout(LIMIT, connect).await {
            Ok(Ok(sender)) => Ok(sender),
            Ok(Err(error)) => {
                let kind = if is_full(&*error) { Kind::Full } else { Kind::Unconnected };
                Err(Lost { why: error.to_string(), kind })
            }
            Err(_) => {
                let why = format!("no connection within {} s", LIMIT.as_secs());
                Err(Lost { why, kind: Kind::Unconnected })
            }
        }
    }

    fn request(&self, key: &Key) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = http::Uri::from_static(PATH);
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone().unwrap_or(HeaderValue::from_static("localhost")));
        headers.insert(REQUEST_ID, key.header.clone());
        request
    }
}

/// Whether an error says that this process or machine has no more file descriptors.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    let code = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    code.is_some_and(|code| [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).contains(&code))
}

/// Sends a request and reads the whole response; returns the replica's name if it has one.
async fn exchange(
    sender: &mut SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> Result<Result<Option<String>, String>, BoxError> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let refusal = refusal(&response);
    let body = Limited::new(response.into_body(), MAX_RESPONSE).collect().await?.to_bytes();
    Ok(refusal.map_or_else(|| Ok(name(&body)), Err))
}

/// The message of a 4xx or 5xx.
fn refusal(response: &Response<Incoming>) -> Option<String> {
    let status = response.status();
    let reason = response.headers().get(REASON).and_then(|reason| reason.to_str().ok());
    (status.is_client_error() || status.is_server_error()).then(|| match reason {
        Some(reason) => format!("{status} ({reason})"),
        None => status.to_string(),
    })
}

/// The name in the response of the built-in replica.
fn name(body: &[u8]) -> Option<String> {
    let home: Home<'_> = serde_json::from_slice(body).ok()?;
    Some(home.message.strip_prefix(ANSWER)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_replica_says_its_name_and_others_do_not() {
        let name = |body: &str| name(body.as_bytes());
        let response = r#"{"message":"Request routed to Server 1","status":"successful"}"#;
        assert_eq!(name(response).as_deref(), Some("Server 1"));
        let escaped = r#"{"message":"Request routed to \u0053erver 1","status":"successful"}"#;
        assert_eq!(name(escaped).as_deref(), Some("Server 1"));
        for body in ["", "hello", "{}", r#"{"message":1}"#, r#"{"message":"hello"}"#] {
            assert_eq!(name(body), None, "{body}");
        }
    }
}
