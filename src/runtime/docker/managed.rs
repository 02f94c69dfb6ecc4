//! What is known of one replica whose container this balancer makes and removes.

use super::signals;
use crate::runtime::output::{LastLines, Run};
use crate::runtime::{Found, Launch, Owner, Place, RuntimeEvent};

/// The stage of a replica's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The engine was lost while the container was being created, so one may exist or not. That is
    /// known when the engine is back.
    Unknown,
    /// The container is being created and started.
    Starting,
    /// A container that exists is being adopted.
    Adopting,
    /// The container runs.
    Running,
    /// The container is being stopped and removed.
    Stopping,
    /// The container is gone. It was the last one, so the network is removed before that is
    /// reported.
    RemovingNetwork,
}

/// Whether somebody else has asked the container to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Termination {
    /// Nobody has.
    NotRequested,
    /// It was asked to in the way described by the text; the pool does not know yet.
    Requested(String),
    /// It was asked to, and the pool knows.
    Reported,
}

/// What the pool wants of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Desired {
    /// It is to run.
    Running,
    /// It has left the ring and will be stopped soon: another replica may have its name.
    Retired,
    /// It is to be stopped as soon as it runs.
    Stopped,
}

/// One replica.
#[derive(Debug)]
pub(super) struct ManagedReplica {
    /// Name, number and id.
    pub(super) launch: Launch,
    /// Name of the revision that it runs; empty for the one without a name.
    pub(super) revision: String,
    /// How far its life has come.
    pub(super) stage: Stage,
    /// Id of its container, once there is one.
    pub(super) container: Option<String>,
    /// Its output, once there is a container.
    pub(super) output: Option<Run>,
    /// The signal that the container takes as a request to end.
    pub(super) stop_signal: i32,
    /// Whether somebody else has asked the container to end.
    pub(super) termination: Termination,
    /// What the pool wants of it.
    pub(super) desired: Desired,
    /// Whether a task is inspecting the container.
    pub(super) inspecting: bool,
    /// Whether there is a reason to inspect the container, again if one is under way.
    pub(super) needs_inspection: bool,
    /// Why it could not be started, while what is left of it is being stopped. That is reported in place of how its
    /// container ended.
    pub(super) failure: Option<String>,
    /// What is reported once the replica is gone.
    pub(super) final_event: Option<RuntimeEvent>,
}

impl ManagedReplica {
    /// A replica to start, or to adopt if the launch names a container.
    pub(super) fn new(launch: Launch) -> Self {
        let container = launch.existing.clone();
        let stage = if container.is_some() { Stage::Adopting } else { Stage::Starting };
        Self {
            revision: launch.revision.name.clone(),
            launch,
            stage,
            container,
            output: None,
            stop_signal: signals::SIGTERM,
            termination: Termination::NotRequested,
            desired: Desired::Running,
            inspecting: false,
            needs_inspection: false,
            failure: None,
            final_event: None,
        }
    }

    /// Whether `container` is the id of its container.
    pub(super) fn has(&self, container: &str) -> bool {
        self.container.as_deref() == Some(container)
    }

    /// Takes the last lines of its output.
    pub(super) fn last_lines(&self) -> Option<LastLines> {
        self.output.as_ref().and_then(Run::last_lines)
    }

    /// Its entry in the inventory, while its container exists and is wanted.
    pub(super) fn found(&self) -> Option<Found> {
        let wanted = matches!(self.stage, Stage::Adopting | Stage::Running);
        let key = self.container.clone().filter(|_| wanted)?;
        let (name, number) = (self.launch.name.clone(), Some(self.launch.number));
        let (owner, revision, place) = (Owner::Balancer, self.revision.clone(), Place::Holder);
        Some(Found { key, name, number, owner, revision, place })
    }
}
