//! how requests spread over three replicas.

use super::error::Error;
use super::figures::Spread;
use super::session::Session;

const REPLICAS: usize = 3;

/// Measures it; on a pool that cannot be made three, with those there are.
pub(super) async fn run(session: &Session<'_>, notes: &mut Vec<String>) -> Result<Spread, Error> {
    session.use_ring(None).await?;
    match session.pool.resize(REPLICAS).await {
        Err(error) if error.is_refusal() => {
            notes.push(format!("A-1 was measured on the replicas there are: {}.", error.reason()));
        }
        resized => drop(resized?),
    }
    session.measure_ids().await
}
