//! The handle of a runtime that is an actor (a task of its own), and the commands it sends to it.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Launch, Owner, ReplicaId, Runtime};

/// A command of the pool.
#[derive(Debug)]
pub(super) enum RuntimeCommand {
    /// See [`Runtime::start`].
    Start(Launch),
    /// See [`Runtime::retire`].
    Retire(ReplicaId),
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

    fn start(&self, launch: Launch) {
        self.send(RuntimeCommand::Start(launch));
    }

    fn retire(&self, id: ReplicaId) {
        self.send(RuntimeCommand::Retire(id));
    }

    fn stop(&self, id: ReplicaId) {
        self.send(RuntimeCommand::Stop(id));
    }

    fn kill(&self, id: ReplicaId) {
        self.send(RuntimeCommand::Kill(id));
    }
}
