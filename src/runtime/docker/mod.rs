//! Replicas as containers of one Docker engine.
//!
//! An actor owns all that is known of them (`actor`, with `lifecycle` and `recovery`). Calls of the
//! engine are made by tasks, which send their results to it as messages (`task`). Events of the
//! engine are acted on at once, but may be missing; the list of containers has the truth. While the
//! engine does not answer, nothing is concluded about containers. Nothing here judges health or
//! decides what is restarted.
//!
//! The engine keeps what containers write, and is asked for it when somebody wants to read it. Only the last lines
//! of one that has ended are kept here, because its container is removed.
//!
//! Dropping the runtime leaves the containers as they are: the next balancer of the same name
//! adopts them. Only containers with the labels of our pool *and* instance are ever touched.

mod actor;
mod adoption;
mod conflicts;
mod container;
mod context;
mod discovered;
mod events;
mod lifecycle;
mod managed;
mod messages;
mod recovery;
mod signals;
mod task;
mod template;
#[cfg(test)]
mod tests;

use self::actor::Actor;
use super::engine::Spec;
use super::handle::RuntimeHandle;
use super::output::Outputs;
use super::{Owner, RuntimeEvents};

/// How replicas are run as containers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DockerConfig {
    /// How a container is made.
    pub spec: Spec,
    /// Name of this balancer among those of the engine if it runs on the host: the address it
    /// listens on, to which the host's name is added. In a container, the container's name is used.
    pub instance: String,
    /// Label, as key and value, of containers that others run and that join the ring.
    pub discover: Option<(String, String)>,
}

/// Starts a runtime that reports to `events`, and has the output of its containers read through `outputs`. It
/// connects to the engine at once, and again whenever the connection is lost.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start(config: DockerConfig, events: RuntimeEvents, outputs: Outputs) -> RuntimeHandle {
    let (handle, commands) = RuntimeHandle::new("docker", Owner::Balancer);
    tokio::spawn(Actor::new(config, events, outputs).run(commands));
    handle
}
