//! ringherd with `--runtime docker` against a real engine: the real binary, real containers. The
//! tests take turns, so that no other test's load disturbs their figures, and print them.

#[path = "../common/mod.rs"]
mod common;
#[path = "../engine/mod.rs"]
mod engine;

mod adoption;
mod cluster;
mod compose;
mod crash_loop;
mod deploys;
mod discover;
mod failover;
mod outage;
mod session;
mod stop_first;
