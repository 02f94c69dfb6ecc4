//! What the benches share: rings, clusters and request ids of the sizes that are compared.
//!
//! Wall-clock figures differ by half between runs on a busy machine. Compare what one run
//! measured side by side.

#![allow(dead_code, unreachable_pub, reason = "a module of each bench, none of which uses all of it")]
#![allow(missing_docs, reason = "benches have no callers")]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use ringherd::cluster::{Endpoint, Load, PoolSnapshot, Routing};
use ringherd::ring::{Family, Node, Params, Placement, Probing, Ring};

/// Request ids of one pass: enough that no branch predictor learns them by heart.
pub const IDS: usize = 16_384;

/// Short samples: all benches together take a few minutes.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_200))
        .configure_from_args()
}

/// The same random ids on each run.
pub fn ids() -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(5_000);
    (0..IDS).map(|_| random.u64(..)).collect()
}

/// The defaults, with as many slots as `replicas` need: 65,539, or 2¹⁹ − 1 for many.
pub fn params(replicas: u32) -> Params {
    if replicas <= Params::default().capacity() {
        return Params::default();
    }
    Params::new(Family::Modified, Probing::Quadratic, Placement::Ring, 524_287, 256)
        .expect("a Mersenne prime")
}

pub fn nodes(replicas: u32) -> Vec<Node> {
    (1..=replicas).map(Node::new).collect()
}

pub fn ring(replicas: u32) -> Arc<Ring> {
    Arc::new(Ring::build(&params(replicas), &nodes(replicas)).expect("the replicas fit"))
}

pub fn address(number: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + number), 8_080))
}

pub fn endpoints(replicas: u32) -> Vec<Arc<Endpoint>> {
    let load = Arc::new(Load::default());
    let endpoint = |number| {
        let name = format!("Server {number}");
        Arc::new(Endpoint::new(name, number, address(number), Arc::clone(&load)))
    };
    (1..=replicas).map(endpoint).collect()
}

pub fn snapshot(replicas: u32) -> PoolSnapshot {
    PoolSnapshot::new(1, ring(replicas), endpoints(replicas), Routing::default())
}

/// Runs `work` on every item; the compiler may drop none of the results.
pub fn each<T, R>(items: impl IntoIterator<Item = T>, mut work: impl FnMut(T) -> R) {
    for item in items {
        black_box(work(item));
    }
}
