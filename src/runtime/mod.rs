//! How a replica comes to exist: the seam between the supervisor and whatever runs replicas.
//!
//! A [`Runtime`] never blocks and never decides: `start` and `stop` return at once, what became
//! of them arrives as [`RuntimeEvent`]s on the channel the runtime was built with. It knows
//! nothing of the ring, of health, or of numbers beyond handing them to the replica.

#[cfg(any(test, feature = "test-util"))]
pub mod fake;
pub mod fixed;
pub mod process;

use std::fmt;
use std::net::SocketAddr;

pub use fixed::Fixed;
pub use process::Process;

/// One incarnation of a replica; never used twice within a process of the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(pub u64);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
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
    /// `host:port` of a replica that already exists elsewhere (`fixed` runtime only).
    pub endpoint: Option<String>,
}

/// What happened to a replica, as its runtime saw it.
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
    /// It could not be started; nothing of it is left behind.
    StartFailed {
        /// Which replica.
        id: ReplicaId,
        /// What failed, on what, and what to do.
        reason: String,
    },
    /// It is gone, asked for or not.
    Exited {
        /// Which replica.
        id: ReplicaId,
        /// Exit status or signal, in words.
        reason: String,
    },
}

/// Where runtimes report to.
pub type RuntimeEvents = tokio::sync::mpsc::UnboundedSender<RuntimeEvent>;

/// Starts and stops replicas. One call, at least one event: see [`RuntimeEvent`].
pub trait Runtime {
    /// Name of the kind, as in `--runtime`.
    fn kind(&self) -> &'static str;

    /// Whether replicas live and die with the balancer: only then are dead ones replaced.
    fn owns_replicas(&self) -> bool;

    /// Starts a replica; answers with `Started` or `StartFailed`, later `Exited`.
    fn start(&self, launch: Launch);

    /// Stops a replica, gently first; answers with `Exited`, also if neither `Started` nor
    /// `StartFailed` was sent before, and then with that alone. Unknown ids are ignored.
    fn stop(&self, id: ReplicaId);
}
