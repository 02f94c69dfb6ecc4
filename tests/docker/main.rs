//! ringherd with `--runtime docker` against a real engine: the real binary, real containers. The
//! tests take turns, so that no other test's load disturbs their figures, and print them.

#[path = "../common/mod.rs"]
mod common;
#[path = "../engine/mod.rs"]
mod engine;

mod adoption;
mod compose;
mod crash_loop;
mod discover;
mod failover;
mod herd;
mod outage;
mod session;
