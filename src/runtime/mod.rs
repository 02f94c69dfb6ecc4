//! How replicas are run: the interface between the supervisor and what starts and stops replicas.
//!
//! A [`Runtime`] never blocks and never decides: `start` and `stop` return at once, and the outcome
//! arrives as [`RuntimeEvent`]s on the channel that the runtime was built with. It knows nothing of
//! the ring or of health; numbers are only passed on to replicas.

pub mod docker;
pub mod engine;
mod exit;
#[cfg(any(test, feature = "test-util"))]
pub mod fake;
pub mod fixed;
mod handle;
pub mod output;
pub mod process;
mod revision;
pub mod swarm;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

pub use fixed::Fixed;
pub use handle::RuntimeHandle;
pub use process::Process;
pub use revision::Revision;

pub use crate::replica::StopSignal;

/// Id of one incarnation of a replica; unique in the process of the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(pub u64);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Who keeps a replica alive, and so what the balancer may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// This balancer: it starts the replica, replaces it when it dies, and stops it.
    Balancer,
    /// An orchestrator, on request of this balancer or of another one that shares the pool. It is
    /// created and removed through the admin API of any of them; the orchestrator moves and
    /// restarts it.
    Orchestrator,
    /// Somebody else. It is added and removed through the admin API, but never started or stopped.
    Others,
    /// Somebody else. It is on the ring while it runs, and cannot be added or removed through the
    /// admin API.
    Discovered,
}

impl Owner {
    /// Whether a dead replica is replaced by this balancer.
    pub fn is_balancer(self) -> bool {
        self == Self::Balancer
    }

    /// Whether `/add` starts replicas and `/rm` ends them.
    pub fn makes_replicas(self) -> bool {
        matches!(self, Self::Balancer | Self::Orchestrator)
    }
}

/// What a runtime needs to know to start one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Id of the replica in all events.
    pub id: ReplicaId,
    /// Name shown to the user and given to the replica.
    pub name: String,
    /// Number on the ring.
    pub number: u32,
    /// The replica exists already: its [`Found::key`], or its `host:port` in the `fixed` runtime. It is
    /// adopted and not started.
    pub existing: Option<String>,
    /// What it runs, where it is started.
    pub revision: Arc<Revision>,
    /// Of a replica that is started beside another one of its number, to take its place: the revision of that one,
    /// as it is [shown](Revision::shown). With [`existing`](Self::existing), which only an orchestrator has both of: it
    /// ran that revision, and is to be changed to [`revision`](Self::revision) where it is.
    pub replaces: Option<String>,
}

impl Launch {
    /// A word of a replica's command, with `{port}`, `{number}` and `{name}` replaced. The name is
    /// replaced last, so that placeholders in it are kept.
    pub fn fill_in(&self, word: &str, port: u16) -> String {
        word.replace("{port}", &port.to_string())
            .replace("{number}", &self.number.to_string())
            .replace("{name}", &self.name)
    }
}

/// A replica that exists already: this process has not started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Key by which the runtime knows it; unique in an inventory, and the same in later ones. The name
    /// with [`Owner::Orchestrator`].
    pub key: String,
    /// Name shown to the user; it need not be valid for `/add`.
    pub name: String,
    /// Number on the ring, if one is stored with the replica; unique in an inventory.
    pub number: Option<u32>,
    /// Who keeps it alive.
    pub owner: Owner,
    /// Name of the revision it runs, if one is stored with it; empty for the one without a name.
    pub revision: String,
    /// Whether it is the one that serves its number.
    pub place: Place,
}

/// What a replica that was found is to its number. Only an orchestrator's replicas are ever anything but holders: there
/// other balancers may have a deploy under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Place {
    /// It serves the number.
    #[default]
    Holder,
    /// It stands beside the holder of a number, to take its place or to take it back. It has no number itself.
    Beside,
    /// It has the number, and serves it no more, or not yet: it is about to run another revision.
    Vacant,
}

