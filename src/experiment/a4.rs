//! A-4: A-1 and A-2 for each kind of ring, and what is expected of each.

use super::a2;
use super::error::Error;
use super::figures::{Spread, Sweep};
use super::rings::{self, RingFacts, Variant};
use super::session::Session;

/// N for which the expectation is worked out: those that are measured, and ten.
const EXPECTED: [u32; 6] = [2, 3, 4, 5, 6, 10];

/// Measures all rings that are asked for.
pub(super) async fn run(session: &Session<'_>) -> Result<Vec<Sweep>, Error> {
    let mut sweeps = Vec::new();
    for variant in rings::variants(session.options.family) {
        session.use_ring(Some(&variant.params)).await?;
        sweeps.push(sweep(session, &variant).await?);
    }
    Ok(sweeps)
}

async fn sweep(session: &Session<'_>, variant: &Variant) -> Result<Sweep, Error> {
    let spreads = a2::sweep(session).await?;
    // Where it was measured, of the very replicas that there were; elsewhere of replicas 1 to N, if
    // those were some of them.
    let first = spreads.iter().all(Spread::is_of_the_first);
    let peak = |count: u32| {
        let measured = spreads.iter().find(|spread| spread.n() == count as usize);
        let worked_out = || {
            rings::first(&variant.params, count).filter(|_| first).map(|ring| session.expected_peak(&ring))
        };
        Some((count, measured.map(|spread| spread.expected_peak_to_average).or_else(worked_out)?))
    };
    Ok(Sweep {
        label: variant.label,
        key: variant.key,
        ring: RingFacts::of(&variant.params),
        expected: EXPECTED.into_iter().filter_map(peak).collect(),
        spreads,
    })
}
