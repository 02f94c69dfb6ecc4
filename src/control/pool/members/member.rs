//! One member and the instance that fills it: records, and what can be told from them alone.
//!
//! What an index depends on can be changed by the index alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use fxhash::FxHashSet;

use crate::cluster::Standing;
use crate::control::pool::action::{Change, MemberSpec, Ticket};
use crate::control::pool::addresses::Addresses;
use crate::control::pool::backoff::{Backoff, SETTLED};
use crate::control::pool::checks::Checks;
use crate::control::pool::outliers::Outlier;
use crate::control::{ExitCause, State, Transition, name};
use crate::ring::MAX_WEIGHT;
use crate::runtime::{Found, Launch, Owner, ReplicaId, Revision};

/// From here on are the numbers of those that stand beside others: beside number 3 it is `BESIDE + 3`. Numbers on
/// the ring are smaller.
pub(in crate::control::pool) const BESIDE: u32 = 1 << 31;

/// The number on the ring that a member has, or stands beside.
pub(in crate::control::pool) fn of_ring(number: u32) -> u32 {
    number & !BESIDE
}

/// A number in use and what it is for. It outlives the instances that fill it one after another.
#[derive(Clone, Debug)]
pub(in crate::control::pool) struct Member {
    /// Name of the instance that fills it, or that will.
    pub(super) name: String,
    /// 0 to 100.
    pub(in crate::control::pool) weight: u8,
    /// The weight it had when it was given 0, for who takes that back.
    pub(in crate::control::pool) drained_from: Option<u8>,
    /// Who keeps its replica alive.
    pub(super) owner: Owner,
    /// Where the replica exists already: what the runtime knows it by, or its `host:port`.
    pub(super) existing: Option<String>,
    /// What its next instance runs, and the one that it started.
    pub(in crate::control::pool) revision: Arc<Revision>,
    /// The revisions in whose place it is to run its own one, until it serves; the last one is that of its incumbent.
    /// Several where that did not serve either: then it is not known which of them an orchestrator runs.
    pub(super) replaces: Vec<Arc<Revision>>,
    /// The unfinished `/add` it belongs to.
    pub(in crate::control::pool) addition: Option<Ticket>,
    /// Whether it stands beside the member of a number, to take its place or to take it back.
    pub(super) is_beside: bool,
    /// Who is published under the number. It may be dead, or have left: then it is down, and keeps the
    /// place for its replacement so that the ring stays as it is.
    pub(in crate::control::pool) listed: Option<Listed>,
    /// The instance that lives or is being started; `None` until `retry_at`.
    pub(super) instance: Option<Instance>,
    /// When the next instance may be started.
    pub(in crate::control::pool) retry_at: Option<Instant>,
    /// How often that went wrong.
    pub(in crate::control::pool) backoff: Backoff,
    /// How the instance before the current one ended; empty once it is replaced.
    pub(in crate::control::pool) note: String,
    /// What it died of, if its successor is ours to start.
    pub(in crate::control::pool) cause: Option<ExitCause>,
}

/// Who holds a number on the ring.
#[derive(Clone, Debug)]
pub(in crate::control::pool) struct Listed {
    pub(in crate::control::pool) id: ReplicaId,
    pub(in crate::control::pool) name: String,
    pub(in crate::control::pool) address: SocketAddr,
    /// What it is called, with its port.
    host: Arc<str>,
    /// Whether a publication that lists it is in force.
    pub(in crate::control::pool) in_force: bool,
}

/// One incarnation of a replica.
#[derive(Clone, Debug)]
pub(in crate::control::pool) struct Instance {
    pub(super) id: ReplicaId,
    /// Where heartbeats go, and requests once one was good.
    pub(in crate::control::pool) address: Option<SocketAddr>,
    pub(in crate::control::pool) addresses: Addresses,
    /// What to call it in the `Host` header of heartbeats.
    pub(in crate::control::pool) host: Arc<str>,
    /// What an operator knows it by.
    pub(in crate::control::pool) label: Option<String>,
    pub(in crate::control::pool) launched: Instant,
    /// When it was running, as far as the runtime knows.
    pub(in crate::control::pool) started: Option<Instant>,
    pub(in crate::control::pool) phase: Phase,
    pub(in crate::control::pool) checks: Checks,
    pub(in crate::control::pool) outlier: Outlier,
    /// Why it does not run yet, or what was wrong with the last heartbeat; empty if nothing is known.
    pub(in crate::control::pool) trouble: String,
    /// Whether it was told that it does not become ready.
    pub(in crate::control::pool) is_warned: bool,
    /// Whether it ever was to be published: requests may be at it.
    pub(in crate::control::pool) has_served: bool,
}

