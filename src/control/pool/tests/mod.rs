//! The pool, told stories: sequences of events with the actions expected of each, and laws over
//! random histories.

mod adding;
mod adopting;
mod changing;
mod healing;
mod outages;
mod removing;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Action, Event, MemberReport, Pool, Publication, RuntimeFacts, Ticket};
use crate::control::{Add, ControlConfig, ControlError, Remove, State, Transition, sim};
use crate::runtime::{Launch, Owner, ReplicaId, RuntimeEvent};

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn laws_hold_whatever_happens(data in prop::collection::vec(any::<u8>(), 0..300)) {
        sim::run(&data);
    }
}

const TICKET: Ticket = Ticket(1);

/// A pool and its clock.
struct Herd {
    pool: Pool,
    now: Instant,
    /// What the first step asked for.
    first: Vec<Action>,
}

impl Herd {
    /// Nothing has started yet.
    fn cold(config: ControlConfig, owner: Owner, endpoints: &[&str]) -> Self {
        let now = Instant::now();
        let facts = RuntimeFacts { kind: "test", owner, lists: false };
        let endpoints = endpoints.iter().map(ToString::to_string).collect();
        let mut pool = Pool::new(config, facts, endpoints, 1, now).expect("a good configuration");
        let first = pool.step(Event::Tick, now);
        Self { pool, now, first }
    }

    /// All are ready.
    fn of(replicas: u32) -> Self {
        let mut herd =
            Self::cold(ControlConfig { replicas, ..ControlConfig::default() }, Owner::Balancer, &[]);
        for launch in launches(&herd.first.clone()) {
            herd.bring_up(launch.id);
        }
        herd
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.pool.step(event, self.now)
    }

    /// Lets time pass; whatever is due happens at its time.
    fn wait(&mut self, by: Duration) -> Vec<Action> {
        let end = self.now + by;
        let mut actions = Vec::new();
        while let Some(at) = self.pool.next_deadline().filter(|&at| at <= end) {
            self.now = at;
            actions.extend(self.step(Event::Tick));
        }
        self.now = end;
        actions
    }

    fn started(&mut self, id: ReplicaId) -> Vec<Action> {
        let address = ([127, 0, 0, 1], id.0 as u16).into();
        self.step(Event::Runtime(RuntimeEvent::Started { id, address, instance: format!("pid {id}") }))
    }

    /// Starts a replica and answers its first heartbeat; returns what that leads to.
    fn bring_up(&mut self, id: ReplicaId) -> Vec<Action> {
        let actions = self.started(id);
        assert_eq!(checks(&actions), [id], "the first heartbeat is due at once");
        self.step(Event::HeartbeatGood(id))
    }

    fn exit(&mut self, id: ReplicaId) -> Vec<Action> {
        self.step(Event::Runtime(RuntimeEvent::Exited { id, reason: "signal 9".to_owned() }))
    }

    /// Waits for the next heartbeat of `id` and answers it badly.
    fn bad(&mut self, id: ReplicaId) -> Vec<Action> {
        for _ in 0..1000 {
            let at = self.pool.next_deadline().expect("a heartbeat is due some time");
            self.now = self.now.max(at);
            let checked = checks(&self.step(Event::Tick));
            for &other in checked.iter().filter(|&&other| other != id) {
                self.step(Event::HeartbeatGood(other));
            }
            if checked.contains(&id) {
                return self.step(Event::HeartbeatBad { id, reason: "answered 503".to_owned() });
            }
        }
        panic!("no heartbeat of {id}");
    }

    fn add(&mut self, count: u32, names: &[&str]) -> Vec<Action> {
        let names = names.iter().map(ToString::to_string).collect();
        self.step(Event::Add(TICKET, Add { count, names, endpoints: Vec::new() }))
    }

    fn remove(&mut self, count: u32, names: &[&str]) -> Vec<Action> {
        let names = names.iter().map(ToString::to_string).collect();
        self.step(Event::Remove(TICKET, Remove { count, names }))
    }

    fn names(&self) -> Vec<String> {
        self.pool.members().map(|member| member.name).collect()
    }

    fn member(&self, number: u32) -> MemberReport {
        self.pool.members().find(|member| member.number == number).expect("there is such a member")
    }

    fn state(&self, number: u32) -> State {
        self.member(number).state
    }

    fn id(&self, number: u32) -> ReplicaId {
        self.member(number).id.expect("it lives")
    }
}

fn launches(actions: &[Action]) -> Vec<Launch> {
    let launch =
        |action: &Action| if let Action::Start(launch) = action { Some(launch.clone()) } else { None };
    actions.iter().filter_map(launch).collect()
}

fn checks(actions: &[Action]) -> Vec<ReplicaId> {
    let id = |action: &Action| if let Action::Check(probe) = action { Some(probe.id) } else { None };
    actions.iter().filter_map(id).collect()
}

fn stops(actions: &[Action]) -> Vec<ReplicaId> {
    let id = |action: &Action| if let Action::Stop(id) = action { Some(*id) } else { None };
    actions.iter().filter_map(id).collect()
}

fn publications(actions: &[Action]) -> Vec<&Publication> {
    let each = actions.iter();
    each.filter_map(|action| if let Action::Publish(it) = action { Some(it) } else { None }).collect()
}

/// The numbers on the ring after the only publication among `actions`.
fn published(actions: &[Action]) -> Vec<u32> {
    let [publication] = publications(actions)[..] else { panic!("not one publication: {actions:?}") };
    publication.members.iter().map(|member| member.number).collect()
}

/// The answer to the only command among `actions`.
fn reply(actions: &[Action]) -> Option<Result<(), ControlError>> {
    actions.iter().find_map(|action| match action {
        Action::Reply(TICKET, result) => Some(result.clone()),
        _ => None,
    })
}
