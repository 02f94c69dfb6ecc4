//! What others may ask of the supervisor, and the handle they ask through.
//!
//! One enum goes the whole way: the admin service parses a body into a [`Request`], [`Control`]
//! sends it, and the pool takes it in.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::{ControlConfig, ControlError, DeployRequest, View};
use crate::cluster::KeySource;
use crate::ring::{Family, Placement, Probing};

/// A change of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Start replicas; answered when all are on the ring, or none is.
    Add(Add),
    /// Take replicas off the ring; answered when that is published.
    Remove(Remove),
    /// Set the weight of a replica; answered when that is published.
    SetWeight {
        /// Its name.
        name: String,
        /// 0 to 100.
        weight: u8,
    },
    /// End a replica at once, as a crash would; it is replaced like any that dies. Answered when
    /// that is under way.
    Kill {
        /// Its name.
        name: String,
    },
    /// Build another ring, or hash another key; answered when that is published.
    ChangeRing(RingChange),
    /// Replace every replica by one of another revision, number by number; answered when that has begun.
    Deploy(DeployRequest),
    /// Deploy the revision of the canary that waits to all other numbers; answered at once.
    Promote,
    /// Take a deploy back that is under way; answered at once.
    AbortDeploy,
    /// Take over what can change at run time from a re-read configuration.
    Reload(Box<ControlConfig>),
    /// A stop is coming: refuse changes from now on, and give up unfinished ones. Answered at once.
    PrepareStop,
    /// Stop all replicas without replacing them; answered when none is left.
    Stop,
}

impl Request {
    /// Whether it is one of those that end the balancer, which are never refused.
    fn is_end(&self) -> bool {
        matches!(self, Self::PrepareStop | Self::Stop)
    }
}

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

/// Where the response to a request goes: the cluster as it is afterwards.
pub type Reply = oneshot::Sender<Result<Arc<View>, ControlError>>;

/// A request on its way to the supervisor.
#[derive(Debug)]
pub struct Call {
    /// What is asked for.
    pub request: Request,
    /// Where the response goes.
    pub reply: Reply,
}

/// A handle on the supervisor.
#[derive(Clone, Debug)]
pub struct Control {
    calls: mpsc::Sender<Call>,
    view: watch::Receiver<Arc<View>>,
}

impl Control {
    /// A handle that sends to `calls` and reads `view`.
    pub fn new(calls: mpsc::Sender<Call>, view: watch::Receiver<Arc<View>>) -> Self {
        Self { calls, view }
    }

    /// The cluster as of the last change.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Waits until `condition` holds of the view; returns the view it held of.
    ///
    /// # Errors
    /// The supervisor has ended.
    pub async fn wait_for(
        &self,
        mut condition: impl FnMut(&View) -> bool,
    ) -> Result<Arc<View>, ControlError> {
        let mut view = self.view.clone();
        let found = view.wait_for(|view| condition(view)).await.map_err(|_| ControlError::Stopping)?;
        Ok(Arc::clone(&found))
    }

    /// Has `request` done; returns the cluster as it is afterwards.
    ///
    /// # Errors
    /// Why nothing changed. [`ControlError::Busy`] where too many requests wait already; those
    /// that end the balancer wait for their turn instead.
    pub async fn request(&self, request: Request) -> Result<Arc<View>, ControlError> {
        let (reply, response) = oneshot::channel();
        let call = Call { request, reply };
        if call.request.is_end() {
            self.calls.send(call).await.map_err(|_| ControlError::Stopping)?;
        } else {
            self.calls.try_send(call).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => ControlError::Busy,
                mpsc::error::TrySendError::Closed(_) => ControlError::Stopping,
            })?;
        }
        response.await.map_err(|_| ControlError::Stopping)?
    }
}
