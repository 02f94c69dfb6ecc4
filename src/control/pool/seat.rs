//! What the pool remembers: seats (one for each number in use), the replicas on them, and those
//! that leave. Only records; what happens to them is decided elsewhere.

use std::net::SocketAddr;
use std::time::Instant;

use super::action::{Change, MemberSpec, Probe, Ticket};
use super::backoff::{Backoff, SETTLED};
use super::checks::Checks;
use crate::control::{ExitCause, State, Transition, name};
use crate::ring::MAX_WEIGHT;
use crate::runtime::{Found, Owner, ReplicaId};

/// A number in use and what it is for. It outlives the replicas that fill it one after another.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    /// Name of the replica that fills it, or that will.
    pub(super) name: String,
    /// 0 to 100.
    pub(super) weight: u8,
    /// Who keeps its replica alive.
    pub(super) owner: Owner,
    /// Where the replica exists already: what the runtime knows it by, or its `host:port`.
    pub(super) existing: Option<String>,
    /// The unfinished `/add` it belongs to; members have none.
    pub(super) batch: Option<Ticket>,
    /// Who is published under the number. It may be dead: then it is down, and keeps the place
    /// for its replacement so that the ring stays as it is.
    pub(super) placed: Option<Placed>,
    /// The replica that lives or is being started; `None` until `retry_at`.
    pub(super) current: Option<Replica>,
    /// When the next replica may be started.
    pub(super) retry_at: Option<Instant>,
    /// How often that went wrong.
    pub(super) backoff: Backoff,
    /// How the replica before the current one ended; empty once it is replaced.
    pub(super) note: String,
    /// What it died of, if its successor is ours to start.
    pub(super) cause: Option<ExitCause>,
}

/// Who holds a number on the ring.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) id: ReplicaId,
    pub(super) name: String,
    pub(super) address: SocketAddr,
}

/// One incarnation.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    pub(super) id: ReplicaId,
    pub(super) address: Option<SocketAddr>,
    pub(super) instance: Option<String>,
    pub(super) launched: Instant,
    /// When it was running, as far as the runtime knows.
    pub(super) started: Option<Instant>,
    pub(super) phase: Phase,
    pub(super) checks: Checks,
    /// What was wrong with the last heartbeat; empty if nothing was.
    pub(super) last_bad: String,
}

/// Where a living replica is in its life, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No good heartbeat yet.
    Starting,
    /// The last heartbeats were good.
    Ready(Instant),
    /// They were not.
    Ejected(Instant),
}

/// A replica that has no seat any more.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    /// Who keeps it alive.
    pub(super) owner: Owner,
    /// What the runtime knows it by, where it was found.
    pub(super) key: Option<String>,
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) address: Option<SocketAddr>,
    /// Until when it may finish its requests; `None` once it is being stopped.
    pub(super) drains_until: Option<Instant>,
}

impl Seat {
    pub(super) fn new(name: String, owner: Owner, existing: Option<String>, batch: Option<Ticket>) -> Self {
        Self {
            name,
            weight: MAX_WEIGHT,
            owner,
            existing,
            batch,
            placed: None,
            current: None,
            retry_at: None,
            backoff: Backoff::default(),
            note: String::new(),
            cause: None,
        }
    }

    /// Whether it counts as one of the replicas: not while its `/add` is unfinished.
    pub(super) fn is_member(&self) -> bool {
        self.batch.is_none()
    }

    /// Whether its replica is the one that was found.
    pub(super) fn is_of(&self, found: &Found) -> bool {
        if self.owner != found.owner {
            return false;
        }
        match (self.owner, &self.existing) {
            // An orchestrator knows a replica by its name, and names are the same that look alike.
            (Owner::Orchestrator, existing) => {
                let key = existing.as_ref().unwrap_or(&self.name);
                *key == found.key || name::fold(key) == name::fold(&found.key)
            }
            (_, existing) => existing.as_ref() == Some(&found.key),
        }
    }

    /// What the runtime will know the replica by that is being made, where that is certain.
    fn key_to_be(&self) -> Option<String> {
        (self.owner == Owner::Orchestrator).then(|| self.name.clone())
    }

