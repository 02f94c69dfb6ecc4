//! The replica: the small web server that the balancer starts by default.
//!
//! Its response to `/home` has its name, that to `/heartbeat` is empty. It knows nothing of rings, the
//! balancer or other replicas. It tells the parent that started it its address by one [`report`] line
//! on standard output, and ends when the parent closes its standard input.
//!
//! [`shim`] gives the same two properties to any other program.

pub mod report;
mod server;
mod service;
pub mod shim;
mod stop;

pub use server::{ReplicaConfig, ReplicaError, serve};
pub use stop::StopSignal;

use tokio::runtime::LocalRuntime;

/// The tokio runtime of a replica: one thread, because there are many replicas.
pub fn runtime() -> std::io::Result<LocalRuntime> {
    LocalRuntime::new()
}
