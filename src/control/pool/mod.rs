//! The decisions of the control plane, as a pure function: [`Pool::step`] takes an event and the
//! time and returns what to do. No I/O, no clock, no task and no log; randomness comes from a
//! seed. So every behaviour can be replayed, and tests simulate hours in milliseconds.
//!
//! A *seat* is a number in use. It outlives the replicas that fill it one after another: healing
//! fills the seat again, so that the ring stays exactly what it was.
//!
//! How a replica moves (an owned one; a replica that others run is never stopped or replaced):
//!
//! ```text
//!  Start ─► Starting ──good heartbeat──► Ready ◄──good──► Ejected ─┐ too long
//!              │ exit, time-out            │ exit           │ exit │
//!              ▼                           ▼                ▼      ▼
//!           back-off ────────────────► Starting again on the same seat
//!
//!  removed: Ready or Ejected ─► unpublished ─► Draining ─► Stopped
//!           Starting ────────────────────────────────────► Stopped
//! ```

mod action;
mod add;
mod admit;
mod backoff;
mod change;
mod checks;
mod deadlines;
mod health;
mod inventory;
mod life;
mod outage;
mod remove;
mod report;
mod seat;
mod stop;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use fastrand::Rng;

pub use action::{Action, Change, Event, MemberSpec, Probe, Publication, Ticket};
#[cfg(any(test, feature = "test-util"))]
pub(in crate::control) use backoff::{STARTS, WINDOW};
pub use report::MemberReport;

use super::{ControlConfig, ControlError, ExitCause, Transition, name};
use crate::cluster::Routing;
use crate::runtime::{Found, Owner, ReplicaId, RuntimeEvent};
use add::Batch;
use outage::Outage;
use seat::{Leaving, Seat};

/// What the pool has to know of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeFacts {
    /// Name of the kind, for messages.
    pub kind: &'static str,
    /// Who keeps the replicas that an `/add` brings.
    pub owner: Owner,
    /// Whether replicas may exist already: nothing is started before the first inventory.
    pub lists: bool,
}

/// The replicas that are wanted, those there are, and what is under way between the two.
#[derive(Debug)]
pub struct Pool {
    config: ControlConfig,
    runtime: RuntimeFacts,
    rng: Rng,
    seats: BTreeMap<u32, Seat>,
    batches: Vec<Batch>,
    leaving: BTreeMap<ReplicaId, Leaving>,
    /// Whether the runtime has yet to tell which replicas there are.
    unlisted: bool,
    /// Why the runtime can do nothing at the moment, if it cannot.
    outage: Option<Outage>,
    /// Found, but there is no seat for them yet.
    waiting: Vec<Found>,
    /// What decided that: seats, replicas that leave, and the limit, when last looked at.
    room: (usize, usize, u32),
    /// Keys of those that were found and cannot be taken over, to tell once.
    ignored: BTreeSet<String>,
    /// Whether changes are refused, because a stop has been announced.
    refusing: bool,
    stop_tickets: Vec<Ticket>,
    /// When the end began, if it has.
    stop_began: Option<Instant>,
    /// When the runtime first failed to answer during the end.
    stop_hindered: Option<Instant>,
    last_id: u64,
    /// When a replica last came up, of those that are started one after another.
    last_start: Option<Instant>,
    changed: bool,
    out: Vec<Action>,
}

impl Pool {
    /// A pool that wants `config.replicas` replicas named `Server 1`, `Server 2` and so on, or,
    /// where replicas are not ours to start, one for each of `endpoints` (`host:port`). They are
    /// started by the first [`Pool::step`], or after the first inventory of a runtime that lists.
    ///
    /// # Errors
    /// More than `config.max_replicas`, more than the ring can hold, or bad endpoints.
    pub fn new(
        config: ControlConfig,
        runtime: RuntimeFacts,
        endpoints: Vec<String>,
        seed: u64,
        now: Instant,
    ) -> Result<Self, ControlError> {
        let mut pool = Self {
            config,
            runtime,
            rng: Rng::with_seed(seed),
            seats: BTreeMap::new(),
            batches: Vec::new(),
            leaving: BTreeMap::new(),
            unlisted: runtime.lists,
            outage: None,
            waiting: Vec::new(),
            room: (0, 0, 0),
            ignored: BTreeSet::new(),
            refusing: false,
            stop_tickets: Vec::new(),
            stop_began: None,
            stop_hindered: None,
            last_id: 0,
            last_start: None,
            changed: true,
            out: Vec::new(),
        };
        let given = endpoints.len() as u32;
        let makes = runtime.owner.makes_replicas();
        let count = if makes { pool.config.replicas } else { given };
        pool.check_endpoints(&endpoints, if makes { 0 } else { count })?;
        pool.check_room(count)?;
        let mut endpoints = endpoints.into_iter();
        let from_the_start = if runtime.lists { 0 } else { count };
        for number in 1..=from_the_start {
            let mut seat = Seat::new(format!("Server {number}"), runtime.owner, endpoints.next(), None);
            seat.retry_at = Some(now);
            pool.seats.insert(number, seat);
        }
        Ok(pool)
    }

