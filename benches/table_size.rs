//! How far the number of slots goes: a lookup in tables of 128 KiB to 32 MiB, and how long they take to
//! build.
//!
//! - `apart/M`: lookups that do not wait for each other, as of many requests at once; the processor
//!   fetches several parts of the table at a time.
//! - `waiting/M`: each lookup needs the result of the one before, so that its whole latency counts.
//! - `build/PLACEMENT/M/N`: from nothing.
//!
//! Times of lookups are for 65,536, and include drawing an id and hashing it.

#![allow(missing_docs, reason = "benches have no callers")]

mod common;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringherd::ring::{Family, Params, Placement, Probing, Ring};

/// Lookups of one iteration.
const LOOKUPS: u64 = 1 << 16;

/// Odd, so that every slot is reached.
const SLOTS: [u32; 5] = [65_539, 262_147, 1_048_579, 4_194_307, 16_777_213];

fn params(placement: Placement, slots: u32) -> Params {
    Params::new(Family::Modified, Probing::Linear, placement, slots, 256).expect("valid")
}

/// Knuth's MMIX generator.
fn next(id: u64) -> u64 {
    id.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

fn table_size(c: &mut Criterion) {
    let nodes = common::nodes(10);
    let mut group = c.benchmark_group("table_size");
    group.throughput(Throughput::Elements(LOOKUPS));
    for slots in SLOTS {
        let ring = Ring::build(&params(Placement::Balanced, slots), &nodes).expect("it fits");
        let owner = |id: u64| ring.owner_at(ring.slot_of(id >> 16)).expect("somebody owns it") as u64;
        let mut id = 1;
        group.bench_function(BenchmarkId::new("apart", slots), |b| {
            b.iter(|| {
                for _ in 0..LOOKUPS {
                    id = next(id);
                    black_box(owner(id));
                }
            });
        });
        group.bench_function(BenchmarkId::new("waiting", slots), |b| {
            b.iter(|| {
                for _ in 0..LOOKUPS {
                    id = next(id ^ owner(id));
                }
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("table_size/build");
    group.sample_size(10);
    for slots in [65_539, 1_048_579, 16_777_213] {
        for &placement in Placement::ALL {
            for replicas in [10, 60] {
                let (params, nodes) = (params(placement, slots), common::nodes(replicas));
                group.bench_function(format!("{placement}/{slots}/{replicas}"), |b| {
                    b.iter(|| Ring::build(&params, &nodes));
                });
            }
        }
    }
    group.finish();
}

criterion_group! { name = benches; config = common::criterion(); targets = table_size }
criterion_main!(benches);
