//! Creates and starts the container of a new replica. What a failure leaves behind is told to the actor.

use std::sync::Arc;

use super::error::CreateError;
use super::{calls, image, network};
use crate::runtime::Launch;
use crate::runtime::docker::container::{Container, ContainerStatus, RunningContainer};
use crate::runtime::docker::context::EngineContext;
use crate::runtime::docker::messages::{ActorHandle, ActorMessage};
use crate::runtime::docker::template;
use crate::runtime::engine::{CallError, labels, naming};
use crate::runtime::output::LastLines;

/// Creates and starts the container of `launch`, and sends its address.
pub(in crate::runtime::docker) async fn run(
    context: Arc<EngineContext>,
    launch: Launch,
    actor: ActorHandle,
) -> Result<(), CallError> {
    let id = launch.id;
    let permit = context.heavy.acquire().await.expect("it is never closed");
    let started = if actor.ask(|reply| ActorMessage::IsWanted { id, reply }).await {
        create(&context, &launch, &actor).await
    } else {
        Err(CreateError::Failed("it was no longer wanted".to_owned()))
    };
    drop(permit);
    match started {
        Ok(running) => actor.send(ActorMessage::Started { id, running }),
        Err(CreateError::Failed(reason)) => {
            actor.send(ActorMessage::StartFailed { id, reason, left: None });
        }
        Err(CreateError::Left { reason, container }) => {
            actor.send(ActorMessage::StartFailed { id, reason, left: Some(container) });
        }
        Err(CreateError::Unreachable(error)) => return Err(error),
    }
    Ok(())
}

async fn create(
    context: &EngineContext,
    launch: &Launch,
    actor: &ActorHandle,
) -> Result<RunningContainer, CreateError> {
    // The image first: without one, no network is created for nothing.
    let image = image::find(context, &launch.revision).await?;
    let network = network::ensure(context).await?;
    let body = template::container(context, launch, &image, &network);
    let name = naming::object_name(&context.config.spec.pool, &launch.name);
    let path = format!("/containers/create?name={name}");
    let what = format!("cannot create the container '{name}' from '{}'", image.reference);
    let mut response = context.engine.heavy_post(&path, &body).await;
    if response.as_ref().is_err_and(CallError::is_conflict) {
        free_name(context, &name, actor).await?;
        response = context.engine.heavy_post(&path, &body).await;
    }
    let response = response.map_err(|error| CreateError::of(error, &what))?;
    let container = response["Id"].as_str().unwrap_or_default().to_owned();
    if container.is_empty() {
        return Err(CreateError::Failed(format!("{what}: the engine answered without an id")));
    }
    let output = context.output(&launch.name, &container);
    let last = output.last_lines();
    actor.send(ActorMessage::Created { id: launch.id, container: container.clone(), output });
    let started = start(context, &container, &name, &network, last).await;
    started.map_err(|error| error.leaving(&container))
}

async fn start(
    context: &EngineContext,
    container: &str,
    name: &str,
    network: &str,
    last: Option<LastLines>,
) -> Result<RunningContainer, CreateError> {
    let what = format!("cannot start the container '{name}'");
    let failed = |error| CreateError::of(error, &what);
    let containers = context.engine.docker().containers();
    context.engine.heavy(containers.get(container).start()).await.map_err(failed)?;
    match calls::inspect(context, container).await.map_err(failed)? {
        Some((found, _)) if found.status == ContainerStatus::Running => calls::running(context, &found)
            .ok_or_else(|| {
                CreateError::Failed(format!(
                    "{what}: it has no address in the network '{network}'; choose another"
                ))
            }),
        Some((_, state)) => {
            let exit = calls::describe_crash(context, last.as_ref(), &state).await;
            Err(CreateError::Failed(format!("{what}: it ended at once: {exit}")))
        }
        None => Err(CreateError::Failed(format!("{what}: others have removed it"))),
    }
}

/// The name is taken. If a container of ours has it that is on its way out, renames that one.
pub(super) async fn free_name(
    context: &EngineContext,
    name: &str,
    actor: &ActorHandle,
) -> Result<(), CreateError> {
    let what = format!("cannot look up the container '{name}'");
    let holder = calls::inspect(context, name).await.map_err(|error| CreateError::of(error, &what))?;
    // Removed in between.
    let Some((holder, _)) = holder else { return Ok(()) };
    let id = naming::short(&holder.id).to_owned();
    if !is_own(context, &holder) {
        return Err(CreateError::Failed(format!(
            "the name '{name}' is taken by the container {id}, which is none of this balancer's; remove or rename \
             it (docker rm -f {id}), or run with another --pool"
        )));
    }
    let question = holder.clone();
    if !actor.ask(|reply| ActorMessage::MayRename { holder: question, reply }).await {
        return Err(CreateError::Failed(format!(
            "the name '{name}' is taken by the container {id} of another replica"
        )));
    }
    // If it is just being removed, the second attempt to create decides.
    calls::rename(context, &holder).await.map_err(CreateError::Unreachable)
}

fn is_own(context: &EngineContext, holder: &Container) -> bool {
    labels::are_own(&holder.labels, &context.config.spec.pool, Some(&context.instance))
}
