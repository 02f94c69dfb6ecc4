//! Builds and sends requests of the admin API.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use serde_json::Value;
use tokio::net::TcpStream;

use super::{Response, Url};
use crate::http_client;

/// Largest response body that is read, in bytes: enough for thousands of replicas.
pub(super) const MAX_RESPONSE: usize = 16 * 1024 * 1024;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A response whose body has not been read yet.
pub(super) type PendingResponse = http_client::Response<TcpStream, Full<Bytes>>;

/// Builds a request of the admin API.
pub(super) fn request(
    url: &Url,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Request<Full<Bytes>>, BoxError> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, url.authority())
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, concat!("ringherd/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = token {
        let mut credentials = HeaderValue::try_from(format!("Bearer {token}"))?;
        credentials.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, credentials);
    }
    let request = match body {
        None => request.body(Full::default()),
        Some(body) => {
            request.header(header::CONTENT_TYPE, "application/json").body(Full::from(body.to_string()))
        }
    };
    Ok(request?)
}

/// Sends a request, and waits for the head of the response.
pub(super) async fn begin(url: &Url, request: Request<Full<Bytes>>) -> Result<PendingResponse, BoxError> {
    let stream = TcpStream::connect(url.address()).await?;
    Ok(http_client::send(stream, request).await?)
}

/// Sends a request, and reads the whole response.
pub(super) async fn run(url: &Url, request: Request<Full<Bytes>>) -> Result<Response, BoxError> {
    let response = begin(url, request).await?;
    let status = response.status();
    Ok(Response { status, body: response.collect(MAX_RESPONSE).await? })
}
