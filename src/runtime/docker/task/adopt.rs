//! A container that exists becomes a replica: one of an earlier run of this balancer, or a
//! discovered one.

use std::sync::Arc;

use super::error::CreateError;
use super::{calls, create, stop};
use crate::runtime::ReplicaId;
use crate::runtime::docker::container::{Container, ContainerStatus};
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
        Err(error) => return failed(id, error, Some(container), &actor),
    };
    if !labels::are_own(&found.labels, &context.config.spec.pool, Some(&context.instance)) {
        let reason = "its container does not belong to this balancer".to_owned();
        actor.send(ActorMessage::StartFailed { id, reason, left: None });
        return Ok(());
    }
    if found.status != ContainerStatus::Running {
        let reason = calls::describe_crash(&context, last.as_ref(), &state).await;
        actor.send(ActorMessage::Exited { id, reason });
        return Ok(());
    }
    let Some(running) = calls::running(&context, &found) else {
        let reason = "its container has no address".to_owned();
        actor.send(ActorMessage::StartFailed { id, reason, left: Some(container) });
        return Ok(());
    };
    stay(&context, &found, &actor).await?;
    actor.send(ActorMessage::Started { id, running });
    Ok(())
}

/// Takes back what the name of a container says that was leaving: a balancer that finds it after a crash of this one
/// is to keep it. One whose name another container needs keeps that name.
///
/// # Errors
/// Only if the engine cannot be reached.
async fn stay(context: &EngineContext, found: &Container, actor: &ActorHandle) -> Result<(), CallError> {
    let Some(name) = found.name_before_leaving() else { return Ok(()) };
    let _permit = context.heavy.acquire().await.expect("it is never closed");
    let mut named = calls::name_it(context, found, name).await;
    if named.as_ref().is_err_and(CallError::is_conflict) {
        // A container that was created in its place, and never ran.
        match create::free_name(context, name, actor).await {
            Err(CreateError::Unreachable(error)) => return Err(error),
            Ok(()) | Err(_) => named = calls::name_it(context, found, name).await,
        }
    }
    match named {
        Err(error) if error.is_unreachable() => Err(error),
        Err(error) => {
            tracing::warn!(
                container = found.name,
                %error,
                "a container that stays is named as one that leaves; give it its name back: docker rename {} {name}",
                found.name
            );
            Ok(())
        }
        Ok(()) => Ok(()),
    }
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
        Err(error) => return failed(id, error, None, &actor),
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
    actor.send(ActorMessage::StartFailed { id, reason: reason.to_owned(), left: None });
    Ok(())
}

/// The container cannot be inspected. One of ours is `left`.
fn failed(
    id: ReplicaId,
    error: CallError,
    left: Option<String>,
    actor: &ActorHandle,
) -> Result<(), CallError> {
    if error.is_unreachable() {
        return Err(error);
    }
    let reason = format!("cannot look up its container: {error}");
    actor.send(ActorMessage::StartFailed { id, reason, left });
    Ok(())
}
