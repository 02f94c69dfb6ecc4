//! The actor that owns what is known of the engine and its containers. It handles commands of the
//! pool and messages of tasks one at a time, and never waits for the engine itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;

use super::DockerConfig;
use super::adoption::Adoptable;
use super::conflicts::InstanceConflicts;
use super::context::EngineContext;
use super::discovered::Discovered;
use super::managed::ManagedReplica;
use super::messages::{ActorHandle, ActorMessage};
use super::task::{connection, prepare};
use crate::runtime::engine::CallError;
use crate::runtime::handle::RuntimeCommand;
use crate::runtime::output::Outputs;
use crate::runtime::{ReplicaId, Revision, RuntimeEvent, RuntimeEvents};

/// First pause before the engine is connected to again; doubles up to [`MAX_PAUSE`].
pub(super) const MIN_PAUSE: Duration = Duration::from_millis(100);
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Time for which a connection must have lasted before the pause starts at [`MIN_PAUSE`] again: what
/// fails at once each time must not be tried ten times a second.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(5);

/// The state of the connection to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The engine does not answer, or has not been reached yet.
    Down,
    /// The engine answers; inspections of these replicas are under way, and the pool is told of
    /// the engine when they have ended.
    Recovering(HashSet<ReplicaId>),
    /// The engine answers, and the pool knows.
    Up,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) config: Arc<DockerConfig>,
    pub(super) events: RuntimeEvents,
    /// Where the output of containers is read.
    pub(super) outputs: Outputs,
    pub(super) phase: Phase,
    /// Looked up at the first connection.
    pub(super) context: Option<Arc<EngineContext>>,
    /// Replicas whose containers this balancer makes and removes.
    pub(super) replicas: BTreeMap<ReplicaId, ManagedReplica>,
    /// Containers of an earlier run that have not been adopted yet, by id.
    pub(super) adoptable: HashMap<String, Adoptable>,
    /// Ids of containers of no replica that are being removed.
    pub(super) removing: HashSet<String>,
    /// Containers that another balancer with our instance name has made.
    pub(super) conflicts: InstanceConflicts,
    /// Containers of others that join the ring.
    pub(super) discovered: Discovered,
    /// Whether a list has been asked for, and whether another has to follow it.
    pub(super) listing: bool,
    pub(super) list_again: bool,
    /// Whether the pool has been told that the engine is away.
    pub(super) reported_unavailable: bool,
    /// Pause before the next attempt to connect.
    pub(super) pause: Duration,
    /// When the engine was connected to, while it is.
    pub(super) connected_at: Option<Instant>,
    /// Number of the connection; messages of tasks of an earlier one are ignored.
    epoch: u64,
    /// What finds the image of a deploy, if that is under way.
    preparing: Option<AbortHandle>,
    sender: UnboundedSender<(u64, ActorMessage)>,
    inbox: UnboundedReceiver<(u64, ActorMessage)>,
    tasks: JoinSet<()>,
}

impl Actor {
    pub(super) fn new(config: DockerConfig, events: RuntimeEvents, outputs: Outputs) -> Self {
        let (sender, inbox) = unbounded_channel();
        Self {
            config: Arc::new(config),
            events,
            outputs,
            phase: Phase::Down,
            context: None,
            replicas: BTreeMap::new(),
            adoptable: HashMap::new(),
            removing: HashSet::new(),
            conflicts: InstanceConflicts::default(),
            discovered: Discovered::default(),
            listing: false,
            list_again: false,
            reported_unavailable: false,
            pause: MIN_PAUSE,
            connected_at: None,
            epoch: 0,
            preparing: None,
            sender,
            inbox,
            tasks: JoinSet::new(),
        }
    }

