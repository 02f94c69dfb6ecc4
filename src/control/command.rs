//! What others may ask of the supervisor, and the handle they ask through.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::{ControlConfig, ControlError, View};
use crate::cluster::KeySource;
use crate::ring::{Family, Placement, Probing};

/// `POST /add`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Add {
    /// Replicas to add (at least 1).
    pub count: u32,
    /// Names of the first of them; the rest get random ones.
    pub names: Vec<String>,
    /// `host:port` of each, where the runtime does not start replicas itself.
    pub endpoints: Vec<String>,
}

/// `DELETE /rm`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remove {
    /// Replicas to remove (at least 1).
    pub count: u32,
    /// Names of some of them; the rest are picked at random.
    pub names: Vec<String>,
}

/// `PUT /ring`: what is `Some` changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingChange {
    /// Hash family.
    pub family: Option<Family>,
    /// Collision resolution.
    pub probing: Option<Probing>,
    /// Placement mode.
    pub placement: Option<Placement>,
    /// Number of slots `M`.
    pub slots: Option<u32>,
    /// Virtual nodes per replica `K`.
    pub virtual_nodes: Option<u32>,
    /// What is hashed.
    pub key: Option<KeySource>,
}

/// The answer to a command: the cluster as it is afterwards.
pub type Reply = oneshot::Sender<Result<Arc<View>, ControlError>>;

/// A command on its way to the supervisor.
#[derive(Debug)]
pub enum Command {
    /// Start replicas; answered when all are on the ring, or none is.
    Add(Add, Reply),
    /// Take replicas off the ring; answered when that is published.
    Remove(Remove, Reply),
    /// Rebuild the ring.
    ChangeRing(RingChange, Reply),
    /// Set the weight (0 to 100) of the named replica.
    SetWeight(String, u8, Reply),
    /// End the named replica at once, as a crash would; answered when that is under way.
    Kill(String, Reply),
    /// Take over what can change at run time from a re-read configuration.
    Reload(Box<ControlConfig>, Reply),
    /// Refuse changes from now on, and give up unfinished ones: a stop is coming. Not answered.
    PrepareStop,
    /// Stop all replicas without replacing them; answered when none is left.
    Stop(Reply),
}

/// A handle on the supervisor.
#[derive(Clone, Debug)]
pub struct Control {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<Arc<View>>,
}

impl Control {
    /// A handle that sends to `commands` and reads `view`.
    pub fn new(commands: mpsc::Sender<Command>, view: watch::Receiver<Arc<View>>) -> Self {
        Self { commands, view }
    }

    /// The cluster as of the last change.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Waits until `condition` holds of the view; returns the view it held of.
    pub async fn wait_for(
        &self,
        mut condition: impl FnMut(&View) -> bool,
    ) -> Result<Arc<View>, ControlError> {
        let mut view = self.view.clone();
        let found = view.wait_for(|view| condition(view)).await.map_err(|_| ControlError::Stopping)?;
        Ok(Arc::clone(&found))
    }

    /// Adds replicas, all or none.
    pub async fn add(&self, add: Add) -> Result<Arc<View>, ControlError> {
        self.ask(|reply| Command::Add(add, reply)).await
    }

    /// Removes replicas.
    pub async fn remove(&self, remove: Remove) -> Result<Arc<View>, ControlError> {
        self.ask(|reply| Command::Remove(remove, reply)).await
    }

    /// Rebuilds the ring.
    pub async fn change_ring(&self, change: RingChange) -> Result<Arc<View>, ControlError> {
        self.ask(|reply| Command::ChangeRing(change, reply)).await
    }

    /// Sets a replica's weight.
    pub async fn set_weight(&self, name: &str, weight: u8) -> Result<Arc<View>, ControlError> {
        self.ask(|reply| Command::SetWeight(name.to_owned(), weight, reply)).await
    }

    /// Ends a replica at once, as a crash would; it is replaced like any that dies.
    pub async fn kill(&self, name: &str) -> Result<Arc<View>, ControlError> {
        self.ask(|reply| Command::Kill(name.to_owned(), reply)).await
    }

    /// Applies a re-read configuration.
    pub async fn reload(&self, config: ControlConfig) -> Result<Arc<View>, ControlError> {
        self.ask(|reply| Command::Reload(Box::new(config), reply)).await
    }

    /// Announces a stop: changes are refused from now on, and replicas that are being added are
    /// given up, so that nobody waits for them.
    pub async fn prepare_stop(&self) {
        // When the supervisor has ended there is nothing left to refuse.
        let _ = self.commands.send(Command::PrepareStop).await;
    }

    /// Stops all replicas and waits for their end; never refused, but it may have to wait for
    /// changes that were asked for before.
    pub async fn stop(&self) -> Result<Arc<View>, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Stop(reply)).await.map_err(|_| ControlError::Stopping)?;
        answer.await.map_err(|_| ControlError::Stopping)?
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<Arc<View>, ControlError> {
        let (reply, answer) = oneshot::channel();
        // Full means that many changes are waiting already: say so instead of queueing more.
        self.commands.try_send(command(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ControlError::Busy,
            mpsc::error::TrySendError::Closed(_) => ControlError::Stopping,
        })?;
        answer.await.map_err(|_| ControlError::Stopping)?
    }
}
