//! Calls of the engine API that `docker-api` cannot make, with hyper over the same socket.
//!
//! These are: creating a container with security options that `docker-api` 0.14 does not have,
//! updating a Swarm service, and listing tasks with their addresses. All other calls go through
//! `docker-api`. The caller sets the time limit.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::{CallError, Host};
use crate::http_client;

/// Longest response body that is read, in bytes.
const MAX_RESPONSE: usize = 16 << 20;

/// Sends `POST path` with `body`; returns the JSON of the response, or null if it has none.
///
/// # Errors
/// No response, or one that is not 2xx.
pub async fn post(host: &Host, path: &str, body: &Value) -> Result<Value, CallError> {
    call(host, Method::POST, path, body.to_string()).await
}

/// Sends `GET path`; returns the JSON of the response, or null if it has none.
///
/// # Errors
/// No response, or one that is not 2xx.
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
    let response = async {
        match host {
            Host::Unix(path) => exchange(UnixStream::connect(path).await?, request).await,
            Host::Tcp(address) => exchange(TcpStream::connect(address).await?, request).await,
        }
    };
    let (status, bytes) = response.await.map_err(|error| CallError::unreachable(host, &error))?;
    let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if status.is_success() {
        return Ok(json);
    }
    let message = json["message"].as_str().unwrap_or("no reason given").to_owned();
    Err(CallError::from_response(host, status, message))
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let response = http_client::send(stream, request).await?;
    Ok((response.status(), response.collect(MAX_RESPONSE).await?))
}
