//! the same for two to six replicas.

use super::error::Error;
use super::figures::Spread;
use super::session::Session;

/// Replicas that are tried.
pub(super) const REPLICAS: std::ops::RangeInclusive<u32> = 2..=6;

/// Measures all of them.
pub(super) async fn run(session: &Session<'_>) -> Result<Vec<Spread>, Error> {
    session.use_ring(None).await?;
    sweep(session).await
}

/// Measures all of them on the ring as it is.
pub(super) async fn sweep(session: &Session<'_>) -> Result<Vec<Spread>, Error> {
    let mut spreads = Vec::new();
    for count in REPLICAS {
        session.pool.resize(count as usize).await?;
        spreads.push(session.measure_ids().await?);
    }
    Ok(spreads)
}
