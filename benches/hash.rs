//! H and Φ of both families for 65,539 slots, and the hash of a key, per value.
//!
//! `H` runs over an array of random ids, `Φ` over the 256 virtual nodes of 64 replicas.

#![allow(missing_docs, reason = "benches have no callers")]

mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringherd::ring::{Family, Hash, hash_key, request_id};

fn functions(c: &mut Criterion) {
    let ids = common::ids();
    let mut group = c.benchmark_group("hash");
    for &family in Family::ALL {
        let hash = Hash::new(family, 65_539);
        group.throughput(Throughput::Elements(ids.len() as u64));
        group.bench_function(format!("H/{family}"), |b| {
            b.iter(|| common::each(ids.iter().copied(), |id| hash.request(id)));
        });
        group.throughput(Throughput::Elements(64 * 256));
        group.bench_function(format!("Φ/{family}"), |b| {
            b.iter(|| {
                for number in 1..=64 {
                    common::each(0..256, |j| hash.virtual_node(number, j));
                }
            });
        });
    }
    group.finish();
}

fn keys(c: &mut Criterion) {
    let mut group = c.benchmark_group("key");
    group.bench_function("number", |b| b.iter(|| request_id(black_box(b"132574"))));
    let uuid = b"550e8400-e29b-41d4-a716-446655440000";
    group.bench_function("uuid", |b| b.iter(|| hash_key(black_box(uuid))));
    group.finish();
}

criterion_group! { name = benches; config = common::criterion(); targets = functions, keys }
criterion_main!(benches);
