//! Why a replica could not be created.

use crate::runtime::engine::CallError;

/// Why there is no replica.
#[derive(Debug)]
pub(super) enum CreateError {
    /// The engine cannot be reached: nothing is known about this replica.
    Unreachable(CallError),
    /// What failed, on what, and what to do.
    Failed(String),
}

impl CreateError {
    /// The error of a call that failed to do `what`.
    pub(super) fn of(error: CallError, what: &str) -> Self {
        if error.is_unreachable() {
            Self::Unreachable(error)
        } else {
            Self::Failed(format!("{what}: {error}"))
        }
    }
}
