//! Clients that speak HTTP/2.

mod ends;
mod heads;
mod openings;
mod streams;
mod websocket;

use crate::common::Balancer;
use crate::common::origin::Origin;

/// A balancer in front of one origin, ready.
fn in_front_of(origin: &Origin, args: &[&str]) -> Balancer {
    Balancer::before(origin, &[&["--workers", "1"], args].concat())
}
