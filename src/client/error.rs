//! Errors of requests to the admin API.

use http::StatusCode;
use serde_json::Value;

use super::{Response, Url, plain};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no response from this URL, for this reason.
    #[error("no answer from {0}: {1}; check that a balancer has its admin API there")]
    Unreachable(Url, String),
    /// The balancer refused the request.
    #[error("{message} ({url} answered {status})")]
    Refused {
        /// URL of the admin API.
        url: Url,
        /// Status of the response.
        status: StatusCode,
        /// Message of the balancer.
        message: String,
    },
    /// The response is not one of the admin API, for this reason.
    #[error("{0} does not answer as ringherd does: {1}; check that the URL is that of an admin API")]
    BadResponse(Url, String),
}

impl Error {
    /// Status of the response, if the balancer refused the request.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable(..) | Self::BadResponse(..) => None,
        }
    }

    /// The error of a response that is not 2xx. Every refusal of a balancer has a message.
    pub(super) fn refused(url: &Url, response: &Response) -> Self {
        let told = serde_json::from_slice::<Value>(&response.body).ok();
        let told = told.as_ref().and_then(|body| body.get("message")?.as_str()?.strip_prefix("<Error> "));
        match told {
            Some(message) => {
                Self::Refused { url: url.clone(), status: response.status, message: plain(message) }
            }
            None => Self::BadResponse(url.clone(), format!("it answered {}", response.status)),
        }
    }
}