    /// Takes in what happened and returns what to do, in this order. Events about replicas that
    /// the pool does not know (any more) change nothing. `now` must not run backwards.
    pub fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        self.take_in(event, now);
        self.advance(now);
        std::mem::take(&mut self.out)
    }

    /// The configuration in force.
    pub fn config(&self) -> &ControlConfig {
        &self.config
    }

    /// Whether [`Pool::members`] may tell something else than at the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn take_in(&mut self, event: Event, now: Instant) {
        match event {
            Event::Add(ticket, add) => self.add(ticket, &add, now),
            Event::Remove(ticket, remove) => self.remove(ticket, &remove, now),
            Event::SetWeight(ticket, name, weight) => self.set_weight(ticket, &name, weight),
            Event::Kill(ticket, name) => self.kill(ticket, &name),
            Event::ChangeRing(ticket, change) => self.change_ring(ticket, change),
            Event::Reload(ticket, config) => self.reload(ticket, *config, now),
            Event::PrepareStop => self.prepare_stop(),
            Event::Stop(ticket) => self.stop(ticket, now),
            Event::Runtime(event) => self.take_in_runtime(event, now),
            Event::HeartbeatGood(id) => self.heartbeat_good(id, now),
            Event::HeartbeatBad { id, reason } => self.heartbeat_bad(id, reason, now),
            Event::HeartbeatUnsent { id, reason } => self.heartbeat_unsent(id, reason, now),
            Event::RequestFailed(id) => self.request_failed(id, now),
            Event::Drained(id) => self.drained(id),
            Event::Tick => {}
        }
    }

    fn take_in_runtime(&mut self, event: RuntimeEvent, now: Instant) {
        match event {
            RuntimeEvent::Started { id, address, instance } => self.started(id, address, instance, now),
            RuntimeEvent::StartFailed { id, reason } => self.gone(id, ExitCause::StartFailed, &reason, now),
            RuntimeEvent::Exited { id, reason } => self.gone(id, ExitCause::Exited, &reason, now),
            RuntimeEvent::Ending { id, reason } => self.ending(id, &reason, now),
            RuntimeEvent::Suspect(id) => self.request_failed(id, now),
            RuntimeEvent::Numbered { id, number } => self.numbered(id, number),
            RuntimeEvent::Inventory(found) => self.take_inventory(found, now),
            RuntimeEvent::Unavailable { reason } => self.unavailable(reason, now),
            RuntimeEvent::Available => self.available(),
        }
    }

    /// Does what the time has come for.
    fn advance(&mut self, now: Instant) {
        self.expire_batches(now);
        self.expire_drains(now);
        self.seat_waiting(now);
        for number in self.numbers() {
            self.expire_start(number, now);
            self.expire_ejection(number, now);
            self.fill(number, now);
            self.check(number, now);
        }
        self.expire_stop(now);
        self.finish_stop();
    }

    fn numbers(&self) -> Vec<u32> {
        self.seats.keys().copied().collect()
    }

    /// The seat whose living replica is `id`.
    fn seat_of(&mut self, id: ReplicaId) -> Option<(u32, &mut Seat)> {
        self.seats
            .iter_mut()
            .find(|(_, seat)| seat.current.as_ref().is_some_and(|replica| replica.id == id))
            .map(|(&number, seat)| (number, seat))
    }

    /// The member called `name`.
    fn member_named(&self, name: &str) -> Option<u32> {
        let mut members = self.seats.iter().filter(|(_, seat)| seat.is_member());
        members.find(|(_, seat)| name::fold(&seat.name) == name::fold(name)).map(|(&number, _)| number)
    }

    /// Whether `name` is that of a member or of an unfinished `/add`.
    fn is_taken(&self, name: &str) -> bool {
        self.seats.values().any(|seat| name::fold(&seat.name) == name::fold(name))
    }

    /// A name that is not taken.
    fn new_name(&mut self) -> String {
        loop {
            let name = name::random(&mut self.rng);
            if !self.is_taken(&name) {
                return name;
            }
        }
    }

    fn reply(&mut self, ticket: Ticket, result: Result<(), ControlError>) {
        self.out.push(Action::Reply(ticket, result));
    }

    fn note(&mut self, change: Change) {
        self.changed = true;
        self.out.push(Action::Note(change));
    }

    /// Tells what happened on the seat `number`.
    fn note_seat(&mut self, number: u32, transition: Transition, reason: &str) {
        if let Some(change) = self.seats.get(&number).map(|seat| seat.change(number, transition, reason)) {
            self.note(change);
        }
    }

    fn publish(&mut self) {
        self.changed = true;
        let publication = self.publication();
        self.out.push(Action::Publish(publication));
    }

    /// What is to be published as things are: without a replica at first.
    pub fn publication(&self) -> Publication {
        Publication {
            params: self.config.ring.clone(),
            routing: Routing {
                bounded_load: self.config.bounded_load.factor(&self.config.key),
                key: self.config.key.clone(),
            },
            members: self.seats.iter().filter_map(|(&number, seat)| seat.spec(number)).collect(),
        }
    }
}
