//! From a request id to its owner, hashing included, per id over an array of random ids.
//!
//! - `snapshot`: through a worker's reader, as for a request: load, hash, slot, owner.
//! - `pick`: the same with the health check, the bound and the in-flight guard of a request, which is
//!   dropped at once. Not a lookup any more: the guard counts, which the other columns do not.
//! - `counting`: what a guard counts and nothing else: two atomic additions to the references of the replica,
//!   and four to counters that only one worker changes, which need not be atomic. What an atomic one costs is
//!   up to the processor, 2 to 10 ns; this is how much of `pick` is that.
//! - `ketama`: `pingora-ketama`, 160 points for each replica, keys of 8 bytes.
//! - `sorted`: a classic ring of as many points as ours has, searched by bisection.

#![allow(missing_docs, reason = "benches have no callers")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam::utils::CachePadded;
use pingora_ketama::{Bucket, Continuum};
use ringherd::cluster::cluster;

fn slot_lookup(c: &mut Criterion) {
    let ids = common::ids();
    let mut group = c.benchmark_group("slot_lookup");
    group.throughput(Throughput::Elements(ids.len() as u64));
    for replicas in [3, 10, 100, 1_000] {
        let (_publisher, readers) = cluster(vec![common::snapshot(replicas)]);
        let reader = readers.reader();
        group.bench_function(BenchmarkId::new("snapshot", replicas), |b| {
            b.iter(|| {
                common::each(ids.iter().copied(), |id| {
                    reader.with_pool(0, |now| now.ring().owner_at(now.ring().slot_of(id)))
                });
            });
        });
        group.bench_function(BenchmarkId::new("pick", replicas), |b| {
            b.iter(|| {
                common::each(ids.iter().copied(), |id| {
                    reader.with_pool(0, |now| now.pick(id, &[])).is_some()
                });
            });
        });

        let counters = Counters::new(replicas);
        group.bench_function(BenchmarkId::new("counting", replicas), |b| {
            b.iter(|| common::each(ids.iter().copied(), |id| counters.count(id)));
        });

        let buckets: Vec<Bucket> =
            (1..=replicas).map(|number| Bucket::new(common::address(number), 1)).collect();
        let continuum = Continuum::new(&buckets);
        group.bench_function(BenchmarkId::new("ketama", replicas), |b| {
            b.iter(|| common::each(ids.iter().copied(), |id| continuum.node(&id.to_le_bytes())));
        });

        let sorted = Sorted::new(replicas);
        group.bench_function(BenchmarkId::new("sorted", replicas), |b| {
            b.iter(|| common::each(ids.iter().copied(), |id| sorted.owner(id)));
        });
    }
    group.finish();
}

/// Counters as endpoints have them: two on a cache line of each replica, one that all share, and those
/// of references.
struct Counters {
    replicas: Vec<Arc<CachePadded<[AtomicU64; 2]>>>,
    all: CachePadded<AtomicU64>,
}

impl Counters {
    fn new(replicas: u32) -> Self {
        Self { replicas: (0..replicas).map(|_| Arc::default()).collect(), all: CachePadded::default() }
    }

    /// What the guard of one request counts, at its beginning and at its end.
    fn count(&self, id: u64) {
        let replica = &self.replicas[(id % self.replicas.len() as u64) as usize];
        add(&replica[0], 1);
        add(&self.all, 1);
        let guard = std::hint::black_box(Arc::clone(replica));
        add(&guard[1], 1);
        add(&self.all, u64::MAX);
    }
}

fn add(counter: &AtomicU64, number: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
}

/// The ring as most write it: points on the circle of all hashes, in order.
struct Sorted {
    points: Vec<(u64, u32)>,
}

impl Sorted {
    fn new(replicas: u32) -> Self {
        let points = (1..=replicas).flat_map(|number| (0..256_u32).map(move |j| (number, j)));
        let mut points: Vec<(u64, u32)> =
            points.map(|(number, j)| (fxhash::hash64(&(number, j)), number)).collect();
        points.sort_unstable();
        Self { points }
    }

    fn owner(&self, id: u64) -> u32 {
        let hash = fxhash::hash64(&id);
        let at = self.points.partition_point(|&(point, _)| point < hash);
        self.points[if at == self.points.len() { 0 } else { at }].1
    }
}

criterion_group! { name = benches; config = common::criterion(); targets = slot_lookup }
criterion_main!(benches);
