//! Why a request was refused, and the HTTP response for it: the one place that chooses statuses.
//!
//! 400: the request can never succeed here. `/add` and `/rm` have always used it for every bad
//! request, so a taken name and a count beyond the limits are 400, and not the finer 409 or 422.
//! 404: the resource named by the path does not exist. 409: well formed, but the current ring does
//! not allow it, or what is or can be deployed. 502: the replicas that the balancer started did not become
//! ready; not 503, because a retry seldom helps. 503 with `Retry-After`: not now.

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use super::request::BodyError;
use super::response::{self, AdminResponse};
use super::text::truncated;
use crate::control::ControlError;

/// Header of an error response with its reason code.
const ERROR_HEADER: HeaderName = HeaderName::from_static("x-ringherd-error");

/// Value of `Retry-After`, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Longest message, in bytes: it may quote the request.
const MAX_MESSAGE: usize = 16 * 1024;

/// Why a request is refused. Clients rely on the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    BadRequest,
    Unauthorized,
    ForeignOrigin,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    Misdirected,
    StartFailed,
    RuntimeUnavailable,
    Busy,
    Stopping,
    NotReady,
    Internal,
}

impl Reason {
    /// Value of the header `X-Ringherd-Error`.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Unauthorized => "unauthorized",
            Self::ForeignOrigin => "foreign-origin",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::BodyTimeout => "body-timeout",
            Self::Conflict => "conflict",
            Self::TooLarge => "too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::Misdirected => "misdirected",
            Self::StartFailed => "start-failed",
            Self::RuntimeUnavailable => "runtime-unavailable",
            Self::Busy => "busy",
            Self::Stopping => "stopping",
            Self::NotReady => "not-ready",
            Self::Internal => "internal",
        }
    }

    /// Status of the response.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::StartFailed => StatusCode::BAD_GATEWAY,
            Self::RuntimeUnavailable | Self::Busy | Self::Stopping | Self::NotReady => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

/// A refusal of a request: the reason, and a message for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    message: String,
    allow: Option<HeaderValue>,
}

impl Refusal {
    /// A refusal with `message`, which says what is wrong and what to do.
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: truncated(message.into(), MAX_MESSAGE), allow: None }
    }

    /// The refusal of a wrong method; `allow` lists the right ones, separated by commas.
    pub(super) fn method(allow: &str) -> Self {
        let mut refusal =
            Self::new(Reason::MethodNotAllowed, format!("the method is not one for this path: use {allow}"));
        refusal.allow = HeaderValue::from_str(allow).ok();
        refusal
    }

    /// Whether it is that of a wrong method.
    pub(super) fn is_about_method(&self) -> bool {
        self.allow.is_some()
    }

    /// The refusal for an error of the control plane. `name_in_path` says whether the path of the
    /// request names a replica.
    pub(super) fn of_control(error: &ControlError, name_in_path: bool) -> Self {
        Self::new(reason_of(error, name_in_path), error.to_string())
    }

    /// The response of this refusal.
    pub(super) fn into_response(self) -> AdminResponse {
        let mut response = response::failure(self.reason.status(), &self.message);
        let headers = response.headers_mut();
        headers.insert(ERROR_HEADER, HeaderValue::from_static(self.reason.code()));
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, allow);
        }
        if self.reason == Reason::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.reason.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::new(Reason::BadRequest, error.to_string())
    }
}

/// The reason for an error of the control plane.
fn reason_of(error: &ControlError, name_in_path: bool) -> Reason {
    match error {
        // A name in the path is the resource, which is missing; a name in a body is a bad value.
        ControlError::UnknownName(_) if name_in_path => Reason::NotFound,
        ControlError::MoreNamesThanAdded
        | ControlError::MoreNamesThanRemoved
        | ControlError::Zero
        | ControlError::Name(_)
        | ControlError::NameTaken(_)
        | ControlError::NameTwice(_)
        | ControlError::UnknownName(_)
        | ControlError::TooFew { .. }
        | ControlError::TooMany { .. }
        | ControlError::EndpointsNotTaken(_)
        | ControlError::EndpointsNeeded(_)
        | ControlError::BadEndpoint(_)
        | ControlError::EndpointTaken(_)
        | ControlError::OwnEndpoint(_)
        | ControlError::Discovered(_)
        | ControlError::NotKept(_)
        | ControlError::BadCanary(_)
        | ControlError::BadWeight(_) => Reason::BadRequest,
        ControlError::Ring(_)
        | ControlError::Shared(_)
        | ControlError::NotRunning(_)
        | ControlError::Deploying(_)
        | ControlError::DeployingElsewhere
        | ControlError::DeployNotNow(_)
        | ControlError::UnknownRevision { .. }
        | ControlError::NoDeploys(_)
        | ControlError::ImageRefused { .. }
        | ControlError::NotDeploying
        | ControlError::NotWaiting(_)
        | ControlError::DeployedAlready(_)
        | ControlError::NothingToDeploy
        | ControlError::RemovedMeanwhile(_) => Reason::Conflict,
        ControlError::Unavailable(_) => Reason::RuntimeUnavailable,
        ControlError::StartFailed(_) => Reason::StartFailed,
        ControlError::Busy => Reason::Busy,
        ControlError::Stopping => Reason::Stopping,
    }
}
