//! Replicas as services of a Docker Swarm: one service with one task each.
//!
//! The Swarm keeps them alive and moves them between nodes; any number of balancers share them. The
//! shared state is in the labels of the services and nowhere else, so that all balancers compute the
//! same ring. A balancer creates a service for an `/add` and deletes it after an `/rm`; it never
//! starts a second copy of a service. For a deploy it creates successors beside services, or changes services where
//! they are; what is what then is in a label too.
//!
//! `observed` is the state of the Swarm, `places` what its services are to their numbers, `reconciler` decides what
//! follows from it, `client` performs that, and `actor` runs the loop. Nothing here judges health.

mod actor;
mod client;
mod context;
mod events;
mod numbers;
mod observed;
mod output;
mod places;
mod reconciler;
mod refusals;
mod template;

use self::actor::Actor;
use super::engine::Spec;
use super::handle::RuntimeHandle;
use super::output::Outputs;
use super::{Owner, RuntimeEvents};

/// How replicas are run as Swarm services.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SwarmConfig {
    /// How the containers of services are made.
    pub spec: Spec,
}

/// Starts a runtime that reports to `events`, beginning with an inventory, and has the output of its tasks read through
/// `outputs`.
/// [`stop`](super::Runtime::stop) removes a service, unless another balancer is doing that.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start(config: SwarmConfig, events: RuntimeEvents, outputs: Outputs) -> RuntimeHandle {
    let (handle, commands) = RuntimeHandle::new("swarm", Owner::Orchestrator);
    tokio::spawn(Actor::new(config.spec, events, outputs).run(commands));
    handle
}
