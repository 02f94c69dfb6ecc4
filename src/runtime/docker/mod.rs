//! Replicas as containers of one Docker engine.
//!
//! An actor owns all that is known of them (`actor`, with `lives` and `recover`); what takes time
//! is a task of its own that reports back (`task`). Events of the engine are hints that act at
//! once, the list of containers is the truth. While the engine does not answer, nothing is
//! concluded from its silence. None of this judges health or decides what is restarted.
//!
//! Dropping the runtime leaves the containers as they are: the next balancer of the same name
//! takes them over. Only containers with the labels of our pool *and* instance are ever touched.

mod actor;
mod body;
mod guests;
mod hint;
mod leave;
mod lives;
mod place;
mod recover;
mod replica;
mod report;
mod rivals;
mod seen;
mod survey;
mod task;
#[cfg(test)]
mod tests;

use self::actor::Actor;
use super::engine::Spec;
use super::remote::Remote;
use super::{Owner, RuntimeEvents};

/// How replicas are run as containers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DockerConfig {
    /// How a container is made.
    pub spec: Spec,
    /// Tells this balancer from others on the same engine when it runs on the host, together with
    /// the host's name: the address it listens on. In a container its name does.
    pub instance: String,
    /// Label of containers that others run, as key and value: they join the ring.
    pub discover: Option<(String, String)>,
}

/// A runtime that reports to `events`. It looks for the engine at once, and for as long as it
/// lives.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start(config: DockerConfig, events: RuntimeEvents) -> Remote {
    let (remote, orders) = Remote::new("docker", Owner::Balancer);
    tokio::spawn(Actor::new(config, events).run(orders));
    remote
}
