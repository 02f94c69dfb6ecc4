//! Why a request was not forwarded, and what its client is told: the one place that maps
//! failures to statuses.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::telemetry::Reason;

/// Header of our own responses with a short reason code; a response without it is a replica's.
pub(crate) const REASON: HeaderName = HeaderName::from_static("x-ringherd-error");

/// Where a client is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirection {
    /// One of redirection.
    pub(crate) status: u16,
    pub(crate) location: HeaderValue,
}

/// A request that got no response from a replica.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    // --- the client's fault
    /// Its framing or its head is ambiguous.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// What came is not an HTTP request.
    #[error("what was sent is not an HTTP/1.1 request")]
    NotHttp,
    /// What came may be a header of the PROXY protocol, from somebody of whom none is read.
    #[error(
        "what was sent is not an HTTP/1.1 request; a header of the PROXY protocol is read from the addresses in \
         --proxy-protocol alone"
    )]
    UnknownProxy,
    /// A replica may read its path as that of another route.
    #[error("the path may mean another one at a replica: it has {0}")]
    AmbiguousPath(&'static str),
    /// There is no route for its host and path.
    #[error("there is no route for this host and path ([[route]])")]
    NoRoute,
    /// Its route leads elsewhere, which is nobody's fault.
    #[error("the resource is at {:?}", .0.location)]
    Redirected(Box<Redirection>),
    /// Its head is larger than is taken.
    #[error("the head of the request is too large: see --max-header-bytes")]
    HeadTooLarge,
    /// Its target is longer than any that is taken.
    #[error("the request target is too long: see --max-uri")]
    TargetTooLong,
    /// A method that is not forwarded.
    #[error("method {0} is not forwarded")]
    Method(http::Method),
    /// A `CONNECT` for a protocol that is not forwarded.
    #[error("protocol '{0}' is not forwarded: CONNECT is for 'websocket' alone")]
    Protocol(String),
    /// A WebSocket, where replicas get none.
    #[error("replicas that speak HTTP/2 get no WebSockets: see --upstream-http")]
    NoTunnels,
    /// Its body is larger than is taken.
    #[error("the request body has more than {0} bytes: see --max-body")]
    BodyTooLarge(u64),
    /// Its client makes more requests than it may, for so many seconds.
    #[error("too many requests: the next is taken in {0} s (--rate-limit)")]
    RateLimited(u64),
    /// It has passed this balancer before.
    #[error("the request has come back to the balancer that forwarded it: an upstream leads here")]
    Loop,
    /// It is for another host than its TLS session.
    #[error("the TLS session of the request is for another host: connect anew for this one")]
    Misdirected,
    /// A client of TLS has come to the port that has none.
    #[error("this port speaks HTTP without TLS: use http:// for it, or the address of --tls-listen")]
    TlsOnPlainPort,
    /// A client without TLS has come to the port that has it.
    #[error("this port speaks HTTPS: use https:// for it")]
    PlainOnTlsPort,
    /// The client stopped sending its body.
    #[error("the request body did not arrive in time")]
    ClientTimeout,
    /// The client broke its body off.
    #[error("the request body was cut short")]
    ClientBody,

    // --- nobody to respond
    /// No replica on the ring is up.
    #[error("no replica is available")]
    NoReplica,
    /// All replicas have as many requests as they may, and so has the queue.
    #[error("all replicas are full and so is the queue: see --max-requests-per-replica and --queue")]
    Overloaded,
    /// Requests of its pool are on all connections that it may have.
    #[error("requests of the pool are on all client connections that it may have: see --connection-share")]
    ShareTaken,
    /// No replica had room in time.
    #[error("no replica had room within --queue-timeout: see --max-requests-per-replica")]
    QueueTimeout,
    /// Every replica tried refused the connection.
    #[error("no replica accepts connections; the last was '{0}'")]
    Connect(String),
    /// The retry budget is spent.
    #[error("{0}, and too many other requests are being repeated already")]
    RetryBudget(String),
    /// This machine has run out of what a connection takes.
    #[error("no connection to a replica can be made: {0}")]
    Exhausted(String),

    // --- the replica's fault
    /// No connection in time.
    #[error("no connection to replica '{0}' in time")]
    ConnectTimeout(String),
    /// It was taken out of the choice before it responded.
    #[error("replica '{0}' became unhealthy before its response")]
    Ejected(String),
    /// No response in time.
    #[error("no response from replica '{0}' in time")]
    ResponseTimeout(String),
    /// The time that its client gave the call is over.
    #[error("the time that the client gave the call (grpc-timeout) is over")]
    DeadlineExceeded,
    /// The connection ended before a response.
    #[error("replica '{0}' closed the connection before its response")]
    Closed(String),
    /// It has said again and again that it does not look at the request.
    #[error("replica '{0}' refuses streams: its connections end or are full")]
    Refused(String),
    /// What came is not a response.
    #[error("the response of replica '{0}' is not valid HTTP")]
    BadResponse(String),
    /// It knows no WebSocket, and responded as if nobody had asked for one. Over HTTP/2 that would say that
    /// it takes the WebSocket.
    #[error("replica '{0}' responded to the handshake of a WebSocket with another success than 101")]
    NotSwitched(String),
    /// The head of the response is beyond the limits.
    #[error(
        "the head of the response of replica '{0}' is too large: see --max-response-header-bytes and \
         --max-response-headers"
    )]
    ResponseHeadTooLarge(String),
}

