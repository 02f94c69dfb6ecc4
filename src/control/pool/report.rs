//! What the pool tells about its members, for the view.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Pool;
use super::members::Instance;
use super::members::Member;
use crate::control::State;
use crate::runtime::{ReplicaId, Revision};

/// One member: on the ring, or about to take its place there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberReport {
    /// Its number.
    pub number: u32,
    /// Name of the instance that fills it, or that will.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// Why it is not ready; empty when it is.
    pub note: String,
    /// How many of its number have failed in a row.
    pub failures: u32,
    /// 0 to 100.
    pub weight: u8,
    /// The weight it had when it was given 0.
    pub drained_from: Option<u8>,
    /// What it runs, or will.
    pub revision: Arc<Revision>,
    /// The incarnation that lives, if one does.
    pub id: Option<ReplicaId>,
    /// Where it takes requests, once known.
    pub address: Option<SocketAddr>,
    /// What an operator knows it by, once known.
    pub label: Option<String>,
}

impl Pool {
    /// The members in ascending number. Neither replicas of an unfinished `/add` nor those that
    /// leave.
    pub fn members(&self) -> impl Iterator<Item = MemberReport> + '_ {
        self.members.iter().filter_map(|(number, member)| self.report(number, member))
    }

    /// How many replicas there are: members, those of an unfinished `/add`, and those that leave.
    pub fn present(&self) -> usize {
        self.members.len() + self.members.beside_len() + self.departures.len()
    }

    /// All numbers in use, also those of an unfinished `/add`.
    pub fn numbers(&self) -> Vec<u32> {
        self.members.numbers()
    }

    /// The member of a number, if it is one.
    pub fn member(&self, number: u32) -> Option<MemberReport> {
        self.report(number, self.members.get(number)?)
    }

    fn report(&self, number: u32, member: &Member) -> Option<MemberReport> {
        let instance = member.instance();
        member.is_full().then(|| MemberReport {
            number,
            name: member.name().to_owned(),
            state: if self.is_stopping() { State::Stopped } else { member.state() },
            note: member.reason(),
            failures: member.backoff.failures(),
            weight: member.weight,
            drained_from: member.drained_from,
            revision: Arc::clone(&member.revision),
            id: instance.map(Instance::id),
            address: instance.and_then(|instance| instance.address),
            label: instance.and_then(|instance| instance.label.clone()),
        })
    }

    /// Numbers of the members of which [`Pool::member`] may tell something else than at the last
    /// call; `None` if neither they nor anything else has changed.
    pub fn take_changed(&mut self) -> Option<Vec<u32>> {
        let numbers = self.members.take_changed();
        (std::mem::take(&mut self.changed) || !numbers.is_empty()).then_some(numbers)
    }

    /// Whether [`Request::Stop`](crate::control::Request::Stop) was taken in.
    pub fn is_stopping(&self) -> bool {
        self.end.has_begun()
    }

    /// Whether that is done: no replica is left.
    pub fn is_stopped(&self) -> bool {
        // What is not known yet may have to be stopped too.
        let unlisted =
            self.inventory.unlisted && self.runtime.owner.is_balancer() && !self.config.keep_on_stop;
        self.is_stopping() && self.departures.is_empty() && !unlisted
    }
}
