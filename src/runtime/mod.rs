//! How a replica comes to exist: the seam between the supervisor and whatever runs replicas.
//!
//! A [`Runtime`] never blocks and never decides: `start` and `stop` return at once, what became
//! of them arrives as [`RuntimeEvent`]s on the channel the runtime was built with. It knows
//! nothing of the ring, of health, or of numbers beyond handing them to the replica.

pub mod docker;
pub mod engine;
#[cfg(any(test, feature = "test-util"))]
pub mod fake;
pub mod fixed;
pub mod process;
mod remote;
pub mod swarm;

use std::fmt;
use std::net::SocketAddr;

pub use fixed::Fixed;
pub use process::Process;
pub use remote::Remote;

/// One incarnation of a replica; never used twice within a process of the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(pub u64);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Who keeps a replica alive, which decides what may be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This balancer: it starts the replica, replaces it when it dies, and stops it.
    Balancer,
    /// An orchestrator, on request of this balancer or of another one that shares the pool. It is
    /// created and removed through the admin API of any of them; the orchestrator moves and
    /// restarts it.
    Orchestrator,
    /// Others. It is added and removed through the admin API, but never started or stopped.
    Others,
    /// Others. It is on the ring for as long as it runs, and cannot be added or removed here.
    Discovered,
}

impl Owner {
    /// Whether a dead replica is replaced by this balancer.
    pub fn is_balancer(self) -> bool {
        self == Self::Balancer
    }

    /// Whether replicas are made for an `/add`, and end when they are removed.
    pub fn makes_replicas(self) -> bool {
        matches!(self, Self::Balancer | Self::Orchestrator)
    }
}

/// What a runtime needs to know to start one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Identity in all later events.
    pub id: ReplicaId,
    /// Name shown to the user and given to the replica.
    pub name: String,
    /// Number on the ring.
    pub number: u32,
    /// Where the replica exists already: the [`Found::key`] it was found by, or the `host:port`
    /// of a replica of the `fixed` runtime. It is then taken over instead of being made.
    pub existing: Option<String>,
}

impl Launch {
    /// One word of a replica's command, with `{port}`, `{number}` and `{name}` replaced. The name
    /// comes last, and so is never searched itself.
    pub fn fill_in(&self, word: &str, port: u16) -> String {
        word.replace("{port}", &port.to_string())
            .replace("{number}", &self.number.to_string())
            .replace("{name}", &self.name)
    }
}

/// A replica that exists without this process having started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the runtime knows it by; unique within an inventory, and the same in the next one.
    /// With [`Owner::Orchestrator`] it is the name.
    pub key: String,
    /// Name shown to the user; need not be one that `/add` would take.
    pub name: String,
    /// Number on the ring, where one is kept with the replica; unique within an inventory.
    pub number: Option<u32>,
    /// Who keeps it alive.
    pub owner: Owner,
}

/// What happened to a replica, as its runtime saw it, or to the runtime itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// It runs and listens at `address`; nothing is said about its health yet.
    Started {
        /// Which replica.
        id: ReplicaId,
        /// Where it takes requests.
        address: SocketAddr,
        /// What an operator knows it by, such as `pid 4711`.
        instance: String,
    },
    /// It could not be started. What may be left of it is the runtime's to remove.
    StartFailed {
        /// Which replica.
        id: ReplicaId,
        /// What failed, on what, and what to do.
        reason: String,
    },
    /// It takes no requests any more, asked for or not. After a stop it is gone.
    Exited {
        /// Which replica.
        id: ReplicaId,
        /// Exit status or signal, in words.
        reason: String,
    },
    /// Somebody else has told it to end: it may still answer, but not for long.
    Ending {
        /// Which replica.
        id: ReplicaId,
        /// What it was told, in words.
        reason: String,
    },
    /// Something about it looks wrong; a heartbeat will tell.
    Suspect(ReplicaId),
    /// The number it was launched with was taken by another balancer; it has this one. Comes
    /// before `Started`.
    Numbered {
        /// Which replica.
        id: ReplicaId,
        /// Its number on the ring from now on.
        number: u32,
    },
    /// All replicas of this pool that exist. The first one ends the wait of a runtime that
    /// [lists](Runtime::lists); later ones tell of those that others keep.
    Inventory(Vec<Found>),
    /// Replicas can neither be started nor stopped, and nothing is known of those that run. Sent
    /// once, until `Available`.
    Unavailable {
        /// What does not answer, and what to do.
        reason: String,
    },
    /// They can again, and all that happened meanwhile has been told.
    Available,
}

/// Where runtimes report to.
pub type RuntimeEvents = tokio::sync::mpsc::UnboundedSender<RuntimeEvent>;

/// Starts and stops replicas. One call, at least one event: see [`RuntimeEvent`].
pub trait Runtime {
    /// Name of the kind, as in `--runtime`.
    fn kind(&self) -> &'static str;

    /// Who keeps the replicas that an `/add` brings.
    fn owner(&self) -> Owner;

    /// Whether replicas may exist already, so that nothing is started before the first
    /// [`RuntimeEvent::Inventory`].
    fn lists(&self) -> bool {
        false
    }

    /// Starts a replica; answers with `Started` or `StartFailed`, later `Exited`.
    fn start(&self, launch: Launch);

    /// A replica has left the ring here and finishes its requests; [`Runtime::stop`] follows.
    /// Where others share it, they are told. Not answered.
    fn retire(&self, _id: ReplicaId) {}

    /// Stops a replica, gently first; answers with `Exited`, also if neither `Started` nor
    /// `StartFailed` was sent before, and then with that alone. Unknown ids are ignored. A
    /// replica that others keep is only forgotten.
    fn stop(&self, id: ReplicaId);

    /// Ends a replica at once, as a crash would: what it was doing is lost. Asked of replicas that
    /// this balancer keeps, while they run; answered with `Exited`. Unknown ids are ignored.
    fn kill(&self, id: ReplicaId) {
        self.stop(id);
    }
}
