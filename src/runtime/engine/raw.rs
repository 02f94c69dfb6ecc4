//! Calls of the engine API that `docker-api` cannot make, with hyper over the same socket.
//!
//! They are few: creating a container with the security options that `docker-api` 0.14 has no
//! words for, updating a Swarm service, and listing tasks with their addresses. All else goes
//! through `docker-api`. How long they may take is the caller's business.

use std::fmt::Display;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::Host;
use crate::http_client;

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// Why there is no answer to a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The engine cannot be reached, or did not answer in time.
    #[error("{0}")]
    Unreachable(String),
    /// It answered with an error; the text is its own.
    #[error("{message} (status {status})")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its words.
        message: String,
    },
    /// It may be well, but this call came to nothing: it took too long for what it was, or its
    /// answer cannot be read.
    #[error("{0}")]
    Failed(String),
}

impl CallError {
    /// The engine at `host` does not answer.
    pub(super) fn away(host: &Host, why: &dyn Display) -> Self {
        Self::Unreachable(format!(
            "the engine at {host} does not answer: {why}; check that it runs and that this user may connect"
        ))
    }

    /// An answer with an error.
    pub(super) fn answered(host: &Host, status: StatusCode, message: String) -> Self {
        // What a proxy in front of an engine says of one that is gone or hangs.
        if matches!(status.as_u16(), 502..=504) {
            return Self::away(host, &format_args!("status {status}: {message}"));
        }
        Self::Refused { status, message }
    }

    /// Whether the engine is away, so that no other call will do better.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    /// Whether the engine said that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether the engine said that something is in the way: a name in use, a removal under way.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT)
    }

    fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable(_) | Self::Failed(_) => None,
        }
    }
}

/// `POST path` with `body`; returns the JSON of the answer, or null where there is none.
///
/// # Errors
/// No answer, or one that is not 2xx.
pub async fn post(host: &Host, path: &str, body: &Value) -> Result<Value, CallError> {
    call(host, Method::POST, path, body.to_string()).await
}

/// `GET path`; returns the JSON of the answer.
///
/// # Errors
/// No answer, or one that is not 2xx.
pub async fn get(host: &Host, path: &str) -> Result<Value, CallError> {
    call(host, Method::GET, path, String::new()).await
}

async fn call(host: &Host, method: Method, path: &str, body: String) -> Result<Value, CallError> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "docker")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| CallError::Failed(format!("cannot ask the engine for {path}: {error}")))?;
    let answer = async {
        match host {
            Host::Unix(path) => answered(UnixStream::connect(path).await?, request).await,
            Host::Tcp(address) => answered(TcpStream::connect(address).await?, request).await,
        }
    };
    let (status, bytes) = answer.await.map_err(|error| CallError::away(host, &error))?;
    let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if status.is_success() {
        return Ok(json);
    }
    let message = json["message"].as_str().unwrap_or("no reason given").to_owned();
    Err(CallError::answered(host, status, message))
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn answered<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = http_client::send(stream, request).await?;
    Ok((answer.status(), answer.collect(MAX_ANSWER).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_finds_no_engine_speaks_for_it() {
        let error = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            CallError::answered(&Host::default(), status, "no".to_owned())
        };
        for (status, is_away) in [(404, false), (500, false), (502, true), (503, true), (504, true)] {
            assert_eq!(error(status).is_away(), is_away, "{status}");
        }
        assert!(error(404).is_not_found() && error(409).is_conflict());
        assert!(error(503).to_string().contains("503 Service Unavailable: no"));
    }
}
