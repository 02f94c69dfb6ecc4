//! Movement: the part of the keys that get another replica when one is added or removed.
//!
//! Computed for replicas 1 to N from the rings alone. If A-4 was measured too, the same request ids
//! were sent to each N, and the part of these that moved is reported beside it.

use super::error::Error;
use super::figures::{Movement, Spread, Step, Sweep};
use super::rings::{self, Variant};
use super::session::Session;
use super::spread::REPLICA_COUNTS;
use crate::ring::{Node, Ring, slots_moved};

const OTHER_NUMBERS: &str = "Movement is worked out for replicas 1 to N. Those of the target have other numbers, so that \
     they are on other rings: what moved among the requests that were sent is not shown beside it, and A-4 expects \
     nothing of N = 10.";

/// Computes the movement on each ring; `sweeps` are the results of A-4.
pub(super) async fn run(
    session: &Session<'_>,
    sweeps: Option<&[Sweep]>,
    notes: &mut Vec<String>,
) -> Result<Vec<Movement>, Error> {
    if sweeps.into_iter().flatten().any(|sweep| !are_first(&sweep.spreads)) {
        notes.push(OTHER_NUMBERS.to_owned());
    }
    let mut found = Vec::new();
    for variant in rings::variants(session.options.family) {
        let sweep = sweeps.and_then(|sweeps| sweeps.iter().find(|sweep| sweep.key == variant.key));
        let spreads = sweep.map_or(&[][..], |sweep| &sweep.spreads);
        let changed_after_return = match spreads.first() {
            Some(first) => returned(session, &variant, first).await?,
            None => None,
        };
        let (label, key) = (variant.label, variant.key);
        let comparable = if are_first(spreads) { spreads } else { &[] };
        let steps = steps(session, &variant, comparable);
        found.push(Movement { label, key, steps, changed_after_return });
    }
    Ok(found)
}

/// Whether the measured replicas are replicas 1 to N, those of the computation.
fn are_first(spreads: &[Spread]) -> bool {
    spreads.iter().all(Spread::is_of_the_first)
}

/// Goes back to two replicas, and counts the requests that another replica handled than at first.
async fn returned(session: &Session<'_>, variant: &Variant, first: &Spread) -> Result<Option<u64>, Error> {
    session.use_ring(Some(&variant.params)).await?;
    session.pool.resize(first.n()).await?;
    let again = session.measure_ids().await?;
    Ok(differing(first, &again).map(|(differ, _)| differ))
}

fn steps(session: &Session<'_>, variant: &Variant, spreads: &[Spread]) -> Vec<Step> {
    let numbers = REPLICA_COUNTS.skip(1);
    numbers.filter_map(|n| step(session, variant, n, spreads)).collect()
}

fn step(session: &Session<'_>, variant: &Variant, n: u32, spreads: &[Spread]) -> Option<Step> {
    let before = rings::first(&variant.params, n - 1)?;
    let after = rings::first(&variant.params, n)?;
    let without = |gone: u32| {
        let others: Vec<Node> = (1..=n).filter(|number| *number != gone).map(Node::new).collect();
        Ring::build(&variant.params, &others).ok()
    };
    let leaves = |gone: u32| Some(session.moved(&after, &without(gone)?));
    let busiest_leaves = (1..=n).filter_map(leaves).fold(0.0, f64::max);
    let of = |n: u32| spreads.iter().find(|spread| spread.n() == n as usize);
    let measured = of(n - 1).zip(of(n)).and_then(|(before, after)| differing(before, after));
    Some(Step {
        n,
        ideal: 1.0 / f64::from(n),
        keys: session.moved(&before, &after),
        slots: slots_moved(&before, &after)?,
        measured: measured.map(|(differ, all)| differ as f64 / all.max(1) as f64),
        busiest_leaves,
    })
}

/// The number of requests that another replica handled, and of those handled both times.
fn differing(before: &Spread, after: &Spread) -> Option<(u64, u64)> {
    let same_keys = before.handled_by.len() == after.handled_by.len() && !before.handled_by.is_empty();
    let both = || before.handled_by.iter().zip(&after.handled_by).filter(|(a, b)| **a != 0 && **b != 0);
    same_keys.then(|| (both().filter(|(a, b)| a != b).count() as u64, both().count() as u64))
}