    /// Whether the replica that lives is the one on the ring.
    pub(super) fn is_placed(&self) -> bool {
        match (&self.placed, &self.current) {
            (Some(placed), Some(replica)) => placed.id == replica.id,
            _ => false,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.current.as_ref().is_some_and(|replica| matches!(replica.phase, Phase::Ready(_)))
    }

    pub(super) fn state(&self) -> State {
        self.current.as_ref().map_or(State::Starting, |replica| match replica.phase {
            Phase::Starting => State::Starting,
            Phase::Ready(_) => State::Ready,
            Phase::Ejected(_) => State::Ejected,
        })
    }

    /// Puts the living replica on the ring under the seat's number.
    pub(super) fn place(&mut self) {
        let Some(Replica { id, address: Some(address), .. }) = self.current else { return };
        self.placed = Some(Placed { id, name: self.name.clone(), address });
        self.note.clear();
        self.cause = None;
    }

    /// What is published under `number`, if anything.
    pub(super) fn spec(&self, number: u32) -> Option<MemberSpec> {
        let Placed { id, name, address } = self.placed.clone()?;
        Some(MemberSpec { id, name, number, weight: self.weight, address })
    }

    /// The heartbeat to send, if one is due.
    pub(super) fn take_due_check(&mut self, now: Instant) -> Option<Probe> {
        let replica = self.current.as_mut()?;
        let address = replica.address?;
        // Who listed a replica by a name expects to be called by it.
        let listed = self.existing.clone().filter(|_| self.owner == Owner::Others);
        let host = || listed.unwrap_or_else(|| address.to_string());
        replica.checks.take_due(now).then(|| Probe { id: replica.id, address, host: host() })
    }

    /// What was wrong with the last heartbeat, as the end of a sentence.
    pub(super) fn last_bad(&self) -> String {
        let bad = self.current.as_ref().map_or("", |replica| &replica.last_bad);
        if bad.is_empty() { String::new() } else { format!(": {bad}") }
    }

    /// Why it is not ready; empty when it is.
    pub(super) fn reason(&self) -> String {
        let bad = self.current.as_ref().map_or("", |replica| &replica.last_bad);
        match (self.is_ready(), self.note.is_empty(), bad.is_empty()) {
            (true, ..) => String::new(),
            (false, true, _) => bad.to_owned(),
            (false, false, true) => self.note.clone(),
            (false, false, false) => format!("{}; now {bad}", self.note),
        }
    }

    /// The record to keep of its replica when it leaves.
    pub(super) fn leaving(&self, number: u32) -> Option<(ReplicaId, Leaving)> {
        let &Replica { id, address, .. } = self.current.as_ref()?;
        let name = self.name.clone();
        let key = self.existing.clone().or_else(|| self.key_to_be());
        Some((id, Leaving { owner: self.owner, key, name, number, address, drains_until: None }))
    }

    /// The change of state to tell about.
    pub(super) fn change(&self, number: u32, transition: Transition, reason: &str) -> Change {
        Change {
            name: self.name.clone(),
            number,
            id: self.current.as_ref().map(|replica| replica.id),
            transition,
            address: self.current.as_ref().and_then(|replica| replica.address),
            reason: reason.to_owned(),
        }
    }
}

impl Replica {
    pub(super) fn new(id: ReplicaId, launched: Instant) -> Self {
        Self {
            id,
            address: None,
            instance: None,
            launched,
            started: None,
            phase: Phase::Starting,
            checks: Checks::default(),
            last_bad: String::new(),
        }
    }

    /// Whether it has been ready for so long that its end is no failure to start.
    pub(super) fn has_settled(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Ready(since) if now >= since + SETTLED)
    }
}

impl Leaving {
    pub(super) fn change(&self, id: ReplicaId, transition: Transition, reason: &str) -> Change {
        Change {
            name: self.name.clone(),
            number: self.number,
            id: Some(id),
            transition,
            address: self.address,
            reason: reason.to_owned(),
        }
    }
}
