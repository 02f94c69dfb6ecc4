//! What the pool is told and what it answers with. Plain data: an event never asks back, and an
//! action never reports by itself; what became of it comes as a later event.

use std::net::SocketAddr;

use crate::cluster::Routing;
use crate::control::{Add, ControlConfig, ControlError, Remove, RingChange, Transition};
use crate::ring::{Node, Params};
use crate::runtime::{Launch, ReplicaId, RuntimeEvent};

/// Identifies one command; its answer carries the same ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Start more replicas.
    Add(Ticket, Add),
    /// Take replicas off the ring.
    Remove(Ticket, Remove),
    /// Set the weight (0 to 100) of the named replica.
    SetWeight(Ticket, String, u8),
    /// End the named replica at once.
    Kill(Ticket, String),
    /// Build another ring, or hash another key.
    ChangeRing(Ticket, RingChange),
    /// Take over a re-read configuration.
    Reload(Ticket, Box<ControlConfig>),
    /// A stop is coming: changes are refused from now on, and unfinished ones given up.
    PrepareStop,
    /// Stop all replicas and heal no more.
    Stop(Ticket),
    /// What the runtime tells of a replica.
    Runtime(RuntimeEvent),
    /// The heartbeat asked for by [`Action::Check`] was answered well.
    HeartbeatGood(ReplicaId),
    /// It was not.
    HeartbeatBad {
        /// Which replica.
        id: ReplicaId,
        /// What was wrong.
        reason: String,
    },
    /// It could not be sent, for want of something on this machine: no verdict on the replica.
    HeartbeatUnsent {
        /// Which replica.
        id: ReplicaId,
        /// What was wanting.
        reason: String,
    },
    /// A request failed at a replica.
    RequestFailed(ReplicaId),
    /// Nothing can reach a replica that leaves any more, and it answers no request.
    Drained(ReplicaId),
    /// The time that [`Pool::next_deadline`](super::Pool::next_deadline) named has come.
    Tick,
}

/// Something to do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start a replica.
    Start(Launch),
    /// Stop a replica.
    Stop(ReplicaId),
    /// End a replica at once, as a crash would; nothing else changes before it is gone.
    Kill(ReplicaId),
    /// Send one heartbeat now. Not asked again for the same replica before it is answered.
    Check(Probe),
    /// Let requests go to a replica on the ring, or not. A replica is up when it enters.
    SetUp(ReplicaId, bool),
    /// Publish a new snapshot.
    Publish(Publication),
    /// Watch a replica that was unpublished by the last [`Action::Publish`] until no request
    /// can reach it, then send [`Event::Drained`]. Called off by [`Action::Stop`].
    Drain(ReplicaId),
    /// Answer a command. Each ticket is answered exactly once.
    Reply(Ticket, Result<(), ControlError>),
    /// Tell about a change of state.
    Note(Change),
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
    pub host: String,
}

/// What a snapshot is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Parameters of the ring.
    pub params: Params,
    /// Key and bound.
    pub routing: Routing,
    /// All that are on the ring, in ascending number.
    pub members: Vec<MemberSpec>,
}

impl Publication {
    /// What the ring is built from, besides the parameters.
    pub fn nodes(&self) -> Vec<Node> {
        self.members.iter().map(|member| Node { number: member.number, weight: member.weight }).collect()
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