/// What happened to a replica, or to the runtime itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// It runs and will listen at `address`; its health is not known yet.
    Started {
        /// Which replica.
        id: ReplicaId,
        /// Where it takes requests.
        address: SocketAddr,
        /// How an operator finds it, such as `pid 4711`.
        instance: String,
    },
    /// It does not run yet; that is tried on. Sent again if the reason changes.
    Delayed {
        /// Which replica.
        id: ReplicaId,
        /// What holds it up, and what to do; empty if nothing is known to do so any more.
        reason: String,
    },
    /// It could not be started, and nothing of it runs any more. The runtime removes what is left of it.
    StartFailed {
        /// Which replica.
        id: ReplicaId,
        /// What failed, on what, and what to do.
        reason: String,
    },
    /// It takes no requests any more, whether it was stopped or not. One that the balancer keeps alive has ended, and
    /// after a stop it is gone.
    Exited {
        /// Which replica.
        id: ReplicaId,
        /// Exit status or signal, in words.
        reason: String,
    },
    /// Somebody else has asked it to end: it may still take requests, but not for long.
    Ending {
        /// Which replica.
        id: ReplicaId,
        /// How it was asked, in words.
        reason: String,
    },
    /// It may take requests at any of these addresses; heartbeats find the one that responds. Sent after
    /// `Started`, where there is more than one, and after [`Runtime::locate`].
    Located {
        /// Which replica.
        id: ReplicaId,
        /// The addresses, at least one, in the order in which they are tried.
        addresses: Vec<SocketAddr>,
    },
    /// It may not be healthy: a heartbeat has to check it.
    Suspect(ReplicaId),
    /// Another balancer has taken the number it was launched with, so it has another one. Sent before
    /// `Started`.
    Numbered {
        /// Which replica.
        id: ReplicaId,
        /// Its number on the ring from now on.
        number: u32,
    },
    /// What was to be [prepared](Runtime::prepare) for a deploy is there, or cannot be had.
    Prepared {
        /// Which deploy.
        deploy: u64,
        /// What failed, on what, and what to do.
        result: Result<(), String>,
    },
    /// All replicas of the pool that exist. A runtime that [lists](Runtime::lists) sends the first one
    /// before the pool starts replicas, and later ones when replicas of others have changed.
    Inventory(Vec<Found>),
    /// Replicas can neither be started nor stopped, and nothing is known about those that run. Not sent
    /// again before `Available`.
    Unavailable {
        /// What does not respond, and what to do.
        reason: String,
    },
    /// Replicas can be started and stopped again. All that happened meanwhile has been sent.
    Available,
}

/// The channel that a runtime reports to.
pub type RuntimeEvents = tokio::sync::mpsc::UnboundedSender<RuntimeEvent>;

/// Starts and stops replicas. Each call causes at least one [`RuntimeEvent`], unless noted.
pub trait Runtime {
    /// Name of the runtime, as in `--runtime`.
    fn kind(&self) -> &'static str;

    /// Who keeps the replicas alive that `/add` adds.
    fn owner(&self) -> Owner;

    /// Whether replicas may exist already, so that the pool starts none before the first
    /// [`RuntimeEvent::Inventory`].
    fn lists(&self) -> bool {
        false
    }

    /// Whether replicas of another revision may need something first that takes its time: see
    /// [`prepare`](Self::prepare).
    fn prepares(&self) -> bool {
        false
    }

    /// Finds, or fetches, what replicas of a revision need, for the deploy with this id. Sends
    /// [`RuntimeEvent::Prepared`], unless it sends [`RuntimeEvent::Unavailable`] first.
    fn prepare(&self, _deploy: u64, _revision: Arc<Revision>) {}

    /// Nobody waits for the end of the last [`prepare`](Self::prepare) any more. Sends no event.
    fn cancel_preparation(&self) {}

    /// Starts a replica. Sends `Started` or `StartFailed`, and `Exited` at its end.
    fn start(&self, launch: Launch);

    /// Looks again where a replica of somebody else is, if that can change. Sends `Located`, unless that
    /// cannot be found out, or was a moment ago.
    fn locate(&self, _id: ReplicaId) {}

    /// A replica has left the ring and finishes its requests; [`Runtime::stop`] follows. Other
    /// balancers that share the replica are told, or find it so after a crash of this one. Sends no event.
    fn retire(&self, _id: ReplicaId) {}

    /// Of two replicas of one number this one has it from now on: one that was [started beside](Launch::replaces) another,
    /// or that other, which takes it back. Other balancers that share the pool are told. Sends no event.
    fn take_number(&self, _id: ReplicaId) {}

    /// A replica of an orchestrator has left the ring and finishes its requests, and then is to run another revision:
    /// [`Runtime::forget`] and a [`Launch`] that [replaces](Launch::replaces) it follow. Other balancers that share it
    /// are told, or find it so after a crash of this one. Sends no event.
    fn vacate(&self, _id: ReplicaId) {}

    /// A replica of an orchestrator is no longer this instance's business. It runs on. Sends no event.
    fn forget(&self, _id: ReplicaId) {}

    /// Stops a replica, gracefully at first. Sends `Exited`; if neither `Started` nor `StartFailed` was
    /// sent before, only that. Unknown ids are ignored. A replica of somebody else is only forgotten.
    fn stop(&self, id: ReplicaId);

    /// Ends a replica at once, as a crash would: its requests are lost. For replicas that run and that
    /// this balancer keeps alive. Sends `Exited`. Unknown ids are ignored.
    fn kill(&self, id: ReplicaId) {
        self.stop(id);
    }
}
