//! Applies header rules: those for all, then those of the pool that a request goes to, then those of its route.

use http::{HeaderMap, Response, StatusCode};

use super::request::ActiveRequest;

/// Changes the head of a request to a replica.
pub(super) fn to_request(active: &ActiveRequest, headers: &mut HeaderMap) {
    if let Some(rules) = &active.connection().worker.config().header_rules {
        rules.change_request(headers);
    }
    if let Some(rules) = &active.pool().config().header_rules {
        rules.change_request(headers);
    }
    if let Some(rules) = active.rules() {
        rules.change_request(headers);
    }
}

/// Changes the head of a replica's response, unless that switches to another protocol.
pub(super) fn to_response<B>(active: &ActiveRequest, response: &mut Response<B>) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    if let Some(rules) = &active.connection().worker.config().header_rules {
        rules.change_response(response.headers_mut());
    }
    if let Some(rules) = &active.pool().config().header_rules {
        rules.change_response(response.headers_mut());
    }
    if let Some(rules) = active.rules() {
        rules.change_response(response.headers_mut());
    }
}

/// Changes the head of a response of the balancer itself, which is of no pool.
pub(super) fn to_own(active: &ActiveRequest, headers: &mut HeaderMap) {
    if let Some(rules) = &active.connection().worker.config().header_rules {
        rules.change_own(headers);
    }
}
