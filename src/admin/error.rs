//! Why a request was refused, and what that is in HTTP: the one place that chooses statuses.
//!
//! Statuses say whose fault it is. 400: the request as sent can never work here, which is also
//! what the first interface answered to every bad `/add` and `/rm`; so a taken name and a count
//! beyond the limits are 400 and not the finer 409 or 422. 404: the resource named by the path
//! is not there. 409: well formed, but the ring in force cannot do it. 502: the replicas that
//! the balancer started did not come up; not 503, because repeating it at once seldom helps.
//! 503 with `Retry-After`: not now.

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use super::answer::{self, Answer};
use super::request::BodyError;
use super::route::Write;
use super::text::shortened;
use crate::control::ControlError;

/// Carries the short reason code of an error answer.
const ERROR_HEADER: HeaderName = HeaderName::from_static("x-ringherd-error");

/// What `Retry-After` says, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Longest message, in bytes: a refusal may quote what it refuses, which may be long.
const MAX_MESSAGE: usize = 16 * 1024;

/// Kinds of refusal. The names are what clients and metrics may rely on.
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
    /// The code in `X-Ringherd-Error`.
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

    /// The status.
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

/// A request that is not done: its kind, and what the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    message: String,
    allow: Option<HeaderValue>,
}

impl Refusal {
    /// A refusal with `message`, which says what is wrong and what would be right.
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: shortened(message.into(), MAX_MESSAGE), allow: None }
    }

    /// A wrong method; `allow` are the right ones.
    pub(super) fn method(allow: &str) -> Self {
        let mut refusal =
            Self::new(Reason::MethodNotAllowed, format!("the method is not one for this path: use {allow}"));
        refusal.allow = HeaderValue::from_str(allow).ok();
        refusal
    }

    /// What the control plane answered to `write`.
    pub(super) fn of_control(error: &ControlError, write: &Write) -> Self {
        Self::new(reason_of(error, write), error.to_string())
    }

    /// The refusal as an answer.
    pub(super) fn into_answer(self) -> Answer {
        let mut answer = answer::failure(self.reason.status(), &self.message);
        let headers = answer.headers_mut();
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
        answer
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::new(Reason::BadRequest, error.to_string())
    }
}

/// What kind of refusal an error of the control plane is.
fn reason_of(error: &ControlError, write: &Write) -> Reason {
    match error {
        // In the path it is the resource that is missing; in a body it is a bad value.
        ControlError::UnknownName(_) if matches!(write, Write::Weight(_) | Write::Kill(_)) => {
            Reason::NotFound
        }
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
        | ControlError::Discovered(_)
        | ControlError::NotKept(_)
        | ControlError::BadWeight(_) => Reason::BadRequest,
        ControlError::Ring(_) | ControlError::Shared(_) | ControlError::NotRunning(_) => Reason::Conflict,
        ControlError::Unavailable(_) => Reason::RuntimeUnavailable,
        ControlError::StartFailed(_) => Reason::StartFailed,
        ControlError::Busy => Reason::Busy,
        ControlError::Stopping => Reason::Stopping,
    }
}
