//! The balancer as its users run it: the real binary, real replicas, real sockets.

#[path = "../common/mod.rs"]
mod common;

mod drain;
mod exhaustion;
mod fixed;
mod forwarding;
mod healthcheck;
mod programs;
mod routing;
mod session;
mod shutdown;
mod spread;
