//! What the pool tells about its members, for the view.

use std::net::SocketAddr;

use super::Pool;
use crate::control::State;
use crate::runtime::ReplicaId;

/// One member: on the ring, or about to take its place there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberReport {
    /// Its number.
    pub number: u32,
    /// Name of the replica that fills the seat, or that will.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// Why it is not ready; empty when it is.
    pub note: String,
    /// How many of its number have failed in a row.
    pub failures: u32,
    /// 0 to 100.
    pub weight: u8,
    /// The incarnation that lives, if one does.
    pub id: Option<ReplicaId>,
    /// Where it takes requests, once known.
    pub address: Option<SocketAddr>,
    /// What an operator knows it by, once known.
    pub instance: Option<String>,
}

impl Pool {
    /// The members in ascending number. Neither replicas of an unfinished `/add` nor those that
    /// leave.
    pub fn members(&self) -> impl Iterator<Item = MemberReport> + '_ {
        self.seats.iter().filter(|(_, seat)| seat.is_member()).map(|(&number, seat)| {
            let replica = seat.current.as_ref();
            MemberReport {
                number,
                name: seat.name.clone(),
                state: if self.is_stopping() { State::Stopped } else { seat.state() },
                note: seat.reason(),
                failures: seat.backoff.failures(),
                weight: seat.weight,
                id: replica.map(|replica| replica.id),
                address: replica.and_then(|replica| replica.address),
                instance: replica.and_then(|replica| replica.instance.clone()),
            }
        })
    }

    /// Whether [`Event::Stop`](super::Event::Stop) was taken in.
    pub fn is_stopping(&self) -> bool {
        self.stop_began.is_some()
    }

    /// Whether that is done: no replica is left.
    pub fn is_stopped(&self) -> bool {
        // What is not known yet may have to be stopped too.
        let unlisted = self.unlisted && self.runtime.owner.is_balancer() && !self.config.keep_on_stop;
        self.is_stopping() && self.leaving.is_empty() && !unlisted
    }
}
