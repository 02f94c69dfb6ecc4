//! Errors that end the experiments.

use std::io;
use std::path::PathBuf;

use crate::client;

/// What failed, on what, and what to do. A lost request is no error, but a result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The admin API does not respond, or refuses a request.
    #[error(transparent)]
    Admin(#[from] client::Error),
    /// No request gets a response.
    #[error("no answer from {address}: {why}; check that requests are taken there, or give --public URL")]
    Public {
        /// Address that requests are sent to.
        address: String,
        /// What failed.
        why: String,
    },
    /// Requests get no response any more.
    #[error("no further answer from {address}: {why}")]
    Gone {
        /// Address that requests are sent to.
        address: String,
        /// What failed.
        why: String,
    },
    /// Responses come from elsewhere than the pool's replicas.
    #[error(
        "{address} gave {answered} answers, but the replicas of this pool gave {counted}; check that --public is \
         where this balancer takes requests, and that nobody else uses it"
    )]
    Miscount {
        /// Address that requests are sent to.
        address: String,
        /// Number of responses.
        answered: u64,
        /// Number of requests that the pool's replicas have handled.
        counted: u64,
    },
    /// The balancer that was started for the experiments is not ready.
    #[error("the balancer for the experiments did not come up: {0}")]
    OwnBalancer(String),
    /// An experiment is not possible with this pool.
    #[error("{0}")]
    Unfit(String),
    /// A file of the report cannot be written.
    #[error("cannot write {}: {error}; choose another folder with --out", .path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The operating system refuses sockets, tasks or the like.
    #[error("cannot run the experiments: {0}")]
    System(#[from] io::Error),
}

impl Error {
    /// Whether only the current experiment is not possible, so that the others can go on.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Admin(client::Error::Refused { .. }) | Self::Unfit(_))
    }

    /// The message without the address of the balancer, for a report that names it once.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Admin(client::Error::Refused { message, status, .. }) => {
                format!("the balancer says no: {message} ({status})")
            }
            other => other.to_string(),
        }
    }
}
