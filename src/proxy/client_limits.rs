//! What a request is held to before it goes anywhere: the length of its target, the size of its body, the rate
//! of its client.

use std::time::Instant;

use http::Request;
use http_body::Body;

use super::error::Failure;
use super::per_client::ClientNetwork;
use super::rate_limit::{RateKey, RateLimit};
use super::request::ActiveRequest;
use super::upload::RequestBody;
use super::{ProxyConfig, forwarding};

/// Largest `Content-Length` that is forwarded, whatever is allowed: above it many servers take it for
/// negative.
pub(super) const MAX_BODY: u64 = i64::MAX.unsigned_abs();

/// Holds a request to the limits that are set.
pub(super) fn check(active: &ActiveRequest, request: &mut Request<RequestBody>) -> Result<(), Failure> {
    let config = active.connection().worker.config();
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > config.max_uri) {
        return Err(Failure::TargetTooLong);
    }
    let configured = active.pool().config().max_body;
    let max_body = configured.unwrap_or(MAX_BODY);
    if request.body().size_hint().lower() > max_body {
        return Err(Failure::BodyTooLarge(max_body));
    }
    if configured.is_some() {
        request.body_mut().limit(max_body);
    }
    config.rate_limit.as_ref().map_or(Ok(()), |limit| check_rate(active, request, limit, &config))
}

/// Counts a request for its client, and refuses it if it is one too many.
#[cold]
fn check_rate(
    active: &ActiveRequest,
    request: &Request<RequestBody>,
    limit: &RateLimit,
    config: &ProxyConfig,
) -> Result<(), Failure> {
    let connection = &**active.connection();
    let by_header = match &config.rate_limit_by {
        RateKey::ClientIp => None,
        RateKey::Header(name) => request.headers().get(name).filter(|value| !value.is_empty()),
    };
    let (table, now) = (&connection.worker.rate_table, Instant::now());
    let admitted = if let Some(value) = by_header {
        table.admit(&(1_u8, value.as_bytes()), now, limit)
    } else {
        let mut client = connection.peer.ip();
        if connection.is_trusted {
            client = forwarding::client(request.headers(), client, &config.trusted_proxies);
        }
        table.admit(&(0_u8, ClientNetwork::of(client)), now, limit)
    };
    // Never 0, and never too early.
    admitted.map_err(|wait| Failure::RateLimited(wait.as_secs() + 1))
}
