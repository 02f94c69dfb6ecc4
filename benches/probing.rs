//! Placing one virtual node on a circle of 65,539 slots that is filled to a given load.
//!
//! Measured per placement, over 64 placements from random first slots onto a copy of the circle;
//! making the copy is not measured.

#![allow(missing_docs, reason = "benches have no callers")]

mod common;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringherd::ring::{Placer, Probing, Sequence};

const SLOTS: u32 = 65_539;
const PLACEMENTS: usize = 64;

fn probing(c: &mut Criterion) {
    let mut group = c.benchmark_group("probing");
    group.throughput(Throughput::Elements(PLACEMENTS as u64));
    for &probing in Probing::ALL {
        for load in [0.1, 0.5, 0.9, 0.99] {
            let mut random = fastrand::Rng::with_seed(1);
            let placer = filled(probing, load, &mut random);
            let firsts: Vec<u32> = (0..PLACEMENTS).map(|_| random.u32(..SLOTS)).collect();
            group.bench_function(BenchmarkId::new(probing.as_str(), load), |b| {
                b.iter_batched_ref(
                    || placer.clone(),
                    |placer| common::each(firsts.iter().copied(), |first| placer.place(first)),
                    BatchSize::LargeInput,
                );
            });
        }
    }
    group.finish();
}

fn filled(probing: Probing, load: f64, random: &mut fastrand::Rng) -> Placer {
    let mut placer = Placer::new(Sequence::new(probing, SLOTS).expect("a prime of the form 4n + 3"));
    for _ in 0..(f64::from(SLOTS) * load) as u32 {
        placer.place(random.u32(..SLOTS)).expect("a free slot");
    }
    placer
}

criterion_group! { name = benches; config = common::criterion(); targets = probing }
criterion_main!(benches);