/// Where a living instance is in its life, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control::pool) enum Phase {
    /// No good heartbeat yet.
    Starting,
    /// The last heartbeats were good.
    Ready(Instant),
    /// They were not.
    Ejected(Instant),
}

/// What the runtime knows a replica by: the same for all that [`Found`] may say of it.
pub(in crate::control::pool) type Identity = (Owner, String);

/// An orchestrator knows a replica by its name, and names are the same that look alike; a host
/// name is the same in any case.
pub(super) fn identity(owner: Owner, key: &str) -> Identity {
    let key = match owner {
        Owner::Orchestrator => name::fold(key).as_str().to_owned(),
        Owner::Others => key.to_ascii_lowercase(),
        Owner::Balancer | Owner::Discovered => key.to_owned(),
    };
    (owner, key)
}

/// What the runtime knows those by that were found.
pub(in crate::control::pool) fn identities(found: &[Found]) -> FxHashSet<Identity> {
    found.iter().map(|found| identity(found.owner, &found.key)).collect()
}

impl Member {
    pub(in crate::control::pool) fn new(
        name: String,
        owner: Owner,
        existing: Option<String>,
        addition: Option<Ticket>,
        start_at: Instant,
    ) -> Self {
        Self {
            name,
            weight: MAX_WEIGHT,
            drained_from: None,
            owner,
            existing,
            revision: Arc::default(),
            replaces: Vec::new(),
            addition,
            is_beside: false,
            listed: None,
            instance: None,
            retry_at: Some(start_at),
            backoff: Backoff::default(),
            note: String::new(),
            cause: None,
        }
    }

    /// One that is to stand beside `incumbent`, and runs another revision.
    pub(in crate::control::pool) fn beside(
        incumbent: &Self,
        name: String,
        revision: Arc<Revision>,
        start_at: Instant,
    ) -> Self {
        let member = Self::new(name, incumbent.owner, None, None, start_at);
        Self { is_beside: true, revision, replaces: vec![Arc::clone(&incumbent.revision)], ..member }
    }

    /// One that was found, and that another balancer has given the number beside which it stands.
    pub(in crate::control::pool) fn following(
        name: String,
        key: String,
        revision: Arc<Revision>,
        start_at: Instant,
    ) -> Self {
        let member = Self::new(name, Owner::Orchestrator, Some(key), None, start_at);
        Self { is_beside: true, revision, ..member }
    }

    /// One that is to take the number of `incumbent`, which leaves it, and runs another revision. Until it serves nobody
    /// does: the place is held by `vacancy`, of which there is no replica. An orchestrator changes the replica that it has,
    /// which keeps its name.
    pub(in crate::control::pool) fn in_place_of(
        incumbent: &Self,
        name: String,
        revision: Arc<Revision>,
        vacancy: ReplicaId,
        start_at: Instant,
    ) -> Self {
        let mut member = Self::new(name, incumbent.owner, None, None, start_at);
        if incumbent.owner == Owner::Orchestrator {
            member.name.clone_from(&incumbent.name);
            member.existing.clone_from(&incumbent.existing);
            member.replaces.clone_from(&incumbent.replaces);
            member.replaces.retain(|replaced| *replaced != incumbent.revision);
            member.replaces.push(Arc::clone(&incumbent.revision));
        }
        member.revision = revision;
        member.weight = incumbent.weight;
        member.drained_from = incumbent.drained_from;
        member.listed.clone_from(&incumbent.listed);
        // Who serves has to be out of the snapshot, to drain.
        if let Some(listed) = member.listed.as_mut().filter(|_| incumbent.is_listed()) {
            *listed = Listed { id: vacancy, name: member.name.clone(), in_force: false, ..listed.clone() };
        }
        member
    }

