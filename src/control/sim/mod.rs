//! A simulated world around the pool: replicas that start, fail, hang, fall ill and die as the
//! bytes of a test say, with a clock that only the simulation moves. After each step the laws
//! of `laws` are asserted. For the property test and the fuzz target.

mod laws;
mod shared;
mod swarm;
mod world;

use std::sync::Arc;
use std::time::Duration;

use super::pool::{Event, Ticket};
use super::{
    Add, ControlConfig, DeployConfig, DeployOrder, DeployRequest, HealthConfig, Remove, Request, RingChange,
};
use crate::ring::{Family, Params, Placement, Probing};
use crate::runtime::{Owner, ReplicaId, Revision, RuntimeEvent};
use world::{Luck, World};

/// Replays the sequence of operations that `data` stands for, then lets all go well and expects
/// the pool to be whole.
///
/// # Panics
/// When a law is broken.
pub fn run(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut next = || bytes.next();
    let (kind, seed) = (next().unwrap_or(0), next().unwrap_or(0));
    // One world in four has replicas that others run, and one shares a Swarm with another balancer.
    let owner = match kind % 4 {
        2 => Owner::Orchestrator,
        3 => Owner::Others,
        _ => Owner::Balancer,
    };
    let mut world = World::new(config(kind), owner, u64::from(seed));
    while let (Some(operation), Some(argument)) = (next(), next()) {
        act(&mut world, operation, argument);
    }
    world.settle();
}

fn config(kind: u8) -> ControlConfig {
    ControlConfig {
        replicas: u32::from(kind / 4 % 6),
        max_replicas: 12,
        ring: ring(Placement::Ring, 64),
        health: HealthConfig { interval: Duration::from_secs(2), ..HealthConfig::default() },
        keep_on_stop: kind % 4 == 2,
        drain_timeout: Duration::from_secs(3),
        start_timeout: Duration::from_secs(4),
        replace_after: Duration::from_secs(6),
        slow_start: Duration::from_secs(1),
        deploy: DeployConfig {
            revisions: ["v1", "v2"].map(revision).to_vec(),
            // Half of the worlds have replicas of which no number may have two.
            order: if kind < 128 { DeployOrder::StartFirst } else { DeployOrder::StopFirst },
            surge: 1 + u32::from(kind % 3),
            min_healthy: Duration::from_secs(2),
            window: Duration::from_secs(2),
            ..DeployConfig::default()
        },
        ..ControlConfig::default()
    }
}

fn revision(name: &str) -> Arc<Revision> {
    Arc::new(Revision { name: name.to_owned(), env: vec![format!("NAME={name}")], ..Revision::default() })
}

fn ring(placement: Placement, slots: u32) -> Params {
    Params::new(Family::Modified, Probing::Quadratic, placement, slots, 4).expect("64 is a power of two")
}

/// One operation; `argument` chooses its object and its size.
fn act(world: &mut World, operation: u8, argument: u8) {
    let ticket = world.ticket();
    match operation % 24 {
        0 | 1 => {
            let add = some_add(world, argument);
            world.ask(ticket, Request::Add(add));
        }
        2 | 3 => {
            let remove = some_remove(world, argument);
            world.ask(ticket, Request::Remove(remove));
        }
        4 => world.crash(argument),
        5 => world.change_mood(argument),
        6 => world.luck = Luck::from(argument),
        7 => {
            let name = world.member_name(argument).unwrap_or_default();
            world.ask(ticket, Request::SetWeight { name, weight: argument % 128 });
        }
        8..=10 => world.advance(Duration::from_millis(u64::from(argument) * 4)),
        11 => world.advance(Duration::from_millis(u64::from(argument) * 250)),
        12 => world.ask(ticket, Request::ChangeRing(some_ring(argument))),
        13 => {
            let mut config = ControlConfig { max_replicas: u32::from(argument % 16), ..world.config() };
            if argument >= 192 {
                config.deploy.order = match config.deploy.order {
                    DeployOrder::StartFirst => DeployOrder::StopFirst,
                    DeployOrder::StopFirst => DeployOrder::StartFirst,
                };
            }
            world.ask(ticket, Request::Reload(Box::new(config)));
        }
        14 => stray(world, argument),
        15 if world.is_shared() => world.act_elsewhere(argument),
        16 => world.toggle_app(argument),
        20 | 21 => world.ask(ticket, Request::Deploy(some_deploy(argument))),
        22 if argument < 128 => world.ask(ticket, Request::Promote),
        22 => world.ask(ticket, Request::AbortDeploy),
        23 => world.judge(argument),
        18 => world.requests_failed(argument),
        19 => world.compare(argument),
        17 => {
            let name = world.member_name(argument).unwrap_or_default();
            world.ask(ticket, Request::Kill { name });
        }
        // Rare: there is not much to see after it.
        _ if argument >= 250 => world.ask(ticket, Request::Stop),
        _ => world.request_failed(argument),
    }
}

fn some_add(world: &World, argument: u8) -> Add {
    const NAMES: [&str; 8] = ["A", "a", "B", "Server 1", "C", "localhost", "D", "E"];
    let count = u32::from(argument % 4);
    let names = usize::from(argument / 4 % 4);
    let from = usize::from(argument / 16 % 8);
    let endpoint = |index| format!("host-{}-{index}:80", argument / 64);
    Add {
        count,
        names: NAMES.iter().cycle().skip(from).take(names).map(ToString::to_string).collect(),
        endpoints: if world.owns_replicas() { Vec::new() } else { (0..count).map(endpoint).collect() },
    }
}

fn some_deploy(argument: u8) -> DeployRequest {
    let revision = ["v1", "v2", Revision::BASE, "v3"][usize::from(argument % 4)].to_owned();
    DeployRequest { revision, canary: (argument >= 192).then(|| u32::from(argument) - 150) }
}

fn some_remove(world: &World, argument: u8) -> Remove {
    let names = (0..argument / 4 % 3).filter_map(|index| world.member_name(argument.wrapping_add(index)));
    Remove { count: u32::from(argument % 4), names: names.collect() }
}

fn some_ring(argument: u8) -> RingChange {
    RingChange {
        // 16 slots hold 4 replicas, 63 are impossible with quadratic probing.
        slots: [None, Some(16), Some(63), Some(64), Some(128)]
            .get(usize::from(argument % 5))
            .copied()
            .flatten(),
        placement: match argument {
            176..=215 => Some(Placement::Rendezvous),
            216.. => Some(Placement::Balanced),
            _ => None,
        },
        family: (argument < 50).then_some(Family::Classic),
        ..RingChange::default()
    }
}

/// Events that nobody asked for.
fn stray(world: &mut World, argument: u8) {
    let id = ReplicaId(u64::from(argument / 8));
    match argument % 8 {
        4 => world.tell_to_end(argument),
        5 => world.set_available(false),
        6 => world.set_available(true),
        7 => world.feed(Event::Runtime(RuntimeEvent::Suspect(id))),
        0 => world.stray_answer(id),
        1 => world.feed(Event::Drained(ReplicaId(u64::MAX))),
        2 => world.feed(Event::RequestFailed(id)),
        _ => world.feed(Event::Runtime(RuntimeEvent::Exited {
            id: ReplicaId(u64::MAX),
            reason: "unknown".to_owned(),
        })),
    }
}

impl From<u8> for Luck {
    fn from(argument: u8) -> Self {
        Self { fails: argument % 4, hangs: argument / 4 % 4, sick: argument / 16 % 4 }
    }
}

impl World {
    /// A ticket that was not used before.
    fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }
}
