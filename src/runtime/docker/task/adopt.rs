//! A container that exists becomes a replica: one of an earlier run of this balancer, or a
//! discovered one.

use std::sync::Arc;

use super::{calls, stop};
use crate::runtime::ReplicaId;
use crate::runtime::docker::container::ContainerStatus;
use crate::runtime::docker::context::EngineContext;
use crate::runtime::docker::messages::{ActorHandle, ActorMessage};
use crate::runtime::engine::{CallError, labels};
use crate::runtime::output::LastLines;

/// Adopts a container of ours, or sends how it ended.
pub(in crate::runtime::docker) async fn own(
    context: Arc<EngineContext>,
    id: ReplicaId,
    container: String,
    last: Option<LastLines>,
    actor: ActorHandle,
) -> Result<(), CallError> {
    let (found, state) = match calls::inspect(&context, &container).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            let reason = stop::REMOVED.to_owned();
            actor.send(ActorMessage::Exited { id, reason });
            return Ok(());
        }
        Err(error) => return failed(id, error, &actor),
    };
    if !labels::are_own(&found.labels, &context.config.spec.pool, Some(&context.instance)) {
        let reason = "its container does not belong to this balancer".to_owned();
        actor.send(ActorMessage::StartFailed { id, reason });
        return Ok(());
    }
    let runs = found.status == ContainerStatus::Running;
    if let Some(running) = calls::running(&context, &found).filter(|_| runs) {
        actor.send(ActorMessage::Started { id, running });
        return Ok(());
    }
    let reason = if runs {
        "its container has no address".to_owned()
    } else {
        calls::describe_crash(&context, last.as_ref(), &state).await
    };
    actor.send(ActorMessage::Exited { id, reason });
    Ok(())
}

/// Attaches a discovered container.
pub(in crate::runtime::docker) async fn discovered(
    context: Arc<EngineContext>,
    id: ReplicaId,
    container: String,
    actor: ActorHandle,
) -> Result<(), CallError> {
    let found = match calls::inspect(&context, &container).await {
        Ok(found) => found.map(|(container, _)| container),
        Err(error) => return failed(id, error, &actor),
    };
    let runs = found.filter(|found| found.status == ContainerStatus::Running);
    let reason = match runs.map(|found| calls::running(&context, &found)) {
        Some(Some(running)) => {
            actor.send(ActorMessage::Started { id, running });
            return Ok(());
        }
        Some(None) => "its container has no address; attach it to a network",
        None => "its container does not run any more",
    };
    actor.send(ActorMessage::StartFailed { id, reason: reason.to_owned() });
    Ok(())
}

/// The container cannot be inspected.
fn failed(id: ReplicaId, error: CallError, actor: &ActorHandle) -> Result<(), CallError> {
    if error.is_unreachable() {
        return Err(error);
    }
    let reason = format!("cannot look up its container: {error}");
    actor.send(ActorMessage::StartFailed { id, reason });
    Ok(())
}
