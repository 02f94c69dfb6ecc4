//! Replicas as services of a Docker Swarm: one service with one task each.
//!
//! The Swarm keeps them alive and moves them between nodes; any number of balancers share them.
//! What they share is kept in the services' labels and nowhere else, so that all of them compute
//! the same ring. A balancer makes a service for an `/add` and deletes it after an `/rm`; it never
//! starts a second copy of anything.
//!
//! `world` is what there is, `book` decides by it what is told and done, `calls` does it, and
//! `actor` goes from one to the other. None of them judges health.

mod actor;
mod book;
mod calls;
mod hints;
mod home;
mod numbers;
mod refusals;
mod template;
mod world;

use self::actor::Actor;
use super::engine::Spec;
use super::remote::Remote;
use super::{Owner, RuntimeEvents};

/// The label of a service that is being removed: its replica has left the ring, or is about to,
/// at every balancer. Its value is the last time at which the balancer that removes it was seen
/// alive, in seconds of Unix time.
pub const LEAVING: &str = "io.ringherd.leaving";

/// How replicas are run as Swarm services.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SwarmConfig {
    /// How a service's container is made.
    pub spec: Spec,
}

/// A runtime that reports to `events`, beginning with an inventory. A `stop` removes the service,
/// unless another balancer does that already.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start(config: SwarmConfig, events: RuntimeEvents) -> Remote {
    let (remote, orders) = Remote::new("swarm", Owner::Orchestrator);
    tokio::spawn(Actor::new(config.spec, events).run(orders));
    remote
}
