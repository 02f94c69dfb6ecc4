//! A container that exists becomes a replica: one of an earlier life of this balancer, or one of
//! others.

use std::sync::Arc;

use super::stop;
use crate::runtime::ReplicaId;
use crate::runtime::docker::place::Place;
use crate::runtime::docker::report::{Report, Reporter, Running};
use crate::runtime::docker::seen::{Seen, State};
use crate::runtime::engine::labels;
use crate::runtime::engine::raw::CallError;

/// Takes one of ours over, or reports how it ended.
pub(in crate::runtime::docker) async fn run(
    place: Arc<Place>,
    id: ReplicaId,
    container: String,
    reporter: Reporter,
) -> Result<(), CallError> {
    let (seen, state) = match stop::inspect(&place, &container).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            let reason = stop::REMOVED.to_owned();
            reporter.send(Report::Died { id, reason });
            return Ok(());
        }
        Err(error) => return unknown(id, error, &reporter),
    };
    if !labels::are_own(&seen.labels, &place.config.spec.pool, Some(&place.instance)) {
        let reason = "its container does not belong to this balancer".to_owned();
        reporter.send(Report::Failed { id, reason });
        return Ok(());
    }
    if seen.state == State::Running
        && let Some(running) = running(&place, &seen)
    {
        reporter.send(Report::Up { id, running });
        return Ok(());
    }
    let reason = if seen.state == State::Running {
        "its container has no address".to_owned()
    } else {
        stop::crash_in_words(&place, &container, &state).await
    };
    reporter.send(Report::Died { id, reason });
    Ok(())
}

/// Takes up one of others.
pub(in crate::runtime::docker) async fn guest(
    place: Arc<Place>,
    id: ReplicaId,
    container: String,
    reporter: Reporter,
) -> Result<(), CallError> {
    let seen = match stop::inspect(&place, &container).await {
        Ok(found) => found.map(|(seen, _)| seen),
        Err(error) => return unknown(id, error, &reporter),
    };
    let running = seen.filter(|seen| seen.state == State::Running).map(|seen| running(&place, &seen));
    let reason = match running {
        Some(Some(running)) => {
            reporter.send(Report::Up { id, running });
            return Ok(());
        }
        Some(None) => "its container has no address; attach it to a network",
        None => "its container does not run any more",
    };
    reporter.send(Report::Failed { id, reason: reason.to_owned() });
    Ok(())
}

/// It cannot be looked at.
fn unknown(id: ReplicaId, error: CallError, reporter: &Reporter) -> Result<(), CallError> {
    if error.is_away() {
        return Err(error);
    }
    let reason = format!("cannot look up its container: {error}");
    reporter.send(Report::Failed { id, reason });
    Ok(())
}

/// Where a running container takes requests.
pub(super) fn running(place: &Place, seen: &Seen) -> Option<Running> {
    let address = seen.address(&place.networks(), place.config.spec.port)?;
    Some(Running { container: seen.id.clone(), address, stop_signal: seen.stop_signal })
}
