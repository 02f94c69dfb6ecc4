//! Inspects the container of a replica that may have ended.

use std::sync::Arc;

use super::{calls, stop};
use crate::runtime::ReplicaId;
use crate::runtime::docker::container::ContainerStatus;
use crate::runtime::docker::context::EngineContext;
use crate::runtime::docker::messages::{ActorHandle, ActorMessage};
use crate::runtime::engine::{CallError, naming};
use crate::runtime::output::LastLines;

/// Sends whether the container runs, or how it ended.
pub(in crate::runtime::docker) async fn run(
    context: Arc<EngineContext>,
    id: ReplicaId,
    container: String,
    last: Option<LastLines>,
    actor: ActorHandle,
) -> Result<(), CallError> {
    let reason = match calls::inspect(&context, &container).await {
        Ok(Some((container, _))) if container.status == ContainerStatus::Running => {
            actor.send(ActorMessage::StillRunning(id));
            return Ok(());
        }
        Ok(Some((_, state))) => calls::describe_crash(&context, last.as_ref(), &state).await,
        Ok(None) => stop::REMOVED.to_owned(),
        Err(error) if error.is_unreachable() => return Err(error),
        Err(error) => {
            // That is no sign of an end. The next list gives a reason to inspect it again.
            let container = naming::short(&container);
            tracing::warn!(container, %error, "cannot look at a container; heartbeats have to tell");
            actor.send(ActorMessage::StillRunning(id));
            return Ok(());
        }
    };
    actor.send(ActorMessage::Exited { id, reason });
    Ok(())
}
