//! how evenly requests spread over the replicas, and what the rings promise.

use super::error::Error;
use super::figures::{Spread, Sweep};
use super::rings::{self, RingFacts, Variant};
use super::session::Session;

/// Number of replicas of A-1.
const REPLICAS: usize = 3;

/// Numbers of replicas of.
pub(super) const REPLICA_COUNTS: std::ops::RangeInclusive<u32> = 2..=6;

/// Numbers of replicas for which A-4 computes the expectation: those that are measured, and ten.
const EXPECTED_COUNTS: [u32; 6] = [2, 3, 4, 5, 6, 10];

/// three replicas, or as many as there are if the pool cannot be changed.
pub(super) async fn three_replicas(session: &Session<'_>, notes: &mut Vec<String>) -> Result<Spread, Error> {
    session.use_ring(None).await?;
    match session.pool.resize(REPLICAS).await {
        Err(error) if error.is_refusal() => {
            notes.push(format!("A-1 was measured on the replicas there are: {}.", error.reason()));
        }
        resized => drop(resized?),
    }
    session.measure_ids().await
}

/// two to six replicas.
pub(super) async fn several_counts(session: &Session<'_>) -> Result<Vec<Spread>, Error> {
    session.use_ring(None).await?;
    measure_counts(session).await
}

/// two to six replicas on each kind of ring, with what is expected of it.
pub(super) async fn several_rings(session: &Session<'_>) -> Result<Vec<Sweep>, Error> {
    let mut sweeps = Vec::new();
    for variant in rings::variants(session.options.family) {
        session.use_ring(Some(&variant.params)).await?;
        sweeps.push(sweep(session, &variant).await?);
    }
    Ok(sweeps)
}

/// Measures each number of replicas on the ring as it is.
async fn measure_counts(session: &Session<'_>) -> Result<Vec<Spread>, Error> {
    let mut spreads = Vec::new();
    for count in REPLICA_COUNTS {
        session.pool.resize(count as usize).await?;
        spreads.push(session.measure_ids().await?);
    }
    Ok(spreads)
}

async fn sweep(session: &Session<'_>, variant: &Variant) -> Result<Sweep, Error> {
    let spreads = measure_counts(session).await?;
    // Computed for the replicas that were measured; otherwise for replicas 1 to N, if the measured
    // ones have those numbers.
    let first = spreads.iter().all(Spread::is_of_the_first);
    let peak = |count: u32| {
        let measured = spreads.iter().find(|spread| spread.n() == count as usize);
        let computed = || {
            rings::first(&variant.params, count).filter(|_| first).map(|ring| session.expected_peak(&ring))
        };
        Some((count, measured.map(|spread| spread.expected_peak_to_average).or_else(computed)?))
    };
    Ok(Sweep {
        label: variant.label,
        key: variant.key,
        ring: RingFacts::of(&variant.params),
        expected: EXPECTED_COUNTS.into_iter().filter_map(peak).collect(),
        spreads,
    })
}
