//! Why experiments came to no end.

use std::io;
use std::path::PathBuf;

use crate::client;

/// What failed, on what, and what to do. A request that is lost is no error but a finding.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The admin API does not answer, or says no where it must not.
    #[error(transparent)]
    Admin(#[from] client::Error),
    /// Nobody takes requests.
    #[error("no answer from {address}: {why}; check that requests are taken there, or give --public URL")]
    Public {
        /// Where.
        address: String,
        /// What happened.
        why: String,
    },
    /// Nobody takes requests any longer.
    #[error("no further answer from {address}: {why}")]
    Gone {
        /// Where.
        address: String,
        /// What happened.
        why: String,
    },
    /// Answers that are not, or not only, those of the pool's replicas.
    #[error(
        "{address} gave {answered} answers, but the replicas of this pool gave {counted}; check that --public is \
         where this balancer takes requests, and that nobody else uses it"
    )]
    Miscount {
        /// Where.
        address: String,
        /// Answers that came.
        answered: u64,
        /// Answers that its replicas gave.
        counted: u64,
    },
    /// The balancer that was started for the experiments did not come up.
    #[error("the balancer for the experiments did not come up: {0}")]
    Own(String),
    /// The pool is not what an experiment needs.
    #[error("{0}")]
    Unfit(String),
    /// A file of the report could not be written.
    #[error("cannot write {}: {error}; choose another folder with --out", .path.display())]
    Report {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The system refuses what is needed to run at all.
    #[error("cannot run the experiments: {0}")]
    System(#[from] io::Error),
}

impl Error {
    /// Whether only this experiment is impossible here, so that the others can go on.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Admin(client::Error::Refused { .. }) | Self::Unfit(_))
    }

    /// The reason without who gave it, for a report that names the balancer once.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Admin(client::Error::Refused { message, status, .. }) => {
                format!("the balancer says no: {message} ({status})")
            }
            other => other.to_string(),
        }
    }
}
