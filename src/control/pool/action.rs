//! What the pool is told and what it answers with. Plain data: an event never asks back, and an
//! action never reports by itself; what became of it comes as a later event.

use std::net::SocketAddr;
use std::sync::Arc;

use super::deploys::DeploySample;
use super::success_rate::Sample;
use crate::cluster::{Routing, Standing};
use crate::control::{ControlError, DeployView, Request, Transition};
use crate::ring::{Node, Params};
use crate::runtime::{Launch, ReplicaId, Revision, RuntimeEvent};

/// Identifies one request; its response carries the same ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Counts the publications that were asked for; each contains all that came before.
pub type Version = u64;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody asks for a change.
    Request(Ticket, Request),
    /// What the runtime tells of a replica.
    Runtime(RuntimeEvent),
    /// The heartbeat asked for by [`Action::Check`] has ended.
    Heartbeat(ReplicaId, Verdict),
    /// A request failed at a replica.
    RequestFailed(ReplicaId),
    /// So many requests in a row have failed at a replica.
    RequestsFailed {
        /// Which replica.
        id: ReplicaId,
        /// How many.
        streak: u32,
        /// What happened to the last one, in words.
        last: &'static str,
    },
    /// A request of the trial of a half-open replica has ended.
    TrialEnded {
        /// Which replica.
        id: ReplicaId,
        /// Whether it did not fail.
        went_well: bool,
    },
    /// How requests went over the last window, at all replicas on the ring.
    SuccessRates(Vec<Sample>),
    /// What was counted at the replicas on the ring since each came.
    DeploySamples(Vec<(ReplicaId, DeploySample)>),
    /// What was asked for by [`Action::Publish`] up to this version is in force.
    Published(Version),
    /// Nothing can reach a replica that leaves any more, and it answers no request.
    Drained(ReplicaId),
    /// The time that [`Pool::next_deadline`](super::Pool::next_deadline) named has come.
    Tick,
}

/// What a heartbeat tells of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is well.
    Good,
    /// It is not, and why.
    Bad(String),
    /// Nobody responded at its address, and why; another address may be its own.
    NoAnswer(String),
    /// Nothing, and why: the heartbeat could not be sent, or was not looked at in time.
    Unknown(String),
}

/// Something to do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Find what replicas of the revision of a deploy need; [`RuntimeEvent::Prepared`] follows.
    Prepare {
        /// The deploy.
        deploy: u64,
        /// What it is to bring.
        revision: Arc<Revision>,
    },
    /// Nobody waits for [`RuntimeEvent::Prepared`] any more.
    CancelPreparation,
    /// Start a replica.
    Start(Launch),
    /// Stop a replica.
    Stop(ReplicaId),
    /// End a replica at once, as a crash would; nothing else changes before it is gone.
    Kill(ReplicaId),
    /// Send one heartbeat now. Not asked again for the same replica before it has ended.
    Check(Probe),
    /// Look again where a replica is.
    Locate(ReplicaId),
    /// Let requests go to a replica on the ring, or not. A replica is up when it enters.
    SetUp(ReplicaId, bool),
    /// What real requests say of a replica on the ring: whether it gets more. Beside
    /// [`Action::SetUp`]: it is picked only if both allow it. Good when it enters.
    SetStanding(ReplicaId, Standing),
    /// Publish a snapshot of [`Pool::publication`](super::Pool::publication) as it then is, and
    /// send [`Event::Published`]. This may take a while; until then a later one may replace it.
    Publish {
        /// Which of those that were asked for.
        version: Version,
        /// Whether a replica takes over the number of another on the ring: that waits for no ring.
        heals: bool,
    },
    /// Watch a replica that the snapshot in force does not list any more until no request can
    /// reach it, then send [`Event::Drained`]. Called off by [`Action::Stop`] and [`Action::Forget`].
    Drain(ReplicaId),
    /// Tell other balancers that a replica is about to be stopped ([`Runtime::retire`](crate::runtime::Runtime::retire)).
    Retire(ReplicaId),
    /// Tell them that nobody serves its number until it runs another revision
    /// ([`Runtime::vacate`](crate::runtime::Runtime::vacate)).
    Vacate(ReplicaId),
    /// Tell them that it has the number of the one beside it
    /// ([`Runtime::take_number`](crate::runtime::Runtime::take_number)).
    TakeNumber(ReplicaId),
    /// Let go of a replica that runs on ([`Runtime::forget`](crate::runtime::Runtime::forget)).
    Forget(ReplicaId),
    /// Answer a request. Each ticket is answered exactly once.
    Reply(Ticket, Result<(), ControlError>),
    /// Tell about a change of state.
    Note(Change),
    /// Tell how far a deploy has come.
    TellDeploy(Arc<DeployView>),
    /// Tell that a deploy leaves no replica that takes requests, until the next one is ready.
    Unserved,
    /// Tell that a replica does not become ready.
    Unready {
        /// Its name.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Tell that a replica stays in the choice although requests fail there: too few others are.
    EjectionRefused {
        /// Its name.
        name: String,
        /// Why it should have been ejected.
        reason: String,
        /// Whether that was not told lately.
        is_news: bool,
    },
    /// Tell that a replica that exists is not taken over.
    Ignored {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
}

/// One heartbeat to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which replica.
    pub id: ReplicaId,
    /// Where to connect.
    pub address: SocketAddr,
    /// What to call it in the `Host` header.
    pub host: Arc<str>,
}

/// What a snapshot is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Which of those that were asked for.
    pub version: Version,
    /// Parameters of the ring.
    pub params: Params,
    /// Key and bound.
    pub routing: Routing,
    /// All that are on the ring, in ascending number.
    pub members: Vec<MemberSpec>,
}

impl Publication {
    /// What the ring is built from, besides the parameters.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        self.members.iter().map(|member| Node { number: member.number, weight: member.weight })
    }
}

/// One replica on the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSpec {
    /// Which incarnation holds the number.
    pub id: ReplicaId,
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// 0 to 100.
    pub weight: u8,
    /// Where it takes requests.
    pub address: SocketAddr,
    /// What it is called, with its port.
    pub host: Arc<str>,
    /// Whether requests may go to it at this moment.
    pub up: bool,
}

/// One change of state, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Name of the replica.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// Which incarnation; `None` when there is none at the moment.
    pub id: Option<ReplicaId>,
    /// What happened.
    pub transition: Transition,
    /// Where it takes requests, once known.
    pub address: Option<SocketAddr>,
    /// Why, in words; may be empty.
    pub reason: String,
}
