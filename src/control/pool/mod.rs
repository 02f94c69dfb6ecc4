//! The decisions of the control plane, as a pure function: [`Pool::step`] takes an event and the
//! time and returns what to do. No I/O, no clock, no task and no log; randomness comes from a
//! seed. So every behaviour can be replayed, and tests simulate hours in milliseconds.
//!
//! A *member* is a number in use. It outlives the *instances* of a replica that fill it one after
//! another: healing fills the member again, so that the ring stays exactly what it was.
//!
//! An event costs what it touches, and not how many members there are: those are found by index
//! (`members`), and what is due by a queue of deadlines (`schedule`). Each part of the state is
//! a type of its own, in the file that says what happens to it:
//!
//! | state | holds | file |
//! |---|---|---|
//! | `Members` | members, instances, indexes | `members` |
//! | `Schedule`, `Turns` | what is due when | `schedule`, `deadlines` |
//! | `Addresses` | where an instance may be | `addresses` |
//! | `Heartbeats` | those under way, those that wait for a place | `heartbeats`, `checks` |
//! | `Publishing` | what waits for a snapshot to be in force | `publishing` |
//! | `Additions` | unfinished `/add`s | `additions`, `admit` |
//! | `Departures` | replicas that leave | `departures` |
//! | `Deploys` | the revision of the replicas, and how far another one has come | `deploys` |
//! | `Following` | what other balancers deploy | `following` |
//! | `Inventory` | what was found and has no room | `inventory` |
//! | `Outliers` | who is ejected for what requests met with | `outliers`, `success_rate` |
//! | `Outage` | why the runtime can do nothing | `outage` |
//! | `End` | how far a stop has come | `stop` |
//!
//! How a replica moves (an owned one; a replica that others run is never stopped or replaced):
//!
//! ```text
//!  Start ─► Starting ──good heartbeat──► Ready ◄──good──► Ejected ─┐ too long
//!              │ exit, time-out            │ exit           │ exit │
//!              ▼                           ▼                ▼      ▼
//!           back-off ────────────────► Starting again as the same member
//!
//!  removed: Ready or Ejected ─► unpublished ─► Draining ─► Stopped
//!           Starting ────────────────────────────────────► Stopped
//! ```

mod action;
mod additions;
mod addresses;
mod admit;
mod backoff;
mod change;
mod checks;
mod deadlines;
mod departures;
mod deploys;
mod following;
mod heartbeats;
mod inventory;
mod life;
mod members;
mod outage;
mod outliers;
mod publishing;
mod report;
mod schedule;
mod stop;
mod success_rate;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;

pub use action::{Action, Change, Event, MemberSpec, Probe, Publication, Ticket, Verdict, Version};
#[cfg(any(test, feature = "test-util"))]
pub(in crate::control) use backoff::{STARTS, WINDOW};
pub use deploys::DeploySample;
pub use report::MemberReport;
pub use success_rate::Sample;

use super::{ControlConfig, ControlError, ExitCause, Request, Transition, name};
use crate::runtime::{Owner, RuntimeEvent};
use additions::Additions;
use deadlines::Due;
use departures::Departures;
use deploys::Deploys;
use following::Following;
use heartbeats::Heartbeats;
use inventory::Inventory;
use members::{Member, Members};
use outage::Outage;
use outliers::Outliers;
use publishing::Publishing;
use schedule::{Schedule, Turns};
use stop::End;

/// What the pool has to know of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeFacts {
    /// Name of the kind, for messages.
    pub kind: &'static str,
    /// Who keeps the replicas that an `/add` brings.
    pub owner: Owner,
    /// Whether replicas may exist already: nothing is started before the first inventory.
    pub lists: bool,
    /// Whether a deploy begins with [`Action::Prepare`].
    pub prepares: bool,
}

