//! The network of the replicas: looked up, created, and removed with the last replica.

use docker_api::opts::{NetworkCreateOpts, NetworkFilter, NetworkListOpts};

use super::error::CreateError;
use crate::runtime::docker::context::{EngineContext, HEAVY_CALLS};
use crate::runtime::docker::messages::{ActorHandle, ActorMessage};
use crate::runtime::engine::{CallError, labels};

/// Makes sure that the network exists, and returns its name.
pub(super) async fn ensure(context: &EngineContext) -> Result<String, CreateError> {
    let network = context.network();
    if network.is_managed {
        return create(context, network.name).await;
    }
    let name = network.name.as_str();
    let networks = context.engine.docker().networks();
    match context.engine.call(networks.get(name).inspect()).await {
        // Descriptions of containers have its name, even if the configuration has its id.
        Ok(inspected) => Ok(inspected.name.unwrap_or(network.name)),
        Err(error) if error.is_not_found() => Err(CreateError::Failed(format!(
            "the engine has no network '{name}'; create it with: docker network create {name}"
        ))),
        Err(error) => Err(CreateError::of(error, &format!("cannot look up the network '{name}'"))),
    }
}

/// Creates the network unless one of this name exists.
///
/// The engine allows two networks of one name to be created at the same time, and then refuses the
/// name as ambiguous. So starts take turns here, and of two networks that balancers of the same pool
/// have created, the one with the smaller id stays.
async fn create(context: &EngineContext, name: String) -> Result<String, CreateError> {
    let _guard = context.network_lock.lock().await;
    if !ids(context, &name).await?.is_empty() {
        return Ok(name);
    }
    let what = format!("cannot create the network '{name}'");
    let networks = context.engine.docker().networks();
    let labels = [(labels::POOL, context.config.spec.pool.as_str())];
    let options =
        NetworkCreateOpts::builder(&name).driver("bridge").check_duplicate(true).labels(labels).build();
    let made = match context.engine.heavy(networks.create(&options)).await {
        Ok(made) => made,
        Err(error) if error.is_conflict() => return Ok(name),
        Err(error) => return Err(CreateError::of(error, &what)),
    };
    let first = ids(context, &name).await?.into_iter().min();
    if first.is_some_and(|first| first != made.id().as_ref()) {
        context.engine.heavy(made.delete()).await.map_err(|error| CreateError::of(error, &what))?;
    } else {
        tracing::info!(network = name, "made a network for the replicas");
    }
    Ok(name)
}

/// Ids of the networks with exactly this name; the filter of the API also matches parts of names.
async fn ids(context: &EngineContext, name: &str) -> Result<Vec<String>, CreateError> {
    let options = NetworkListOpts::builder().filter([NetworkFilter::Name(name.to_owned())]).build();
    let listed = context.engine.call(context.engine.docker().networks().list(&options)).await;
    let listed = listed.map_err(|error| CreateError::of(error, "cannot list the networks"))?;
    let exact = listed.into_iter().filter(|network| network.name.as_deref() == Some(name));
    Ok(exact.filter_map(|network| network.id).collect())
}

/// Removes the network if a balancer created it and no container uses it. Waits for the starts and
/// removals that are under way.
///
/// # Errors
/// Only if the engine cannot be reached.
pub(in crate::runtime::docker) async fn remove(
    context: &EngineContext,
    actor: &ActorHandle,
) -> Result<(), CallError> {
    // Excludes that a replica is started meanwhile, which would need the network.
    let _permits = context.heavy.acquire_many(HEAVY_CALLS).await.expect("it is never closed");
    let network = context.network();
    if !network.is_managed || !actor.ask(|reply| ActorMessage::IsIdle { reply }).await {
        return Ok(());
    }
    let networks = context.engine.docker().networks();
    let name = network.name.as_str();
    let is_own = |labels: &_| labels::are_own(labels, &context.config.spec.pool, None);
    let removed = match context.engine.call(networks.get(name).inspect()).await {
        Ok(found) if found.labels.as_ref().is_some_and(is_own) => {
            context.engine.heavy(networks.get(name).delete()).await
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match removed {
        Err(away) if away.is_unreachable() => Err(away),
        // There is no such network, or something still uses it.
        Ok(()) | Err(_) => Ok(()),
    }
}
