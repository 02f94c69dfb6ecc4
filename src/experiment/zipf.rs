//! Popular keys: the effect of bounded load if a few keys make up most requests.

use std::rc::Rc;

use super::error::Error;
use super::figures::{Popular, PopularRun};
use super::keys::{self, Key};
use super::load::{Outcome, Records};
use super::session::Session;
use super::stats::Test;
use super::target_pool::{self, BOUNDED_KEY, PLAIN_KEY};
use crate::ring::Ring;

const REPLICAS: usize = 5;

/// No test: the expectation is computed from the keys that are sent, so chance plays no part.
const UNTESTED: Test = Test::Not { why: "not tested, because popular keys are no even draws" };

/// Measures without bounded load, then with it.
pub(super) async fn run(session: &Session<'_>, notes: &mut Vec<String>) -> Result<Popular, Error> {
    session.use_ring(None).await?;
    let params = target_pool::params(&session.pool.ring().await?)?;
    session.pool.resize(REPLICAS).await?;
    let keys: Rc<[Key]> = keys::zipf(session.options.seed, session.options.requests).into();
    let mut runs = Vec::new();
    for key in [PLAIN_KEY, BOUNDED_KEY] {
        session.pool.set_ring(&params, key).await?;
        let (mut spread, records) = session.measure(Rc::clone(&keys), |ring| shares(ring, &keys)).await?;
        (spread.chi_squared_ring, spread.chi_squared_uniform) = (UNTESTED, UNTESTED);
        runs.push(PopularRun { in_flight_peak_to_average: in_flight(&records, spread.n()), spread });
    }
    let bounds: Vec<_> = runs.iter().map(|run| run.spread.bounded_load).collect();
    if bounds[0] == bounds[1] {
        let bound = bounds[0].map_or("off".to_owned(), |factor| factor.to_string());
        notes.push(format!(
            "The target's bounded load is set to {bound}, so the two runs with popular keys do not differ in it."
        ));
    }
    let (keys, exponent) = (keys::ZIPF_KEYS, keys::ZIPF_EXPONENT);
    Ok(Popular { keys, exponent, top_share: keys::top_share(), runs })
}

/// The share of these requests that each node owns.
fn shares(ring: &Ring, keys: &[Key]) -> Vec<f64> {
    let mut owned = vec![0_u32; ring.nodes().len()];
    for key in keys {
        if let Some(owner) = ring.owner_at(ring.slot_of(key.id)) {
            owned[owner] += 1;
        }
    }
    owned.iter().map(|&owned| f64::from(owned) / keys.len().max(1) as f64).collect()
}

/// The total time of requests at the busiest replica divided by the average one. This is the ratio of
/// requests in flight.
fn in_flight(records: &Records, replicas: usize) -> Option<f64> {
    let mut spent = vec![0.0; records.names.len()];
    for record in &records.all {
        if let Outcome::By(index) = record.outcome {
            spent[index] += (record.done.saturating_sub(record.sent)).as_secs_f64();
        }
    }
    let total: f64 = spent.iter().sum();
    (total > 0.0).then(|| spent.iter().copied().fold(0.0, f64::max) * replicas as f64 / total)
}