impl Failure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_)
            | Self::AmbiguousPath(_)
            | Self::ClientBody
            | Self::NotHttp
            | Self::UnknownProxy
            | Self::TlsOnPlainPort
            | Self::PlainOnTlsPort => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            // Made of the statuses of redirection alone.
            Self::Redirected(to) => StatusCode::from_u16(to.status).unwrap_or(StatusCode::PERMANENT_REDIRECT),
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Method(_) | Self::Protocol(_) | Self::NoTunnels => StatusCode::NOT_IMPLEMENTED,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::NoReplica
            | Self::Connect(_)
            | Self::Exhausted(_)
            | Self::Refused(_)
            | Self::Overloaded
            | Self::ShareTaken
            | Self::QueueTimeout
            | Self::RetryBudget(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectTimeout(_) | Self::ResponseTimeout(_) | Self::DeadlineExceeded => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Ejected(_)
            | Self::Closed(_)
            | Self::BadResponse(_)
            | Self::NotSwitched(_)
            | Self::ResponseHeadTooLarge(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The same in the vocabulary of metrics and logs; `None` where nothing has failed.
    pub(crate) fn reason(&self) -> Option<Reason> {
        Some(match self {
            Self::Redirected(_) => return None,
            Self::BadRequest(_) => Reason::BadRequest,
            Self::AmbiguousPath(_) => Reason::AmbiguousPath,
            Self::NoRoute => Reason::NoRoute,
            Self::NotHttp | Self::UnknownProxy | Self::TlsOnPlainPort | Self::PlainOnTlsPort => {
                Reason::NotHttp
            }
            Self::Misdirected => Reason::Misdirected,
            Self::HeadTooLarge | Self::TargetTooLong => Reason::HeadTooLarge,
            Self::Method(_) | Self::Protocol(_) | Self::NoTunnels => Reason::MethodNotForwarded,
            Self::BodyTooLarge(_) => Reason::BodyTooLarge,
            Self::RateLimited(_) => Reason::RateLimited,
            Self::Loop => Reason::Loop,
            Self::ClientTimeout => Reason::ClientTimeout,
            Self::ClientBody => Reason::ClientBody,
            Self::NoReplica => Reason::NoReplica,
            Self::Overloaded | Self::ShareTaken => Reason::Overloaded,
            Self::QueueTimeout => Reason::QueueTimeout,
            Self::Connect(_) => Reason::ConnectFailed,
            Self::Exhausted(_) => Reason::Exhausted,
            Self::RetryBudget(_) => Reason::RetryBudget,
            Self::ConnectTimeout(_) => Reason::ConnectTimeout,
            Self::Ejected(_) => Reason::Ejected,
            Self::ResponseTimeout(_) => Reason::ResponseTimeout,
            Self::DeadlineExceeded => Reason::DeadlineExceeded,
            Self::Closed(_) => Reason::UpstreamClosed,
            Self::Refused(_) => Reason::UpstreamRefused,
            Self::BadResponse(_) | Self::NotSwitched(_) => Reason::BadResponse,
            Self::ResponseHeadTooLarge(_) => Reason::ResponseHeadTooLarge,
        })
    }

    /// Whether the connection cannot be used for another request: the rest of this one may
    /// still be on it.
    fn closes_connection(&self) -> bool {
        matches!(
            self,
            Self::BadRequest(_)
                | Self::NotHttp
                | Self::UnknownProxy
                | Self::TlsOnPlainPort
                | Self::PlainOnTlsPort
                | Self::HeadTooLarge
                | Self::TargetTooLong
                | Self::Method(_)
                | Self::BodyTooLarge(_)
                // What a client sends behind an upgrade that came back is no request.
                | Self::Loop
                | Self::Misdirected
                // Its connection is what others need.
                | Self::ShareTaken
                | Self::ClientTimeout
                | Self::ClientBody
        )
    }

    /// What the client is told.
    pub(crate) fn to_response(&self) -> Response<Bytes> {
        let status = self.status();
        // In the form of the replicas' own errors.
        let body = match self {
            Self::Redirected(_) => serde_json::json!({"message": self.to_string(), "status": "successful"}),
            _ => serde_json::json!({"message": format!("<Error> {self}"), "status": "failure"}),
        };
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(reason) = self.reason() {
            headers.insert(REASON, HeaderValue::from_static(reason.code()));
        }
        match self {
            Self::Redirected(to) => drop(headers.insert(LOCATION, to.location.clone())),
            Self::RateLimited(seconds) => drop(headers.insert(RETRY_AFTER, HeaderValue::from(*seconds))),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        if self.closes_connection() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unavailable_says_when_to_come_back() {
        let response = Failure::NoReplica.to_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()["x-ringherd-error"], "no-replica");
        assert_eq!(response.body(), r#"{"message":"<Error> no replica is available","status":"failure"}"#);
    }

    #[test]
    fn statuses_say_whose_fault_it_is() {
        let of = |failure: Failure| failure.to_response().status().as_u16();
        let name = || "S1".to_owned();
        assert_eq!(of(Failure::BadRequest("x")), 400);
        assert_eq!(of(Failure::ClientTimeout), 408);
        assert_eq!(of(Failure::Closed(name())), 502);
        assert_eq!(of(Failure::BadResponse(name())), 502);
        assert_eq!(of(Failure::Connect(name())), 503);
        assert_eq!(of(Failure::ResponseTimeout(name())), 504);
    }
}
