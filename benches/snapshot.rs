//! The snapshot of 100 replicas: what a request pays to read it, what a change pays to swap it.
//!
//! - `load`: one read through a worker's reader while nothing changes.
//! - `load_while_swapping`: the same while another thread publishes without pause.
//! - `swap_under_readers`: making a snapshot of ready endpoints and publishing it while another
//!   thread reads without pause. The ring is not rebuilt.
//! - `rebuild_and_publish`: all that a change of membership costs on the default ring: the ring is built
//!   anew, alternately without and with the last replica, put together with its endpoints, and published.

#![allow(missing_docs, reason = "benches have no callers")]

mod common;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use criterion::{Criterion, criterion_group, criterion_main};
use ringherd::cluster::{PoolSnapshot, Routing, cluster};
use ringherd::ring::Ring;

const REPLICAS: u32 = 100;

fn load(c: &mut Criterion) {
    let (_publisher, readers) = cluster(vec![common::snapshot(REPLICAS)]);
    let reader = readers.reader();
    c.bench_function("snapshot/load", |b| b.iter(|| reader.with_pool(0, PoolSnapshot::version)));
}

fn load_while_swapping(c: &mut Criterion) {
    let mut next = remaker();
    let (publisher, readers) = cluster(vec![next()]);
    let mut publisher = publisher.split().1.remove(0);
    let reader = readers.reader();
    let publish = move || {
        black_box(publisher.publish(next()));
    };
    beside(publish, || {
        c.bench_function("snapshot/load_while_swapping", |b| {
            b.iter(|| reader.with_pool(0, PoolSnapshot::version));
        });
    });
}

fn swap_under_readers(c: &mut Criterion) {
    let mut next = remaker();
    let (publisher, readers) = cluster(vec![next()]);
    let mut publisher = publisher.split().1.remove(0);
    let read = move || {
        let reader = readers.reader();
        for _ in 0..1_000 {
            black_box(reader.with_pool(0, PoolSnapshot::version));
        }
    };
    beside(read, || {
        c.bench_function("snapshot/swap_under_readers", |b| b.iter(|| publisher.publish(next())));
    });
}

fn rebuild_and_publish(c: &mut Criterion) {
    let (params, nodes, endpoints) =
        (common::params(REPLICAS), common::nodes(REPLICAS), common::endpoints(REPLICAS));
    let (publisher, _readers) = cluster(vec![common::snapshot(REPLICAS)]);
    let mut publisher = publisher.split().1.remove(0);
    let mut version = 1;
    c.bench_function("snapshot/rebuild_and_publish", |b| {
        b.iter(|| {
            version += 1;
            let members = nodes.len() - version as usize % 2;
            let ring = Ring::build(&params, &nodes[..members]).expect("they fit");
            let endpoints = endpoints[..members].to_vec();
            publisher.publish(PoolSnapshot::new(version, Arc::new(ring), endpoints, Routing::default()))
        });
    });
}

/// Makes successive snapshots of one ring and the same endpoints.
fn remaker() -> impl FnMut() -> PoolSnapshot + Send {
    let (ring, endpoints) = (common::ring(REPLICAS), common::endpoints(REPLICAS));
    let mut version = 0;
    move || {
        version += 1;
        PoolSnapshot::new(version, Arc::clone(&ring), endpoints.clone(), Routing::default())
    }
}

/// Runs `work` over and over on another thread while `measure` runs on this one.
fn beside(mut work: impl FnMut() + Send, measure: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                work();
            }
        });
        measure();
        stop.store(true, Ordering::Relaxed);
    });
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = load, load_while_swapping, swap_under_readers, rebuild_and_publish
}
criterion_main!(benches);
