//! Lists the containers of this balancer and the discovered ones.

use std::sync::Arc;

use docker_api::opts::{ContainerFilter, ContainerListOpts};

use crate::runtime::docker::adoption::Listing;
use crate::runtime::docker::container::Container;
use crate::runtime::docker::context::EngineContext;
use crate::runtime::docker::messages::{ActorHandle, ActorMessage};
use crate::runtime::engine::{CallError, labels};

/// Lists, and sends the list with the revision it was asked for at.
pub(in crate::runtime::docker) async fn run(
    context: Arc<EngineContext>,
    revision: u64,
    actor: ActorHandle,
) -> Result<(), CallError> {
    let listing = take(&context).await?;
    actor.send(ActorMessage::Listed(Listing { revision, ..listing }));
    Ok(())
}

/// Lists the containers.
///
/// # Errors
/// See [`CallError`].
pub(super) async fn take(context: &EngineContext) -> Result<Listing, CallError> {
    let pool = context.config.spec.pool.as_str();
    let is_own = |container: &Container| labels::are_own(&container.labels, pool, Some(&context.instance));
    let filters = [(labels::POOL, pool), (labels::INSTANCE, &context.instance)];
    let mut own = list(context, &filters, true).await?;
    // Not left to the filter of the engine: no other container is ever touched.
    own.retain(is_own);
    let mut discovered = match &context.config.discover {
        Some((key, value)) => list(context, &[(key, value)], false).await?,
        None => Vec::new(),
    };
    let ourselves = context.own_container.as_ref().map(|own| own.id.as_str());
    discovered.retain(|container| !is_own(container) && Some(container.id.as_str()) != ourselves);
    Ok(Listing { own, discovered, revision: 0 })
}

async fn list(
    context: &EngineContext,
    filters: &[(&str, &str)],
    all: bool,
) -> Result<Vec<Container>, CallError> {
    let labels = filters.iter().map(|(key, value)| ContainerFilter::Label((*key).into(), (*value).into()));
    let options = ContainerListOpts::builder().all(all).filter(labels).build();
    let listed = context.engine.call(context.engine.docker().containers().list(&options)).await?;
    Ok(listed.into_iter().filter_map(Container::listed).collect())
}
