//! The messages that tasks send to the actor, and the handle they send them with.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::adoption::Listing;
use super::container::{Container, RunningContainer};
use super::context::EngineContext;
use super::events::EngineEvent;
use crate::runtime::ReplicaId;
use crate::runtime::output::Run;

/// A result or a question of a task.
#[derive(Debug)]
pub(super) enum ActorMessage {
    /// The engine answers and has these containers; its events follow.
    Connected(Arc<EngineContext>, Listing),
    /// The engine does not answer, for this reason.
    Disconnected(String),
    /// What a deploy needs is there, or cannot be had for this reason.
    Prepared {
        /// The deploy.
        deploy: u64,
        /// What failed, on what, and what to do.
        result: Result<(), String>,
    },
    /// A list of containers that was asked for.
    Listed(Listing),
    /// It is time for the next list.
    ListDue,
    /// The engine sent an event.
    Event(EngineEvent),
    /// A container has been created for a replica; it does not run yet.
    Created {
        /// The replica.
        id: ReplicaId,
        /// Id of the container.
        container: String,
        /// Its output.
        output: Run,
    },
    /// Question before a container is created: is this replica still wanted?
    IsWanted {
        /// The replica.
        id: ReplicaId,
        /// Takes the answer.
        reply: oneshot::Sender<bool>,
    },
    /// Question of a task that needs a name: may the container that has it be renamed?
    MayRename {
        /// The container that has the name.
        holder: Container,
        /// Takes the answer.
        reply: oneshot::Sender<bool>,
    },
    /// Question before the network is removed: is no replica left that needs it?
    IsIdle {
        /// Takes the answer.
        reply: oneshot::Sender<bool>,
    },
    /// The container of a replica runs: started, adopted or attached.
    Started {
        /// The replica.
        id: ReplicaId,
        /// Its container.
        running: RunningContainer,
    },
    /// A replica could not be started.
    StartFailed {
        /// The replica.
        id: ReplicaId,
        /// What failed, on what, and what to do.
        reason: String,
        /// The container of it that is left, and may run.
        left: Option<String>,
    },
    /// A replica was stopped: its container has ended, and was removed, as far as possible.
    Stopped {
        /// The replica.
        id: ReplicaId,
        /// How it ended, in words.
        reason: String,
    },
    /// An inspection found that the container has exited or is gone. It is not removed yet.
    Exited {
        /// The replica.
        id: ReplicaId,
        /// How it ended, in words.
        reason: String,
    },
    /// An inspection found that the container runs.
    StillRunning(ReplicaId),
    /// The network of the last replica has been removed, as far as possible. The replica's
    /// container was removed before.
    NetworkRemoved(ReplicaId),
    /// The removal of an orphaned container has ended, with success or not.
    OrphanRemoved(String),
}

/// Sends messages to the actor. They are ignored once the connection to the engine has been lost.
#[derive(Clone, Debug)]
pub(super) struct ActorHandle {
    /// Number of the connection that the sender belongs to.
    pub(super) epoch: u64,
    /// Channel to the actor.
    pub(super) messages: UnboundedSender<(u64, ActorMessage)>,
}

impl ActorHandle {
    /// Sends one message.
    pub(super) fn send(&self, message: ActorMessage) {
        // Without a receiver the runtime was dropped, and with it all tasks.
        let _ = self.messages.send((self.epoch, message));
    }

    /// Asks the actor a question. `false` if the actor has ended.
    pub(super) async fn ask(&self, question: impl FnOnce(oneshot::Sender<bool>) -> ActorMessage) -> bool {
        let (reply, answer) = oneshot::channel();
        self.send(question(reply));
        answer.await.unwrap_or(false)
    }
}
