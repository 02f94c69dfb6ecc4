//! Where an instance takes requests, if that may be one of several addresses: those of a host name, or
//! both loopback addresses for a program that says nothing of where it listens.
//!
//! Heartbeats find the one that responds. While none has, each is tried in turn.

use std::net::SocketAddr;
use std::time::Instant;

use super::members::Phase;
use super::{Action, Pool};
use crate::runtime::{Owner, ReplicaId};

/// Most addresses of one replica that are tried.
const MOST: usize = 16;

/// The addresses at which an instance may be.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    /// Empty where there is only the one that it was started with.
    all: Vec<SocketAddr>,
    /// What was wrong with those that were tried in this round.
    failed: Vec<String>,
}

impl Addresses {
    /// Takes over what the runtime knows.
    fn set(&mut self, mut all: Vec<SocketAddr>) {
        all.truncate(MOST);
        self.all = all;
        self.failed.clear();
    }

    /// Where the next heartbeat goes after one to `last`.
    pub(super) fn after(&self, last: SocketAddr) -> SocketAddr {
        let gone = !self.all.contains(&last);
        self.all.first().copied().filter(|_| gone).unwrap_or(last)
    }

    /// Somebody responded.
    pub(super) fn responded(&mut self) {
        self.failed.clear();
    }

    /// Nobody responded at `address`. Returns the address to try next; and what was wrong with all of
    /// them, once each was tried.
    pub(super) fn failed(&mut self, address: SocketAddr, reason: String) -> (SocketAddr, Option<String>) {
        self.failed.push(reason);
        let at = self.all.iter().position(|&other| other == address);
        let next = at.map_or(address, |at| self.all[(at + 1) % self.all.len()]);
        let tried_all = self.failed.len() >= self.all.len();
        let reasons = tried_all.then(|| std::mem::take(&mut self.failed).join("; "));
        (next, reasons)
    }
}

impl Pool {
    /// The runtime knows where an instance may be. The one in use stays until another has responded.
    pub(super) fn located(&mut self, id: ReplicaId, addresses: Vec<SocketAddr>) {
        if let Some(instance) = self.members.of_mut(id).and_then(|(_, member)| member.instance_mut()) {
            instance.addresses.set(addresses);
        }
    }

    /// Has the runtime look again where an instance of others is, unless requests go to it.
    pub(super) fn locate_unready(&mut self, number: u32) {
        let Some(member) = self.members.get(number).filter(|member| member.owner() == Owner::Others) else {
            return;
        };
        let unready = member.instance().filter(|instance| !matches!(instance.phase, Phase::Ready(_)));
        self.out.extend(unready.map(|instance| Action::Locate(instance.id())));
    }

    /// The same for all of them, and at once: somebody has reason to believe that they moved.
    pub(super) fn locate_all(&mut self, now: Instant) {
        for number in self.members.numbers() {
            let Some(member) = self.members.get_mut(number).filter(|member| member.owner() == Owner::Others)
            else {
                continue;
            };
            match member.instance().map(super::members::Instance::id) {
                Some(id) => self.out.push(Action::Locate(id)),
                None => member.retry_at = member.retry_at.map(|at| at.min(now)),
            }
        }
    }

    /// A listed replica has responded: if that was at another address, requests go there from now on.
    /// Returns whether it was.
    pub(super) fn follow_address(&mut self, number: u32) -> bool {
        let Some(member) = self.members.get_mut(number).filter(|member| member.is_listed()) else {
            return false;
        };
        let address = member.instance().and_then(|instance| instance.address);
        let (Some(address), Some(listed)) = (address, member.listed.as_mut()) else { return false };
        if listed.address == address {
            return false;
        }
        listed.address = address;
        self.members.show(number);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses<const N: usize>(ports: [u16; N]) -> [SocketAddr; N] {
        ports.map(|port| ([127, 0, 0, 1], port).into())
    }

    #[test]
    fn each_is_tried_in_turn_and_all_reasons_are_told() {
        let [a, b, c] = addresses([1, 2, 3]);
        let mut three = Addresses::default();
        three.set(vec![a, b, c]);
        for _ in 0..2 {
            assert_eq!(three.failed(b, "b".into()), (c, None));
            assert_eq!(three.failed(c, "c".into()), (a, None));
            assert_eq!(three.failed(a, "a".into()), (b, Some("b; c; a".into())));
        }
    }

    #[test]
    fn a_single_address_stays() {
        let [a, b] = addresses([1, 2]);
        let mut one = Addresses::default();
        assert_eq!((one.after(a), one.failed(a, "a".into())), (a, (a, Some("a".into()))));
        one.set(vec![b]);
        assert_eq!((one.after(a), one.after(b)), (b, b), "what is no address of it any more is left");
    }
}
