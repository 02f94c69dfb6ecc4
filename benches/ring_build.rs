//! Building a ring: what a change of membership costs the supervisor, per build.
//!
//! - `default/N`: the defaults, with 2¹⁹ − 1 slots for 1,000 replicas.
//! - `tight/1000`: 1,000 replicas on the smallest size that holds them, at a load of 0.9999.
//! - `full/…`: a circle of 65,536 slots without one free.
//! - `rendezvous/N`, `balanced/N`: the other placements on the default number of slots.

#![allow(missing_docs, reason = "benches have no callers")]

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use ringherd::ring::{Family, Params, Placement, Probing, Ring};

fn ring_build(c: &mut Criterion) {
    let mut cases = Vec::new();
    for replicas in [3, 10, 100, 1_000] {
        cases.push((format!("default/{replicas}"), common::params(replicas), replicas));
    }
    let tight =
        |family| Params::new(family, Probing::Quadratic, Placement::Ring, 256_019, 256).expect("valid");
    cases.push(("tight/1000".to_owned(), tight(Family::Modified), 1_000));
    for &probing in Probing::ALL {
        for &family in Family::ALL {
            let params = Params::new(family, probing, Placement::Ring, 65_536, 256).expect("valid");
            cases.push((format!("full/{family}/{probing}"), params, 256));
        }
    }
    for placement in [Placement::Rendezvous, Placement::Balanced] {
        let params =
            Params::new(Family::Modified, Probing::Quadratic, placement, 65_539, 256).expect("valid");
        for replicas in [3, 10, 100, 1_000] {
            cases.push((format!("{placement}/{replicas}"), params.clone(), replicas));
        }
    }

    let mut group = c.benchmark_group("ring_build");
    group.sample_size(10);
    for (name, params, replicas) in cases {
        let nodes = common::nodes(replicas);
        group.bench_function(name, |b| b.iter(|| Ring::build(&params, &nodes)));
    }
    group.finish();
}

criterion_group! { name = benches; config = common::criterion(); targets = ring_build }
criterion_main!(benches);
