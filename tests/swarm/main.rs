//! Balancers in containers on a real Swarm of two nodes: they share a pool, route alike, and lose
//! no more than what is in flight when a node is cut off.

#[path = "../common/mod.rs"]
mod common;
#[path = "../lab/mod.rs"]
mod lab;

mod balancer;
mod cut;
mod deploys;
mod removal;
mod sharing;
mod stack;
