//! What is known of one replica that this balancer keeps.

use crate::runtime::{Found, Launch, Owner, RuntimeEvent};

/// How far its life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The engine was lost while it was being made, and a container may be left of it. What
    /// becomes of that is known when the engine is back.
    Absent,
    /// A container is being made and started.
    Starting,
    /// A container that exists is being taken over.
    Adopting,
    /// It runs.
    Running,
    /// It is being stopped and removed.
    Stopping,
    /// It is no more, and as the last one takes the network with it before that is told.
    Gone,
}

/// Whether others have told it to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// They have not.
    Unasked,
    /// They have, in these words; the pool is to be told.
    Asked(String),
    /// They have, and the pool knows.
    Told,
}

/// What the pool wants of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// That it runs.
    Keep,
    /// It has left the ring and will be stopped soon: its name is free for another.
    Retire,
    /// That it is stopped as soon as it has come up.
    Stop,
}

/// One replica.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    /// Its name and number.
    pub(super) launch: Launch,
    /// How far it has come.
    pub(super) stage: Stage,
    /// Its container, once there is one.
    pub(super) container: Option<String>,
    /// The signal that it takes as a request to end.
    pub(super) stop_signal: i32,
    /// Whether others have told it to end.
    pub(super) ending: Ending,
    /// What the pool wants of it.
    pub(super) wish: Wish,
    /// Whether its container is being looked at.
    pub(super) examined: bool,
    /// Whether there is a reason to look at it (again).
    pub(super) doubtful: bool,
    /// What is told once it has gone.
    pub(super) farewell: Option<RuntimeEvent>,
}

impl Replica {
    /// One that is to be started or taken over.
    pub(super) fn new(launch: Launch) -> Self {
        let container = launch.existing.clone();
        let stage = if container.is_some() { Stage::Adopting } else { Stage::Starting };
        Self {
            launch,
            stage,
            container,
            stop_signal: super::hint::SIGTERM,
            ending: Ending::Unasked,
            wish: Wish::Keep,
            examined: false,
            doubtful: false,
            farewell: None,
        }
    }

    /// Whether this is its container.
    pub(super) fn has(&self, container: &str) -> bool {
        self.container.as_deref() == Some(container)
    }

    /// How it is listed, while its container exists and is wanted.
    pub(super) fn found(&self) -> Option<Found> {
        let wanted = matches!(self.stage, Stage::Adopting | Stage::Running);
        let key = self.container.clone().filter(|_| wanted)?;
        let (name, number) = (self.launch.name.clone(), Some(self.launch.number));
        Some(Found { key, name, number, owner: Owner::Balancer })
    }
}
