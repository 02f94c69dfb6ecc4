//! Calls of the engine API that `docker-api` cannot make, with hyper over the same socket.
//!
//! These are: creating a container with security options that `docker-api` 0.14 does not have, reading a log of
//! which nobody knows whether it has frames, updating a Swarm service, and listing tasks with their addresses.
//! All other calls go through `docker-api`. The caller sets the time limit.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use super::{CallError, Host};
use crate::http_client::{self, Response};

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

/// Sends `GET path`; returns the response when its head has come.
///
/// # Errors
/// No response, or one that is not 2xx.
pub async fn open(host: &Host, path: &str) -> Result<Stream, CallError> {
    let response = send(host, Method::GET, path, String::new()).await?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(refusal(host, status, &whole(host, response).await?))
}

async fn call(host: &Host, method: Method, path: &str, body: String) -> Result<Value, CallError> {
    let response = send(host, method, path, body).await?;
    let status = response.status();
    let json = whole(host, response).await?;
    if status.is_success() { Ok(json) } else { Err(refusal(host, status, &json)) }
}

/// A response whose body is still to come.
pub type Stream = Response<Either<UnixStream, TcpStream>, Full<Bytes>>;

async fn send(host: &Host, method: Method, path: &str, body: String) -> Result<Stream, CallError> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "docker")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| CallError::Failed(format!("cannot ask the engine for {path}: {error}")))?;
    let stream = match host {
        Host::Unix(path) => UnixStream::connect(path).await.map(Either::Left),
        Host::Tcp(address) => TcpStream::connect(address).await.map(Either::Right),
    };
    let stream = stream.map_err(|error| CallError::unreachable(host, &error))?;
    http_client::send(stream, request).await.map_err(|error| CallError::unreachable(host, &error))
}

/// The JSON of a response, or null if it has none.
async fn whole(host: &Host, response: Stream) -> Result<Value, CallError> {
    let bytes = response.collect(MAX_RESPONSE).await.map_err(|error| CallError::unreachable(host, &error))?;
    Ok(serde_json::from_slice(&bytes).unwrap_or_default())
}

fn refusal(host: &Host, status: StatusCode, json: &Value) -> CallError {
    let message = json["message"].as_str().unwrap_or("no reason given").to_owned();
    CallError::from_response(host, status, message)
}
