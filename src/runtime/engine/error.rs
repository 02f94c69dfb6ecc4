//! Errors of calls of the engine.

use std::fmt::Display;

use http::StatusCode;

use super::Host;

/// Why a call of the engine failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The engine cannot be reached, or did not respond in time.
    #[error("{0}")]
    Unreachable(String),
    /// The engine responded with an error.
    #[error("{message} (status {status})")]
    Refused {
        /// Status of the response.
        status: StatusCode,
        /// The engine's message.
        message: String,
    },
    /// This call failed, which says nothing about the engine: it took too long, or its response
    /// cannot be read.
    #[error("{0}")]
    Failed(String),
}

impl CallError {
    /// The engine at `host` does not respond, for the reason `why`.
    pub(super) fn unreachable(host: &Host, why: &dyn Display) -> Self {
        Self::Unreachable(format!(
            "the engine at {host} does not answer: {why}; check that it runs and that this user may connect"
        ))
    }

    /// The error of a response with this status and message.
    pub(super) fn from_response(host: &Host, status: StatusCode, message: String) -> Self {
        // The statuses with which a proxy says that the engine behind it does not respond.
        if matches!(status.as_u16(), 502..=504) {
            return Self::unreachable(host, &format_args!("status {status}: {message}"));
        }
        Self::Refused { status, message }
    }

    /// Whether the engine cannot be reached, so that other calls would fail as well.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    /// Whether the object does not exist (404).
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether the state of the object does not allow the call (409), such as a name in use or a
    /// removal under way.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT)
    }

    fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable(_) | Self::Failed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_without_an_engine_means_that_the_engine_is_unreachable() {
        let error = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            CallError::from_response(&Host::default(), status, "no".to_owned())
        };
        for (status, is_unreachable) in [(404, false), (500, false), (502, true), (503, true), (504, true)] {
            assert_eq!(error(status).is_unreachable(), is_unreachable, "{status}");
        }
        assert!(error(404).is_not_found() && error(409).is_conflict());
        assert!(error(503).to_string().contains("503 Service Unavailable: no"));
    }
}
