//! requests to every endpoint, and a replica killed under load.

mod endpoints;
mod kill;

use super::error::Error;
use super::figures::Endpoints;
use super::session::Session;

const REPLICAS: usize = 3;

/// Runs both parts. What the pool does not allow is left out with a note.
pub(super) async fn run(session: &Session<'_>, notes: &mut Vec<String>) -> Result<Endpoints, Error> {
    session.use_ring(None).await?;
    match session.pool.resize(REPLICAS).await {
        Err(error) if error.is_refusal() => {}
        resized => drop(resized?),
    }
    let checks = endpoints::run(session, notes).await?;
    let kill = match kill::run(session).await {
        Ok(kill) => Some(kill),
        Err(error) if error.is_refusal() => {
            notes.push(format!("A-3 killed no replica: {}.", error.reason()));
            None
        }
        Err(error) => return Err(error),
    };
    Ok(Endpoints { checks, kill })
}
