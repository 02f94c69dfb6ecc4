//! The simulated runtime, network and clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::laws::{self, Laws};
use super::swarm::Swarm;
use crate::cluster::{Reader, Standing, cluster};
use crate::control::pool::{Action, DeploySample, Event, Pool, RuntimeFacts, Sample, Ticket, Verdict};
use crate::control::writer::{Build, Writer};
use crate::control::{ControlConfig, DeployState, Request};
use crate::ring::Node;
use crate::runtime::{Found, Launch, Owner, Place, ReplicaId, RuntimeEvent};

/// How starts go, in quarters: 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Luck {
    pub(super) fails: u8,
    pub(super) hangs: u8,
    pub(super) sick: u8,
}

/// A replica that lives as far as the runtime knows.
#[expect(clippy::struct_excessive_bools, reason = "each may be so without the others")]
#[derive(Debug)]
pub(super) struct Living {
    pub(super) runs: bool,
    well: bool,
    /// Whether its requests fail, whatever its heartbeats say.
    fails: bool,
    /// A container of others: nobody is told when it ends, it is just not found any more.
    discovered: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) pool: Pool,
    writer: Writer,
    reader: Reader,
    /// The ring that is being built.
    build: Option<Build>,
    now: Instant,
    owner: Owner,
    rng: Rng,
    pub(super) living: BTreeMap<ReplicaId, Living>,
    /// What will happen, by time and then in order of creation.
    queue: BTreeMap<(Instant, u64), Happening>,
    happenings: u64,
    drains: BTreeSet<ReplicaId>,
    /// What the orchestrator has, where there is one.
    pub(super) swarm: Option<Swarm>,
    /// What was to be started there.
    pub(super) launches: BTreeMap<ReplicaId, Launch>,
    /// The services that replicas are, by their ids, where they were made or found.
    pub(super) services: BTreeMap<ReplicaId, u64>,
    /// Those whose services are removed.
    pub(super) removing: BTreeSet<ReplicaId>,
    /// Containers of others that run.
    apps: BTreeSet<u8>,
    pub(super) luck: Luck,
    pub(super) last_ticket: u64,
    pub(super) laws: Laws,
}

/// What will happen to a replica.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    Started(ReplicaId),
    Located(ReplicaId),
    StartFailed(ReplicaId),
    Exited(ReplicaId),
    Answered(ReplicaId),
    /// A request of a half-open trial has ended.
    Tried(ReplicaId),
    Drained(ReplicaId),
    Built,
    /// The image of a deploy was looked for.
    Prepared(u64),
    /// The runtime has looked at what there is.
    Listed,
}

impl World {
    pub(super) fn new(config: ControlConfig, owner: Owner, seed: u64) -> Self {
        let now = Instant::now();
        let replicas = config.replicas;
        let endpoints = (1..=if owner.makes_replicas() { 0 } else { replicas })
            .map(|n| format!("first-{n}:80"))
            .collect();
        // One world in three goes on with replicas that another balancer has started.
        let is_shared = owner == Owner::Orchestrator;
        let lists = owner.is_balancer() && seed % 3 == 2;
        let prepares = owner.is_balancer() && seed.is_multiple_of(2);
        let facts = RuntimeFacts { kind: "simulated", owner, lists: lists || is_shared, prepares };
        let mut pool = Pool::new(config, facts, endpoints, seed, now).expect("at most 5 replicas, of 12");
        pool.limit_heartbeats(laws::HEARTBEATS);
        let first = Writer::first(&pool.publication()).expect("a ring without members");
        let (publisher, readers) = cluster(vec![first.clone()]);
        let publisher = publisher.split().1.remove(0);
        let writer = Writer::new(pool.publication(), &first, publisher);
        let mut world = Self {
            pool,
            writer,
            reader: readers.reader(),
            build: None,
            now,
            owner,
            rng: Rng::with_seed(seed),
            living: BTreeMap::new(),
            queue: BTreeMap::new(),
            happenings: 0,
            drains: BTreeSet::new(),
            swarm: is_shared
                .then(|| Swarm::with(if seed.is_multiple_of(2) { &[] } else { &["v1", "", "v1"] })),
            launches: BTreeMap::new(),
            services: BTreeMap::new(),
            removing: BTreeSet::new(),
            apps: BTreeSet::new(),
            luck: Luck::default(),
            last_ticket: 0,
            laws: Laws::new(if lists || is_shared { 0 } else { replicas }, is_shared),
        };
        world.feed(Event::Tick);
        if let Some(found) = world.swarm.as_ref().map(Swarm::inventory) {
            let there = if found.is_empty() { replicas } else { found.len() as u32 };
            world.laws.adopts(there, &found);
            world.feed(Event::Runtime(RuntimeEvent::Inventory(found)));
        }
        if lists {
            world.adopt(replicas);
        }
        world
    }

