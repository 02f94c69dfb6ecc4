//! One event through the pool of the control plane, by the number of replicas N.
//!
//! - `heartbeat/N`: a good heartbeat has ended.
//! - `tick/N`: a heartbeat is due; per heartbeat that is sent.
//! - `death_and_heal/N`: a replica exits, its successor starts, has its first good heartbeat, and
//!   is published.

#![allow(missing_docs, reason = "benches have no callers")]

mod common;

use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use ringherd::control::ControlConfig;
use ringherd::control::pool::{Action, Event, Pool, RuntimeFacts, Verdict};
use ringherd::ring::{Family, Params, Placement, Probing};
use ringherd::runtime::{Owner, ReplicaId, RuntimeEvent};

const SIZES: [u32; 4] = [3, 64, 1_024, 16_384];

/// A pool whose replicas are ready, and its clock.
#[derive(Clone)]
struct Herd {
    pool: Pool,
    now: Instant,
}

impl Herd {
    fn of(replicas: u32) -> Self {
        let ring =
            Params::new(Family::Modified, Probing::Quadratic, Placement::Ring, 65_539, 1).expect("valid");
        let config = ControlConfig { replicas, max_replicas: replicas, ring, ..ControlConfig::default() };
        let facts = RuntimeFacts { kind: "bench", owner: Owner::Balancer, lists: false, prepares: false };
        let now = Instant::now();
        let pool = Pool::new(config, facts, Vec::new(), 1, now).expect("they fit");
        let mut herd = Self { pool, now };
        let mut actions = herd.step(Event::Tick);
        while let Some(action) = actions.pop() {
            match action {
                Action::Start(launch) => actions.extend(herd.started(launch.id)),
                Action::Check(probe) => actions.extend(herd.good(probe.id)),
                _ => {}
            }
        }
        herd.step(Event::Published(herd.pool.asked()));
        // All are at their own moments from here on.
        for _ in 0..2 * replicas.min(64) {
            let asked = herd.tick();
            herd.settle(asked);
        }
        herd
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.pool.step(event, self.now)
    }

    fn started(&mut self, id: ReplicaId) -> Vec<Action> {
        let address = ([127, 0, 0, 1], 80).into();
        self.step(Event::Runtime(RuntimeEvent::Started { id, address, instance: String::new() }))
    }

    fn good(&mut self, id: ReplicaId) -> Vec<Action> {
        self.step(Event::Heartbeat(id, Verdict::Good))
    }

    /// Goes on to when something is due; returns which replicas get a heartbeat.
    fn tick(&mut self) -> Vec<ReplicaId> {
        self.now = self.pool.next_deadline().expect("a heartbeat");
        checks(self.step(Event::Tick)).collect()
    }

    /// Good heartbeats of these; returns those that had waited for them.
    fn each_good(&mut self, asked: &[ReplicaId]) -> Vec<ReplicaId> {
        asked.iter().flat_map(|id| checks(self.good(*id))).collect()
    }

    /// Good heartbeats of these and of all that had waited.
    fn settle(&mut self, mut asked: Vec<ReplicaId>) {
        while !asked.is_empty() {
            asked = self.each_good(&asked);
        }
    }

    /// Of the replica of number 1.
    fn death_and_heal(&mut self) {
        let id = self.pool.member(1).and_then(|member| member.id).expect("it lives");
        self.step(Event::Runtime(RuntimeEvent::Exited { id, reason: "signal 9".to_owned() }));
        let next = self.pool.member(1).and_then(|member| member.id).expect("it starts again");
        self.started(next);
        self.good(next);
        self.step(Event::Published(self.pool.asked()));
    }
}

fn pool_step(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool_step");
    for replicas in SIZES {
        let mut herd = Herd::of(replicas);
        group.bench_function(BenchmarkId::new("heartbeat", replicas), |b| {
            b.iter_custom(|events| timed_heartbeats(&mut herd, events));
        });
        group.bench_function(BenchmarkId::new("tick", replicas), |b| {
            b.iter_custom(|events| timed_ticks(&mut herd, events));
        });
        group.bench_function(BenchmarkId::new("death_and_heal", replicas), |b| {
            b.iter_batched_ref(|| herd.clone(), Herd::death_and_heal, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// The replicas that get a heartbeat now.
fn checks(actions: Vec<Action>) -> impl Iterator<Item = ReplicaId> {
    actions.into_iter().filter_map(|action| match action {
        Action::Check(probe) => Some(probe.id),
        _ => None,
    })
}

/// The time of `events` good heartbeats.
fn timed_heartbeats(herd: &mut Herd, events: u64) -> Duration {
    let (mut left, mut took) = (events as usize, Duration::ZERO);
    while left > 0 {
        let asked = herd.tick();
        let (measured, others) = asked.split_at(left.min(asked.len()));
        let began = Instant::now();
        let mut rest = herd.each_good(measured);
        took += began.elapsed();
        left -= measured.len();
        rest.extend_from_slice(others);
        herd.settle(rest);
    }
    took
}

/// The time of ticks that send `heartbeats` in all.
fn timed_ticks(herd: &mut Herd, heartbeats: u64) -> Duration {
    let (mut sent, mut took) = (0, Duration::ZERO);
    while sent < heartbeats {
        let began = Instant::now();
        let asked = herd.tick();
        took += began.elapsed();
        sent += asked.len() as u64;
        herd.settle(asked);
    }
    took.mul_f64(heartbeats as f64 / sent as f64)
}

criterion_group! { name = benches; config = common::criterion(); targets = pool_step }
criterion_main!(benches);