    /// One that keeps the number of `incumbent`, which another balancer has run another revision. It is looked for when
    /// that is done.
    pub(in crate::control::pool) fn vacated(
        incumbent: &Self,
        vacancy: ReplicaId,
        note: &str,
        now: Instant,
    ) -> Self {
        let revision = Arc::clone(&incumbent.revision);
        let member = Self::in_place_of(incumbent, incumbent.name.clone(), revision, vacancy, now);
        Self { replaces: Vec::new(), retry_at: None, note: note.to_owned(), ..member }
    }

    /// Everything that is about the replica changes hands; what is about the number stays.
    pub(super) fn exchange(&mut self, other: &mut Self) {
        std::mem::swap(self, other);
        std::mem::swap(&mut self.weight, &mut other.weight);
        std::mem::swap(&mut self.drained_from, &mut other.drained_from);
        std::mem::swap(&mut self.listed, &mut other.listed);
        std::mem::swap(&mut self.is_beside, &mut other.is_beside);
    }

    pub(in crate::control::pool) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::control::pool) fn owner(&self) -> Owner {
        self.owner
    }

    pub(in crate::control::pool) fn existing(&self) -> Option<&str> {
        self.existing.as_deref()
    }

    pub(in crate::control::pool) fn instance(&self) -> Option<&Instance> {
        self.instance.as_ref()
    }

    pub(in crate::control::pool) fn instance_mut(&mut self) -> Option<&mut Instance> {
        self.instance.as_mut()
    }

    /// Whether it counts as one of the replicas: not while its `/add` is unfinished, nor beside another.
    pub(in crate::control::pool) fn is_full(&self) -> bool {
        self.addition.is_none() && !self.is_beside
    }

    /// Whether it stands beside the member of a number.
    pub(in crate::control::pool) fn is_beside(&self) -> bool {
        self.is_beside
    }

    /// What the runtime knows its replica by, or will, where that is certain.
    pub(in crate::control::pool) fn key(&self) -> Option<&str> {
        let to_be = (self.owner == Owner::Orchestrator).then_some(self.name.as_str());
        self.existing.as_deref().or(to_be)
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        self.key().map(|key| identity(self.owner, key))
    }

    /// Whether its replica is one of those that were found.
    pub(in crate::control::pool) fn is_among(&self, found: &FxHashSet<Identity>) -> bool {
        self.identity().is_some_and(|identity| found.contains(&identity))
    }

    /// Whether the instance that lives is the one that is published.
    pub(in crate::control::pool) fn is_listed(&self) -> bool {
        match (&self.listed, &self.instance) {
            (Some(listed), Some(instance)) => listed.id == instance.id,
            _ => false,
        }
    }

    pub(in crate::control::pool) fn is_ready(&self) -> bool {
        self.instance.as_ref().is_some_and(|instance| matches!(instance.phase, Phase::Ready(_)))
    }

    /// What real requests say of its instance.
    pub(in crate::control::pool) fn standing(&self) -> Standing {
        self.instance.as_ref().map_or(Standing::Good, |instance| instance.outlier.standing())
    }

    /// What is shown: one that is not on the ring yet takes no requests.
    pub(in crate::control::pool) fn state(&self) -> State {
        let in_force = self.listed.as_ref().is_some_and(|listed| listed.in_force);
        self.instance.as_ref().map_or(State::Starting, |instance| match instance.phase {
            Phase::Ready(_) if self.standing() != Standing::Good => State::Ejected,
            Phase::Ready(_) if self.is_listed() && in_force => State::Ready,
            Phase::Starting | Phase::Ready(_) => State::Starting,
            Phase::Ejected(_) => State::Ejected,
        })
    }

    /// Has the living instance published under the number from now on.
    pub(in crate::control::pool) fn list(&mut self) {
        let Some(Instance { id, address: Some(address), host, .. }) = &self.instance else { return };
        let (id, address, host) = (*id, *address, Arc::clone(host));
        self.listed = Some(Listed { id, name: self.name.clone(), address, host, in_force: false });
        if let Some(instance) = &mut self.instance {
            instance.has_served = true;
        }
        self.note.clear();
        self.cause = None;
        self.replaces.clear();
    }

    /// Whether it may run a revision of this name, as it is shown.
    pub(in crate::control::pool) fn may_run(&self, shown: &str) -> bool {
        let replaced = self.replaces.iter();
        replaced.chain([&self.revision]).any(|revision| revision.shown() == shown)
    }

    /// It runs something else by now, and is not to be changed.
    pub(in crate::control::pool) fn give_up_change(&mut self, runs: Arc<Revision>) {
        self.replaces.clear();
        self.revision = runs;
    }

    /// Whether it is to run its revision in the place of another, and does not serve yet.
    pub(in crate::control::pool) fn is_successor(&self) -> bool {
        !self.replaces.is_empty()
    }

    /// What is published under `number`, if anything.
    pub(in crate::control::pool) fn spec(&self, number: u32) -> Option<MemberSpec> {
        let Listed { id, name, address, host, .. } = self.listed.clone()?;
        let up = self.is_listed() && self.is_ready();
        Some(MemberSpec { id, name, number, weight: self.weight, address, host, up })
    }

    /// Begins a new instance, which is to be started by what is returned.
    pub(in crate::control::pool) fn begin(
        &mut self,
        id: ReplicaId,
        number: u32,
        now: Instant,
    ) -> (Launch, Instance) {
        self.retry_at = None;
        self.backoff.started(now);
        let replaced = self.replaces.iter().rfind(|replaced| **replaced != self.revision);
        let launch = Launch {
            id,
            name: self.name.clone(),
            number: of_ring(number),
            existing: self.existing.clone(),
            revision: Arc::clone(&self.revision),
            replaces: replaced.map(|replaced| replaced.shown().to_owned()),
        };
        (launch, Instance::new(id, now))
    }

    /// The same member, which is not among the [`Members`] at the moment, with another instance.
    pub(in crate::control::pool) fn filled(self, instance: Option<Instance>) -> Self {
        Self { instance, ..self }
    }

    /// Why it does not run yet, or what was wrong with the last heartbeat, as the end of a sentence.
    pub(in crate::control::pool) fn trouble(&self) -> String {
        let bad = self.instance.as_ref().map_or("", |instance| &instance.trouble);
        if bad.is_empty() { String::new() } else { format!(": {bad}") }
    }

    /// Why it is not ready; empty when it is.
    pub(in crate::control::pool) fn reason(&self) -> String {
        let bad = self.instance.as_ref().map_or("", |instance| &instance.trouble);
        match (self.is_ready(), self.note.is_empty(), bad.is_empty()) {
            (true, ..) => self.instance.as_ref().map_or_else(String::new, |it| it.outlier.note()),
            (false, true, _) => bad.to_owned(),
            (false, false, true) => self.note.clone(),
            (false, false, false) => format!("{}; now {bad}", self.note),
        }
    }

    /// The change of state to tell about.
    pub(in crate::control::pool) fn change(
        &self,
        number: u32,
        transition: Transition,
        reason: &str,
    ) -> Change {
        Change {
            name: self.name.clone(),
            number: of_ring(number),
            id: self.instance.as_ref().map(|instance| instance.id),
            transition,
            address: self.instance.as_ref().and_then(|instance| instance.address),
            reason: reason.to_owned(),
        }
    }
}

impl Instance {
    pub(in crate::control::pool) fn new(id: ReplicaId, launched: Instant) -> Self {
        Self {
            id,
            address: None,
            addresses: Addresses::default(),
            host: Arc::from(""),
            label: None,
            launched,
            started: None,
            phase: Phase::Starting,
            checks: Checks::default(),
            outlier: Outlier::default(),
            trouble: String::new(),
            is_warned: false,
            has_served: false,
        }
    }

    pub(in crate::control::pool) fn id(&self) -> ReplicaId {
        self.id
    }

    /// Whether it has been ready for so long that its end is no failure to start.
    pub(in crate::control::pool) fn has_settled(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Ready(since) if now >= since + SETTLED)
    }

    /// It is in another phase; what counted for the one before counts no more.
    pub(in crate::control::pool) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.checks.forget_waits();
    }
}