    /// The runtime tells of what was left of so many replicas, in the middle of a deploy or not.
    fn adopt(&mut self, replicas: u32) {
        let numbers: Vec<_> = (1..=replicas).filter(|_| !self.is_unlucky(1)).collect();
        let mut found = |number| Found {
            key: format!("container {number}"),
            name: format!("Found {number}"),
            number: Some(number),
            owner: Owner::Balancer,
            revision: ["", "v1", "v2"][self.rng.usize(..3)].to_owned(),
            place: Place::Holder,
        };
        let found: Vec<_> = numbers.into_iter().map(&mut found).collect();
        self.laws.adopts(replicas, &found);
        self.feed(Event::Runtime(RuntimeEvent::Inventory(found)));
    }

    pub(super) fn owns_replicas(&self) -> bool {
        self.owner.makes_replicas()
    }

    pub(super) fn config(&self) -> ControlConfig {
        self.pool.config().clone()
    }

    /// The name of some member.
    pub(super) fn member_name(&self, choice: u8) -> Option<String> {
        let names: Vec<_> = self.pool.members().map(|member| member.name).collect();
        (!names.is_empty()).then(|| names[usize::from(choice) % names.len()].clone())
    }

    /// Sends a request.
    pub(super) fn ask(&mut self, ticket: Ticket, request: Request) {
        self.laws.asked(ticket, &request);
        self.feed(Event::Request(ticket, request));
    }

    /// One event through the pool, what the supervisor makes of it, and the laws after it.
    pub(super) fn feed(&mut self, event: Event) {
        self.step(event);
        self.publish();
        assert!(self.build.is_some() || self.is_complete() || self.pool.is_stopping(), "nobody builds");
    }

    fn step(&mut self, event: Event) {
        let before = self.laws.begin_step(&event, self.nodes(), &self.pool);
        let listed = self.listed();
        let actions = self.pool.step(event, self.now);
        for action in actions {
            self.laws.see(&action, self.now, &self.pool, &before, &listed);
            self.perform(action);
        }
        self.laws.end_step(&before, &self.pool, self.now, &self.nodes(), self.is_complete());
        // The view is made of what has changed; it has to show what a scan would.
        let changed = self.pool.take_changed().unwrap_or_default();
        let view = self.writer.view(&self.pool, &changed);
        laws::see_view(&view, &self.pool);
    }

    /// Publishes what the pool wants, as far as its ring is built.
    fn publish(&mut self) {
        while !self.pool.is_stopping() && !self.is_complete() {
            let (published, build) = self.writer.update(&self.pool);
            if let Some(build) = build {
                assert!(self.build.replace(build).is_none(), "two rings are being built");
                self.later(2000, Happening::Built);
            }
            if published.is_none() {
                return;
            }
            self.look_at_snapshot();
            self.step(Event::Published(self.writer.in_force()));
            if self.build.is_some() {
                return;
            }
        }
    }

    fn look_at_snapshot(&self) {
        self.reader.with_pool(0, |snapshot| {
            for member in snapshot.members() {
                let id = self.writer.replica_of(member.endpoint.id).expect("it is listed");
                self.laws.see_endpoint(id, member.endpoint.is_healthy(), &self.pool);
                self.laws.see_standing(id, member.endpoint.standing());
            }
        });
    }

    /// Whether all that the pool wants is in force.
    fn is_complete(&self) -> bool {
        self.writer.in_force() == self.pool.asked()
    }

    /// Those of the ring in force.
    fn nodes(&self) -> Vec<Node> {
        self.reader.with_pool(0, |snapshot| snapshot.ring().nodes().to_vec())
    }

