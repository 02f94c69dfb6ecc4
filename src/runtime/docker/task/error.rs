//! Why a replica could not be created.

use crate::runtime::engine::CallError;

/// Why there is no replica.
#[derive(Debug)]
pub(super) enum CreateError {
    /// The engine cannot be reached: nothing is known about this replica.
    Unreachable(CallError),
    /// What failed, on what, and what to do. There is no container.
    Failed(String),
    /// The same, with the container that is left. It may run.
    Left {
        /// What failed, on what, and what to do.
        reason: String,
        /// Id of the container.
        container: String,
    },
}

impl CreateError {
    /// The same error, after this container has been created.
    pub(super) fn leaving(self, container: &str) -> Self {
        match self {
            Self::Failed(reason) => Self::Left { reason, container: container.to_owned() },
            other => other,
        }
    }

    /// The error of a call that failed to do `what`.
    pub(super) fn of(error: CallError, what: &str) -> Self {
        if error.is_unreachable() {
            Self::Unreachable(error)
        } else {
            Self::Failed(format!("{what}: {error}"))
        }
    }
}
