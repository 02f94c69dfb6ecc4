//! What tasks tell the actor.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::hint::Hint;
use super::place::Place;
use super::seen::Seen;
use super::survey::Listing;
use crate::runtime::ReplicaId;

/// One piece of news.
#[derive(Debug)]
pub(super) enum Report {
    /// The engine answers, this is what it has, and its events follow.
    Connected(Arc<Place>, Listing),
    /// It does not answer.
    Lost(String),
    /// All containers, once more.
    Listed(Listing),
    /// It is time for a list.
    ListDue,
    /// An event.
    Hint(Hint),
    /// A container has been created for a replica; it does not run yet.
    Made {
        /// Which replica.
        id: ReplicaId,
        /// Its container.
        container: String,
    },
    /// A container is about to be made for this replica: is it still wanted?
    Wanted {
        /// Which replica.
        id: ReplicaId,
        /// The answer.
        reply: oneshot::Sender<bool>,
    },
    /// A name that is needed is held by this container of ours: may it be renamed?
    MayMove {
        /// The holder.
        holder: Seen,
        /// The answer.
        reply: oneshot::Sender<bool>,
    },
    /// The network is about to be removed: has the last replica gone?
    Idle {
        /// The answer.
        reply: oneshot::Sender<bool>,
    },
    /// It runs, started or taken over.
    Up {
        /// Which replica.
        id: ReplicaId,
        /// Where.
        running: Running,
    },
    /// It could not be started, and nothing of it is left.
    Failed {
        /// Which replica.
        id: ReplicaId,
        /// What failed, on what, and what to do.
        reason: String,
    },
    /// It was stopped, and its container has been seen to.
    Ended {
        /// Which replica.
        id: ReplicaId,
        /// How it ended, in words.
        reason: String,
    },
    /// Its container was looked at, and has ended or is gone. What is left of it is still there.
    Died {
        /// Which replica.
        id: ReplicaId,
        /// How it ended, in words.
        reason: String,
    },
    /// The network of the last replica has been seen to; its container was gone before.
    NetworkGone(ReplicaId),
    /// Its container was looked at, and runs.
    Alive(ReplicaId),
    /// A container of nobody is gone, or could not be removed.
    Swept(String),
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// Its id.
    pub(super) container: String,
    /// Where it takes requests.
    pub(super) address: SocketAddr,
    /// The signal that it takes as a request to end.
    pub(super) stop_signal: i32,
}

/// Sends reports that count until the engine is lost the next time.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    /// Which connection the sender belongs to.
    pub(super) epoch: u64,
    /// To the actor.
    pub(super) reports: UnboundedSender<(u64, Report)>,
}

impl Reporter {
    /// Sends one.
    pub(super) fn send(&self, report: Report) {
        // Without a receiver the runtime was dropped, and with it all tasks.
        let _ = self.reports.send((self.epoch, report));
    }

    /// Asks the actor, who knows all replicas. One that is gone wants nothing.
    pub(super) async fn ask(&self, question: impl FnOnce(oneshot::Sender<bool>) -> Report) -> bool {
        let (reply, answer) = oneshot::channel();
        self.send(question(reply));
        answer.await.unwrap_or(false)
    }
}