    /// Whom the snapshot in force lists.
    fn listed(&self) -> Vec<ReplicaId> {
        let id = |endpoint| self.writer.replica_of(endpoint).expect("it is listed");
        self.reader
            .with_pool(0, |snapshot| snapshot.members().iter().map(|member| id(member.endpoint.id)).collect())
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::CancelPreparation => self.queue.retain(|_, it| !matches!(it, Happening::Prepared(_))),
            Action::Prepare { deploy, .. } => self.later(2000, Happening::Prepared(deploy)),
            Action::Start(launch) => self.start(&launch),
            Action::Stop(id) => {
                self.drains.remove(&id);
                self.change(id, Swarm::leave);
                self.removing.insert(id);
                self.later(1000, Happening::Exited(id));
            }
            Action::Retire(id) => self.change(id, Swarm::leave),
            Action::Vacate(id) => self.change(id, Swarm::vacate),
            Action::TakeNumber(id) => self.change(id, Swarm::take_number),
            Action::Forget(id) => {
                self.drains.remove(&id);
                self.living.remove(&id);
            }
            Action::Kill(id) => self.later(10, Happening::Exited(id)),
            Action::Check(probe) => self.later(300, Happening::Answered(probe.id)),
            Action::Drain(id) => {
                self.drains.insert(id);
                // Beyond the deadline for some.
                self.later(5000, Happening::Drained(id));
            }
            Action::Locate(id) => self.later(300, Happening::Located(id)),
            Action::SetUp(id, up) => self.writer.set_up(id, up, self.pool.config().slow_start),
            Action::SetStanding(id, standing) => {
                self.writer.set_standing(id, standing, self.pool.config().slow_start);
                if standing == Standing::HalfOpen {
                    self.later(500, Happening::Tried(id));
                }
            }
            Action::Publish { .. }
            | Action::Reply(..)
            | Action::Note(_)
            | Action::TellDeploy(_)
            | Action::Unserved
            | Action::Unready { .. }
            | Action::EjectionRefused { .. }
            | Action::Ignored { .. } => {}
        }
    }

    fn start(&mut self, launch: &Launch) {
        let well = !self.is_unlucky(self.luck.sick);
        let discovered = laws::is_app(&launch.name);
        self.living.insert(launch.id, Living { runs: false, well, fails: false, discovered });
        self.launches.insert(launch.id, launch.clone());
        if launch.existing.is_some() {
            self.bind(launch.id);
        }
        if self.is_unlucky(self.luck.fails) {
            self.later(500, Happening::StartFailed(launch.id));
        } else if self.is_shared() && self.is_unlucky(self.luck.hangs) {
            // It comes in the end.
            self.later(20_000, Happening::Started(launch.id));
        } else if discovered || self.is_shared() || !self.owns_replicas() || !self.is_unlucky(self.luck.hangs)
        {
            // What others run is looked up, which always ends.
            self.later(500, Happening::Started(launch.id));
        }
    }

    fn is_unlucky(&mut self, quarters: u8) -> bool {
        self.rng.u8(..4) < quarters
    }

    pub(super) fn later(&mut self, most_ms: u64, happening: Happening) {
        self.happenings += 1;
        let at = self.now + Duration::from_millis(self.rng.u64(..=most_ms));
        self.queue.insert((at, self.happenings), happening);
    }

    fn happen(&mut self, happening: Happening) {
        if let Happening::Built = happening {
            let build = self.build.take().expect("one is being built");
            let ring = build.run();
            assert!(ring.is_ok(), "a ring that cannot be built");
            self.writer.built(ring, &self.pool);
            if !self.pool.is_stopping() {
                self.look_at_snapshot();
            }
            return self.feed(Event::Published(self.writer.in_force()));
        }
        if let Happening::Listed = happening {
            return self.list();
        }
        if let (Happening::Started(id), true) = (happening, self.is_shared()) {
            return self.start_shared(id);
        }
        if let Some(event) = self.event_of(happening) {
            self.feed(event);
        }
    }

    pub(super) fn feed_of(&mut self, happening: Happening) {
        if let Some(event) = self.event_of(happening) {
            self.feed(event);
        }
    }

    /// What the pool hears of it; nothing if the replica ended before.
    pub(super) fn event_of(&mut self, happening: Happening) -> Option<Event> {
        match happening {
            Happening::Prepared(deploy) => {
                let result =
                    if self.is_unlucky(self.luck.fails) { Err("no image".to_owned()) } else { Ok(()) };
                Some(Event::Runtime(RuntimeEvent::Prepared { deploy, result }))
            }
            Happening::Started(id) => {
                self.living.get_mut(&id)?.runs = true;
                let address = ([127, 0, 0, 1], 1 + id.0 as u16 % 60_000).into();
                Some(Event::Runtime(RuntimeEvent::Started { id, address, instance: format!("pid {id}") }))
            }
            Happening::Located(id) => {
                self.living.get(&id).filter(|living| living.runs)?;
                let address = |host| ([127, 0, 0, host], 1 + id.0 as u16 % 60_000).into();
                let addresses = (0..self.rng.u8(1..4)).map(|_| address(self.rng.u8(1..5))).collect();
                Some(Event::Runtime(RuntimeEvent::Located { id, addresses }))
            }
            Happening::StartFailed(id) if self.removing.contains(&id) => None,
            Happening::StartFailed(id) => {
                self.living.remove(&id)?;
                Some(Event::Runtime(RuntimeEvent::StartFailed { id, reason: "no luck".to_owned() }))
            }
            Happening::Exited(id) => {
                self.living.remove(&id)?;
                self.removing.remove(&id);
                self.change(id, Swarm::end_leaving);
                Some(Event::Runtime(RuntimeEvent::Exited { id, reason: "ended".to_owned() }))
            }
            // A heartbeat is answered whatever became of the replica meanwhile.
            Happening::Answered(id) => Some(Event::Heartbeat(
                id,
                match self.living.get(&id) {
                    _ if self.rng.u8(..16) == 0 => Verdict::Unknown("too late".to_owned()),
                    Some(living) if living.runs && living.well => Verdict::Good,
                    _ if self.rng.bool() => Verdict::NoAnswer("no answer".to_owned()),
                    _ => Verdict::Bad("answered 503".to_owned()),
                },
            )),
            Happening::Tried(id) => {
                let living = self.living.get(&id)?;
                let went_well = living.well && !living.fails;
                if self.laws.is_on_trial(id) {
                    self.later(500, Happening::Tried(id));
                }
                Some(Event::TrialEnded { id, went_well })
            }
            Happening::Drained(id) => self.drains.remove(&id).then_some(Event::Drained(id)),
            Happening::Built | Happening::Listed => None,
        }
    }

    /// Lets time pass, with all that happens in it.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.next_time().filter(|&at| at <= end) {
            self.now = at;
            match self.queue.first_entry().filter(|entry| entry.key().0 <= at) {
                Some(entry) => {
                    let happening = entry.remove();
                    self.happen(happening);
                }
                None => self.feed(Event::Tick),
            }
        }
        self.now = end;
        self.feed(Event::Tick);
    }

    fn next_time(&self) -> Option<Instant> {
        let queued = self.queue.first_key_value().map(|(key, _)| key.0);
        queued.into_iter().chain(self.pool.next_deadline()).min()
    }

    fn some_living(&self, choice: u8) -> Option<ReplicaId> {
        let ids: Vec<_> = self.living.iter().filter(|(_, living)| living.runs).map(|(&id, _)| id).collect();
        (!ids.is_empty()).then(|| ids[usize::from(choice) % ids.len()])
    }

    /// Ends some replica; those that others run do not tell when they end.
    pub(super) fn crash(&mut self, choice: u8) {
        let Some(id) = self.some_living(choice) else { return };
        let discovered = self.living.get(&id).is_some_and(|living| living.discovered);
        if self.owns_replicas() && !discovered {
            self.happen(Happening::Exited(id));
        } else {
            self.change_mood(choice);
        }
    }

    /// Makes some replica ill, or well again.
    pub(super) fn change_mood(&mut self, choice: u8) {
        let id = self.some_living(choice / 2);
        if let Some(living) = id.and_then(|id| self.living.get_mut(&id)) {
            living.well = choice % 2 == 1;
            living.fails = choice % 8 == 5;
        }
    }

    /// Some requests in a row fail at some replica.
    pub(super) fn requests_failed(&mut self, choice: u8) {
        if let Some(id) = self.some_living(choice / 8) {
            let streak = u32::from(choice % 8) + 1;
            self.feed(Event::RequestsFailed { id, streak, last: "connection closed" });
        }
    }

    /// Some replica fails more often than others.
    pub(super) fn compare(&mut self, choice: u8) {
        let Some(bad) = self.some_living(choice) else { return };
        let sample =
            |&id: &ReplicaId| Sample { id, requests: 1000, failures: if id == bad { 900 } else { 1 } };
        let samples = self.living.keys().map(sample).collect();
        self.feed(Event::SuccessRates(samples));
    }

    /// What requests met with is looked at; some replica fails its own.
    pub(super) fn judge(&mut self, choice: u8) {
        let bad = self.some_living(choice).filter(|_| choice.is_multiple_of(4));
        let requests = u64::from(choice);
        let sample = |&id: &ReplicaId| {
            let errors = if Some(id) == bad { requests } else { 0 };
            (id, DeploySample { requests, errors, ..DeploySample::default() })
        };
        let samples = self.living.keys().map(sample).collect();
        self.feed(Event::DeploySamples(samples));
    }

    pub(super) fn request_failed(&mut self, choice: u8) {
        if let Some(id) = self.some_living(choice) {
            self.feed(Event::RequestFailed(id));
        }
    }

    /// Others start a container, or stop it.
    pub(super) fn toggle_app(&mut self, choice: u8) {
        let app = choice % 5;
        if !self.apps.insert(app) {
            self.apps.remove(&app);
        }
        let shared = self.swarm.as_ref().map(Swarm::inventory).unwrap_or_default();
        let found = self.apps.iter().map(|app| Found {
            key: format!("key {app}"),
            name: format!("{}{app}", laws::APP),
            number: None,
            owner: Owner::Discovered,
            revision: String::new(),
            place: Place::Holder,
        });
        self.feed(Event::Runtime(RuntimeEvent::Inventory(found.chain(shared).collect())));
    }

    /// Somebody else tells some replica to end.
    pub(super) fn tell_to_end(&mut self, choice: u8) {
        let is_ours = self.owner.is_balancer();
        let Some(id) = self.some_living(choice).filter(|_| is_ours) else { return };
        self.feed(Event::Runtime(RuntimeEvent::Ending { id, reason: "docker stop".to_owned() }));
    }

    /// The runtime answers no more, or again.
    pub(super) fn set_available(&mut self, available: bool) {
        self.feed(Event::Runtime(if available {
            RuntimeEvent::Available
        } else {
            RuntimeEvent::Unavailable { reason: "it does not answer".to_owned() }
        }));
    }

    /// The answer to a heartbeat that was not sent.
    pub(super) fn stray_answer(&mut self, id: ReplicaId) {
        if !self.laws.is_checking(id) {
            self.feed(Event::Heartbeat(id, Verdict::Good));
        }
    }

    /// Lets all go well from here on, and expects the pool to be whole before long: the longest
    /// thing to wait for is the limit on starts within a minute.
    pub(super) fn settle(&mut self) {
        self.luck = Luck::default();
        self.set_available(true);
        for living in self.living.values_mut() {
            living.well = true;
            living.fails = false;
        }
        let deadline = self.now + Duration::from_secs(300);
        while !self.is_settled() {
            assert!(
                self.now < deadline,
                "not whole after 5 minutes of calm: {:#?} of {:#?}",
                self.pool,
                self.swarm
            );
            let waits = self.pool.deploy().is_some_and(|deploy| deploy.state == DeployState::Waiting);
            if waits {
                self.last_ticket += 1;
                self.ask(Ticket(self.last_ticket), Request::Promote);
            }
            if let Some(swarm) = &mut self.swarm {
                swarm.calm();
                self.list();
            }
            self.advance(Duration::from_secs(1));
        }
    }

    fn is_settled(&self) -> bool {
        let members = self.pool.members().count();
        let alive = if self.pool.is_stopping() { 0 } else { members };
        let published = self.is_complete() || self.pool.is_stopping();
        if self.is_shared() && self.pool.is_stopping() {
            // What is kept lives on.
            return self.pool.is_stopped() && self.laws.all_answered();
        }
        self.is_as_shared()
            && published
            && self.laws.all_answered()
            && self.living.len() == alive
            && laws::all_well(&self.pool)
    }
}