    /// Runs until the runtime is dropped, and then ends all tasks.
    pub(super) async fn run(mut self, mut commands: UnboundedReceiver<RuntimeCommand>) {
        self.connect_after(Duration::ZERO);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(RuntimeCommand::Prepare(deploy, revision)) => self.prepare(deploy, revision),
                    Some(RuntimeCommand::CancelPreparation) => self.cancel_preparation(),
                    Some(RuntimeCommand::Start(launch)) => self.start(launch),
                    Some(RuntimeCommand::Retire(id)) => self.retire(id),
                    Some(RuntimeCommand::Stop(id)) => self.stop(id),
                    Some(RuntimeCommand::Kill(id)) => self.kill(id),
                    // What an orchestrator shares with other balancers is nothing here.
                    Some(
                        RuntimeCommand::TakeNumber(_) | RuntimeCommand::Vacate(_) | RuntimeCommand::Forget(_),
                    ) => {}
                    None => return,
                },
                Some((epoch, message)) = self.inbox.recv() => {
                    if epoch == self.epoch {
                        self.handle(message);
                    }
                }
                Some(ended) = self.tasks.join_next() => self.task_ended(ended),
            }
        }
    }

    /// Finds what a deploy needs. One at a time: nobody waits for that of an earlier deploy.
    fn prepare(&mut self, deploy: u64, revision: Arc<Revision>) {
        self.cancel_preparation();
        self.preparing = self.spawn(|context, actor| prepare::run(context, deploy, revision, actor));
    }

    /// Ends a pull, and with it that of the engine.
    fn cancel_preparation(&mut self) {
        if let Some(task) = self.preparing.take() {
            task.abort();
        }
    }

    fn handle(&mut self, message: ActorMessage) {
        match message {
            ActorMessage::Connected(context, listing) => self.connected(context, listing),
            ActorMessage::Disconnected(reason) => self.disconnected(reason),
            ActorMessage::Prepared { deploy, result } => {
                self.report(RuntimeEvent::Prepared { deploy, result });
            }
            ActorMessage::Listed(listing) => self.listed(listing),
            ActorMessage::ListDue => self.list(),
            ActorMessage::Event(event) => self.event(&event),
            ActorMessage::Created { id, container, output } => self.created(id, container, output),
            // The task that asks may have been ended.
            ActorMessage::IsWanted { id, reply } => drop(reply.send(self.is_wanted(id))),
            ActorMessage::MayRename { holder, reply } => drop(reply.send(self.may_rename(&holder))),
            ActorMessage::IsIdle { reply } => drop(reply.send(self.is_idle())),
            ActorMessage::Started { id, running } => self.started(id, running),
            ActorMessage::StartFailed { id, reason, left } => self.start_failed(id, reason, left),
            ActorMessage::Stopped { id, reason } => self.stopped(id, reason),
            ActorMessage::Exited { id, reason } => self.exited(id, reason),
            ActorMessage::NetworkRemoved(id) => self.finish_removal(id),
            ActorMessage::StillRunning(id) => self.still_running(id),
            ActorMessage::OrphanRemoved(container) => {
                self.removing.remove(&container);
            }
        }
    }

    /// Runs a task, and returns what ends it. If it ends with an error, the engine cannot be reached.
    pub(super) fn spawn<F, T>(
        &mut self,
        task: impl FnOnce(Arc<EngineContext>, ActorHandle) -> F,
    ) -> Option<AbortHandle>
    where
        F: Future<Output = Result<T, CallError>> + Send + 'static,
        T: Send + 'static,
    {
        // Before the first connection no container is known, and so there is nothing to do.
        let context = self.context.clone()?;
        let actor = self.handle_of_connection();
        let task = task(context, actor.clone());
        Some(self.tasks.spawn(async move {
            if let Err(error) = task.await {
                actor.send(ActorMessage::Disconnected(error.to_string()));
            }
        }))
    }

    /// Connects to the engine after a pause.
    pub(super) fn connect_after(&mut self, pause: Duration) {
        let actor = self.handle_of_connection();
        let outputs = self.outputs.clone();
        let connection = connection::run(Arc::clone(&self.config), outputs, self.context.clone(), actor);
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            connection.await;
        });
    }

    /// Ends all tasks, and ignores messages that they have sent.
    pub(super) fn disconnect(&mut self) {
        self.epoch += 1;
        self.tasks = JoinSet::new();
    }

    fn handle_of_connection(&self) -> ActorHandle {
        ActorHandle { epoch: self.epoch, messages: self.sender.clone() }
    }

    /// A task that panicked sends no message; connecting again recovers what it has missed.
    fn task_ended(&mut self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a task of the docker runtime failed; this is a defect");
            self.disconnected(format!("a call failed in an unexpected way: {error}"));
        }
    }

    /// Reports to the pool.
    pub(super) fn report(&self, event: RuntimeEvent) {
        // Without a receiver the balancer is ending, and nobody needs to know.
        let _ = self.events.send(event);
    }

    /// Number of tasks that run.
    #[cfg(test)]
    pub(super) fn running_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// The replica that a container belongs to.
    pub(super) fn replica_of(&self, container: &str) -> Option<ReplicaId> {
        self.replicas.iter().find(|(_, replica)| replica.has(container)).map(|(id, _)| *id)
    }
}
