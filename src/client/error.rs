//! Why a request came to nothing.

use http::StatusCode;
use serde_json::Value;

use super::{Response, Url, plain};

/// What went wrong, and with whom.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody answers there.
    #[error("no answer from {0}: {1}; check that a balancer has its admin API there")]
    Unreachable(Url, String),
    /// The balancer says no; the message is its own.
    #[error("{message} ({url} answered {status})")]
    Refused {
        /// Who.
        url: Url,
        /// Its status.
        status: StatusCode,
        /// Its words.
        message: String,
    },
    /// What came is not what the admin API answers.
    #[error("{0} does not answer as ringherd does: {1}; check that the URL is that of an admin API")]
    BadResponse(Url, String),
}

impl Error {
    /// The status, where there is an answer that says no.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable(..) | Self::BadResponse(..) => None,
        }
    }

    /// What an answer from `url` that is no 2xx tells. Each refusal of a balancer gives its reason.
    pub(super) fn refused(url: &Url, answer: &Response) -> Self {
        let told = serde_json::from_slice::<Value>(&answer.body).ok();
        let told = told.as_ref().and_then(|body| body.get("message")?.as_str()?.strip_prefix("<Error> "));
        match told {
            Some(message) => {
                Self::Refused { url: url.clone(), status: answer.status, message: plain(message) }
            }
            None => Self::BadResponse(url.clone(), format!("it answered {}", answer.status)),
        }
    }
}
