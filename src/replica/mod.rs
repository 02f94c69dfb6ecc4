//! The replica: the small web server that the balancer starts by default.
//!
//! It answers `/home` with its name and `/heartbeat` with nothing, and knows nothing of rings,
//! of the balancer, or of other replicas. A parent that started it learns its address from one
//! [`report`] line on standard output, and ends it by closing its standard input.
//!
//! [`shim`] gives the same two properties to any other program.

pub mod report;
mod server;
mod service;
pub mod shim;
mod stop;

pub use server::{ReplicaConfig, ReplicaError, serve};

use tokio::runtime::LocalRuntime;

/// The runtime of a replica: one thread, because a replica is meant to be one of many.
pub fn runtime() -> std::io::Result<LocalRuntime> {
    LocalRuntime::new()
}
