//! A look at a container that may have ended.

use std::sync::Arc;

use super::stop;
use crate::runtime::ReplicaId;
use crate::runtime::docker::place::Place;
use crate::runtime::docker::report::{Report, Reporter};
use crate::runtime::docker::seen::State;
use crate::runtime::engine::naming;
use crate::runtime::engine::raw::CallError;

/// Reports that it lives, or how it ended.
pub(in crate::runtime::docker) async fn run(
    place: Arc<Place>,
    id: ReplicaId,
    container: String,
    reporter: Reporter,
) -> Result<(), CallError> {
    let reason = match stop::inspect(&place, &container).await {
        Ok(Some((seen, _))) if seen.state == State::Running => {
            reporter.send(Report::Alive(id));
            return Ok(());
        }
        Ok(Some((_, state))) => stop::crash_in_words(&place, &container, &state).await,
        Ok(None) => stop::REMOVED.to_owned(),
        Err(away) if away.is_away() => return Err(away),
        Err(error) => {
            // Nothing is known against it. The next list gives a reason to look again.
            let container = naming::short(&container);
            tracing::warn!(container, %error, "cannot look at a container; heartbeats have to tell");
            reporter.send(Report::Alive(id));
            return Ok(());
        }
    };
    reporter.send(Report::Died { id, reason });
    Ok(())
}