/// The replicas that are wanted, those there are, and what is under way between the two.
#[derive(Clone, Debug)]
pub struct Pool {
    config: ControlConfig,
    runtime: RuntimeFacts,
    rng: Rng,
    members: Members,
    schedule: Schedule,
    turns: Turns,
    heartbeats: Heartbeats,
    outliers: Outliers,
    publishing: Publishing,
    additions: Additions,
    departures: Departures,
    deploys: Deploys,
    following: Following,
    inventory: Inventory,
    /// Why the runtime can do nothing at the moment, if it cannot.
    outage: Option<Outage>,
    end: End,
    last_id: u64,
    /// Whether something else than members is shown differently from now on.
    changed: bool,
    /// What the step under way has decided.
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
        let deploys = Deploys::new(Arc::clone(&config.deploy.revision));
        let mut pool = Self {
            config,
            runtime,
            rng: Rng::with_seed(seed),
            members: Members::default(),
            schedule: Schedule::default(),
            turns: Turns::default(),
            heartbeats: Heartbeats::new(now),
            outliers: Outliers::default(),
            publishing: Publishing::default(),
            additions: Additions::default(),
            departures: Departures::default(),
            deploys,
            following: Following::default(),
            inventory: Inventory::new(runtime.lists),
            outage: None,
            end: End::default(),
            last_id: 0,
            changed: true,
            out: Vec::new(),
        };
        pool.config.upstreams.clone_from(&endpoints);
        let given = endpoints.len() as u32;
        let makes = runtime.owner.makes_replicas();
        let count = if makes { pool.config.replicas } else { given };
        pool.check_endpoints(&endpoints, if makes { 0 } else { count })?;
        pool.check_room(count)?;
        let mut endpoints = endpoints.into_iter();
        let from_the_start = if runtime.lists { 0 } else { count };
        for number in 1..=from_the_start {
            let name = format!("Server {number}");
            let member = pool.new_member(name, endpoints.next(), None, now);
            pool.members.insert(number, member);
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

    fn take_in(&mut self, event: Event, now: Instant) {
        match event {
            Event::Request(ticket, request) => self.take_in_request(ticket, request, now),
            Event::Runtime(event) => self.take_in_runtime(event, now),
            Event::Heartbeat(id, verdict) => self.heartbeat(id, verdict, now),
            Event::RequestFailed(id) => self.request_failed(id, now),
            Event::RequestsFailed { id, streak, last } => self.requests_failed(id, streak, last, now),
            Event::TrialEnded { id, went_well } => self.trial_ended(id, went_well, now),
            Event::SuccessRates(samples) => self.compare_success_rates(&samples, now),
            Event::DeploySamples(samples) => self.judge_deploy(samples, now),
            Event::Published(version) => self.published(version, now),
            Event::Drained(id) => self.end_drain(id, "drained"),
            Event::Tick => {}
        }
    }

    fn take_in_request(&mut self, ticket: Ticket, request: Request, now: Instant) {
        match request {
            Request::Add(add) => self.add(ticket, add, now),
            Request::Remove(remove) => self.remove(ticket, &remove, now),
            Request::SetWeight { name, weight } => self.set_weight(ticket, &name, weight, now),
            Request::Kill { name } => self.kill(ticket, &name),
            Request::ChangeRing(change) => self.change_ring(ticket, change, now),
            Request::Deploy(request) => self.deploy_revision(ticket, &request, now),
            Request::Promote => {
                let result = self.promote_deploy();
                self.reply(ticket, result);
            }
            Request::AbortDeploy => {
                let result = self.abort_deploy("somebody has asked for that");
                self.reply(ticket, result);
            }
            Request::Reload(config) => self.reload(ticket, *config, now),
            Request::PrepareStop => {
                self.prepare_stop();
                self.reply(ticket, Ok(()));
            }
            Request::Stop => self.stop(ticket, now),
        }
    }

    fn take_in_runtime(&mut self, event: RuntimeEvent, now: Instant) {
        match event {
            RuntimeEvent::Started { id, address, instance } => self.started(id, address, instance, now),
            RuntimeEvent::Delayed { id, reason } => self.delayed(id, reason),
            RuntimeEvent::StartFailed { id, reason } => self.gone(id, ExitCause::StartFailed, &reason, now),
            RuntimeEvent::Exited { id, reason } => self.gone(id, ExitCause::Exited, &reason, now),
            RuntimeEvent::Ending { id, reason } => self.ending(id, &reason, now),
            RuntimeEvent::Located { id, addresses } => self.located(id, addresses),
            RuntimeEvent::Suspect(id) => self.request_failed(id, now),
            RuntimeEvent::Numbered { id, number } => self.numbered(id, number),
            RuntimeEvent::Prepared { deploy, result } => self.prepared_deploy(deploy, result),
            RuntimeEvent::Inventory(found) => self.take_inventory(found, now),
            RuntimeEvent::Unavailable { reason } => self.unavailable(reason, now),
            RuntimeEvent::Available => self.available(),
        }
    }

    /// Does what the time has come for, and what that leads to.
    fn advance(&mut self, now: Instant) {
        // What has failed is taken back before anything is started in its place.
        while self.is_deploy_failed() && self.advance_deploy(now) {}
        loop {
            self.renew_deadlines();
            match self.take_due(now) {
                Some(due) => self.attend(due, now),
                None if self.limit_ejections(now)
                    || self.take_over_waiting(now)
                    || self.advance_deploy(now)
                    || self.advance_following(now)
                    || self.unify_revisions(now) => {}
                None => break,
            }
        }
        self.expire_stop(now);
        self.finish_stop();
    }

    fn attend(&mut self, due: Due, now: Instant) {
        let ticket = |&number: &u32| self.members.get(number).and_then(|member| member.addition);
        for ticket in due.members.iter().filter_map(ticket).collect::<BTreeSet<_>>() {
            self.expire_addition(ticket, now);
        }
        for id in due.departures {
            self.end_drain(id, "not drained in time");
        }
        for number in due.members {
            // Its deadlines were taken out, whatever it is that is due.
            self.members.touch(number);
            self.expire_start(number, now);
            self.expire_ejection(number, now);
            self.expire_outlier(number, now);
            self.fill(number, now);
            self.check(number, now);
        }
    }

    /// The member called `name`.
    fn member_named(&self, name: &str) -> Option<u32> {
        let number = self.members.named(name)?;
        self.members.get(number).filter(|member| member.is_full()).map(|_| number)
    }

    /// Whether `name` is that of a member or of an unfinished `/add`.
    fn is_taken(&self, name: &str) -> bool {
        self.members.named(name).is_some()
    }

    /// A member of the kind that this runtime makes, which runs what is deployed.
    fn new_member(
        &self,
        name: String,
        existing: Option<String>,
        addition: Option<Ticket>,
        now: Instant,
    ) -> Member {
        let mut member = Member::new(name, self.runtime.owner, existing, addition, now);
        member.revision = self.deploys.current();
        member
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
        self.members.show(change.number);
        self.out.push(Action::Note(change));
    }

    /// Tells what happened to the member `number`.
    fn note_member(&mut self, number: u32, transition: Transition, reason: &str) {
        if let Some(change) = self.members.get(number).map(|member| member.change(number, transition, reason))
        {
            self.note(change);
        }
    }

    /// Asserts that what is kept up to date step by step is what a scan of everything finds.
    #[cfg(any(test, feature = "test-util"))]
    pub(in crate::control) fn check_invariants(&self) {
        self.members.check_indexes();
        self.check_outliers();
        let is_idle = self.deploys.is_idle() && !self.is_stopping();
        let is_follower =
            |member: &Member| member.owner() == Owner::Orchestrator && member.existing().is_some();
        let is_good = |member: &Member| !member.is_beside() || !is_idle || is_follower(member);
        assert!(
            self.members.iter().all(|(_, member)| is_good(member)),
            "a replica stands beside without a deploy"
        );
        assert_eq!(self.next_deadline(), self.scan_for_deadline(), "the earliest deadline");
    }
}
