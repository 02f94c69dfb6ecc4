//! The pool, told stories: sequences of events with the actions expected of each, and laws over
//! random histories.

mod adding;
mod addresses;
mod adopting;
mod changing;
mod deploying;
mod healing;
mod heartbeats;
mod outages;
mod outliers;
mod publishing;
mod removing;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Action, Event, MemberReport, Pool, Publication, RuntimeFacts, Ticket, Verdict};
use crate::control::{Add, ControlConfig, ControlError, Remove, Request, State, Transition, sim};
use crate::runtime::{Launch, Owner, ReplicaId, RuntimeEvent};

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn laws_hold_whatever_happens(data in prop::collection::vec(any::<u8>(), 0..300)) {
        sim::run(&data);
    }
}

const TICKET: Ticket = Ticket(1);

/// What some steps have asked for, and what was published at that time.
#[derive(Clone, Debug, Default)]
struct Actions {
    list: Vec<Action>,
    publications: Vec<Publication>,
}

impl Actions {
    fn extend(&mut self, more: Self) {
        self.list.extend(more.list);
        self.publications.extend(more.publications);
    }
}

impl std::ops::Deref for Actions {
    type Target = Vec<Action>;

    fn deref(&self) -> &Vec<Action> {
        &self.list
    }
}

impl std::ops::DerefMut for Actions {
    fn deref_mut(&mut self) -> &mut Vec<Action> {
        &mut self.list
    }
}

impl<const N: usize> PartialEq<[Action; N]> for Actions {
    fn eq(&self, other: &[Action; N]) -> bool {
        self.list == other
    }
}

/// A pool and its clock. What it asks to be published is in force at once, unless that is
/// delayed.
struct Herd {
    pool: Pool,
    now: Instant,
    /// What the first step asked for.
    first: Actions,
    /// Whether rings take their time: publications are in force when the test says so.
    slow_builds: bool,
}

impl Herd {
    /// Nothing has started yet.
    fn cold(config: ControlConfig, owner: Owner, endpoints: &[&str]) -> Self {
        let now = Instant::now();
        let facts = RuntimeFacts { kind: "test", owner, lists: false, prepares: false };
        let endpoints = endpoints.iter().map(ToString::to_string).collect();
        let pool = Pool::new(config, facts, endpoints, 1, now).expect("a good configuration");
        Self::with(pool, now)
    }

    /// After the first step.
    fn with(pool: Pool, now: Instant) -> Self {
        let mut herd = Self { pool, now, first: Actions::default(), slow_builds: false };
        herd.first = herd.step(Event::Tick);
        herd
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

    fn step(&mut self, event: Event) -> Actions {
        let list = self.pool.step(event, self.now);
        self.pool.check_invariants();
        let asked = list.iter().any(|action| matches!(action, Action::Publish { .. }));
        let publications = asked.then(|| self.pool.publication()).into_iter().collect();
        let mut actions = Actions { list, publications };
        if asked && !self.slow_builds {
            actions.extend(self.step(Event::Published(self.pool.asked())));
        }
        actions
    }

    /// Lets time pass; whatever is due happens at its time.
    fn wait(&mut self, by: Duration) -> Actions {
        let end = self.now + by;
        let mut actions = Actions::default();
        while let Some(at) = self.pool.next_deadline().filter(|&at| at <= end) {
            self.now = at;
            actions.extend(self.step(Event::Tick));
        }
        self.now = end;
        actions
    }

    fn started(&mut self, id: ReplicaId) -> Actions {
        let address = ([127, 0, 0, 1], id.0 as u16).into();
        self.step(Event::Runtime(RuntimeEvent::Started { id, address, instance: format!("pid {id}") }))
    }

    /// Starts a replica and answers its first heartbeat; returns what that leads to.
    fn bring_up(&mut self, id: ReplicaId) -> Actions {
        let actions = self.started(id);
        assert_eq!(checks(&actions), [id], "the first heartbeat is due at once");
        self.step(Event::Heartbeat(id, Verdict::Good))
    }

    fn exit(&mut self, id: ReplicaId) -> Actions {
        self.step(Event::Runtime(RuntimeEvent::Exited { id, reason: "signal 9".to_owned() }))
    }

    /// Waits for the next heartbeat of `id` and answers it badly.
    fn bad(&mut self, id: ReplicaId) -> Actions {
        for _ in 0..1000 {
            let at = self.pool.next_deadline().expect("a heartbeat is due some time");
            self.now = self.now.max(at);
            let checked = checks(&self.step(Event::Tick));
            for &other in checked.iter().filter(|&&other| other != id) {
                self.step(Event::Heartbeat(other, Verdict::Good));
            }
            if checked.contains(&id) {
                return self.step(Event::Heartbeat(id, Verdict::Bad("answered 503".to_owned())));
            }
        }
        panic!("no heartbeat of {id}");
    }

    fn add(&mut self, count: u32, names: &[&str]) -> Actions {
        let names = names.iter().map(ToString::to_string).collect();
        self.step(Event::Request(TICKET, Request::Add(Add { count, names, endpoints: Vec::new() })))
    }

    fn remove(&mut self, count: u32, names: &[&str]) -> Actions {
        let names = names.iter().map(ToString::to_string).collect();
        self.step(Event::Request(TICKET, Request::Remove(Remove { count, names })))
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

fn publications(actions: &Actions) -> Vec<&Publication> {
    actions.publications.iter().collect()
}

/// The numbers on the ring after the only publication among `actions`.
fn published(actions: &Actions) -> Vec<u32> {
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
