//! The handle of a runtime that is an actor (a task of its own), and the commands it sends to it.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Launch, Owner, ReplicaId, Revision, Runtime};

/// A command of the pool.
#[derive(Debug)]
pub(super) enum RuntimeCommand {
    /// See [`Runtime::prepare`].
    Prepare(u64, Arc<Revision>),
    /// See [`Runtime::cancel_preparation`].
    CancelPreparation,
    /// See [`Runtime::start`].
    Start(Launch),
    /// See [`Runtime::retire`].
    Retire(ReplicaId),
    /// See [`Runtime::take_number`].
    TakeNumber(ReplicaId),
    /// See [`Runtime::vacate`].
    Vacate(ReplicaId),
    /// See [`Runtime::forget`].
    Forget(ReplicaId),
    /// See [`Runtime::stop`].
    Stop(ReplicaId),
    /// See [`Runtime::kill`].
    Kill(ReplicaId),
}

/// A handle of an actor. Dropping it ends the actor, and leaves the replicas as they are.
#[derive(Debug)]
pub struct RuntimeHandle {
    kind: &'static str,
    owner: Owner,
    commands: UnboundedSender<RuntimeCommand>,
}

impl RuntimeHandle {
    /// The handle of a runtime called `kind` whose replicas `owner` keeps alive, and the receiver of
    /// its commands.
    pub(super) fn new(kind: &'static str, owner: Owner) -> (Self, UnboundedReceiver<RuntimeCommand>) {
        // Bounded by the pool, which limits the replicas and sends one command of each kind for each.
        let (commands, receiver) = unbounded_channel();
        (Self { kind, owner, commands }, receiver)
    }

    fn send(&self, command: RuntimeCommand) {
        // The actor lives as long as this sender, unless the tokio runtime is ending.
        let _ = self.commands.send(command);
    }
}

impl Runtime for RuntimeHandle {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn owner(&self) -> Owner {
        self.owner
    }

    fn lists(&self) -> bool {
        true
    }

    /// An orchestrator's nodes find for themselves what they need, when they need it.
    fn prepares(&self) -> bool {
        self.owner == Owner::Balancer
    }

    fn prepare(&self, deploy: u64, revision: Arc<Revision>) {
        self.send(RuntimeCommand::Prepare(deploy, revision));
    }

    fn cancel_preparation(&self) {
        self.send(RuntimeCommand::CancelPreparation);
    }

    fn start(&self, launch: Launch) {
        self.send(RuntimeCommand::Start(launch));
    }

    fn retire(&self, id: ReplicaId) {
        self.send(RuntimeCommand::Retire(id));
    }

    fn take_number(&self, id: ReplicaId) {
        self.send(RuntimeCommand::TakeNumber(id));
    }

    fn vacate(&self, id: ReplicaId) {
        self.send(RuntimeCommand::Vacate(id));
    }

    fn forget(&self, id: ReplicaId) {
        self.send(RuntimeCommand::Forget(id));
    }

    fn stop(&self, id: ReplicaId) {
        self.send(RuntimeCommand::Stop(id));
    }

    fn kill(&self, id: ReplicaId) {
        self.send(RuntimeCommand::Kill(id));
    }
}
