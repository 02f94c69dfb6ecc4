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
mod health;
mod life;
mod remove;
mod report;
mod seat;
mod stop;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use fastrand::Rng;

pub use action::{Action, Change, Event, MemberSpec, Probe, Publication, Ticket};
#[cfg(any(test, feature = "test-util"))]
pub(in crate::control) use backoff::{STARTS, WINDOW};
pub use report::MemberReport;

use super::{Config, ControlError, State, name};
use crate::cluster::Routing;
use crate::runtime::{ReplicaId, RuntimeEvent};
use add::Batch;
use seat::{Leaving, Seat};

/// What the pool has to know of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeFacts {
    /// Name of the kind, for messages.
    pub kind: &'static str,
    /// Whether replicas live and die with the balancer.
    pub owns_replicas: bool,
}

/// The replicas that are wanted, those there are, and what is under way between the two.
#[derive(Debug)]
pub struct Pool {
    config: Config,
    runtime: RuntimeFacts,
    rng: Rng,
    seats: BTreeMap<u32, Seat>,
    batches: Vec<Batch>,
    leaving: BTreeMap<ReplicaId, Leaving>,
    /// Whether changes are refused, because a stop has been announced.
    refusing: bool,
    stopping: bool,
    stop_tickets: Vec<Ticket>,
    last_id: u64,
    changed: bool,
    out: Vec<Action>,
}

impl Pool {
    /// A pool that wants `config.replicas` replicas named `Server 1`, `Server 2` and so on, or,
    /// where replicas are not ours to start, one for each of `endpoints` (`host:port`). They are
    /// started by the first [`Pool::step`].
    ///
    /// # Errors
    /// More than `config.max_replicas`, more than the ring can hold, or bad endpoints.
    pub fn new(
        config: Config,
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
            refusing: false,
            stopping: false,
            stop_tickets: Vec::new(),
            last_id: 0,
            changed: true,
            out: Vec::new(),
        };
        let given = endpoints.len() as u32;
        let count = if runtime.owns_replicas { pool.config.replicas } else { given };
        pool.check_endpoints(&endpoints, if runtime.owns_replicas { 0 } else { count })?;
        pool.check_room(count)?;
        let mut endpoints = endpoints.into_iter();
        for number in 1..=count {
            let mut seat = Seat::new(format!("Server {number}"), endpoints.next(), None);
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

    /// When [`Event::Tick`] is due; `None` if nothing depends on time.
    pub fn next_deadline(&self) -> Option<Instant> {
        let batches = self.batches.iter().map(|batch| batch.deadline);
        let drains = self.leaving.values().filter_map(|leaving| leaving.drains_until);
        let seats = self.seats.values().filter_map(|seat| self.next_deadline_of(seat));
        batches.chain(drains).chain(seats).min()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
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
            Event::ChangeRing(ticket, change) => self.change_ring(ticket, change),
            Event::Reload(ticket, config) => self.reload(ticket, *config, now),
            Event::PrepareStop => self.prepare_stop(),
            Event::Stop(ticket) => self.stop(ticket),
            Event::Runtime(RuntimeEvent::Started { id, address, instance }) => {
                self.started(id, address, instance, now);
            }
            Event::Runtime(
                RuntimeEvent::StartFailed { id, reason } | RuntimeEvent::Exited { id, reason },
            ) => {
                self.gone(id, &reason, now);
            }
            Event::HeartbeatGood(id) => self.heartbeat_good(id, now),
            Event::HeartbeatBad { id, reason } => self.heartbeat_bad(id, reason, now),
            Event::HeartbeatUnsent { id, reason } => self.heartbeat_unsent(id, reason, now),
            Event::RequestFailed(id) => self.request_failed(id, now),
            Event::Drained(id) => self.drained(id),
            Event::Tick => {}
        }
    }

    /// Does what the time has come for.
    fn advance(&mut self, now: Instant) {
        self.expire_batches(now);
        self.expire_drains(now);
        for number in self.numbers() {
            self.expire_start(number, now);
            self.expire_ejection(number, now);
            self.fill(number, now);
            self.check(number, now);
        }
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

    /// Tells about the state of the seat `number`.
    fn note_seat(&mut self, number: u32, state: State, reason: &str) {
        if let Some(change) = self.seats.get(&number).map(|seat| seat.change(number, state, reason)) {
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
