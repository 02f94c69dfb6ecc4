//! What the balancer looks up in the Swarm before it creates its first service: the image, and the
//! overlay network on which it can reach replicas.

use docker_api::opts::NetworkCreateOpts;

use crate::runtime::engine::{CallError, Engine, OwnContainer, Spec, labels, naming, own_container, program};

/// Name of ringherd's own image, for a balancer that does not run in a container.
const OWN_IMAGE: &str = "ringherd";

/// What the services of a pool have in common and only the Swarm can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SwarmContext {
    /// Name or id of the image.
    pub(super) image: String,
    /// Whether the image is ringherd's own.
    pub(super) own_image: bool,
    /// Name or id of the overlay network.
    pub(super) network: String,
}

/// Looks up the context, and creates the pool's network if no other is to be used.
///
/// # Errors
/// The engine does not respond, or the network cannot be created.
pub(super) async fn look_up(engine: &Engine, spec: &Spec) -> Result<SwarmContext, CallError> {
    let own = own_container::find(engine).await?;
    let (image, own_image) = image(engine, spec, own.as_ref()).await?;
    let network = network(engine, spec, own.as_ref()).await?;
    Ok(SwarmContext { image, own_image, network })
}

/// The image, and whether it is ringherd's own. It need not be on this node.
async fn image(
    engine: &Engine,
    spec: &Spec,
    own: Option<&OwnContainer>,
) -> Result<(String, bool), CallError> {
    let ours = own.and_then(|own| own.image.clone());
    let Some(given) = &spec.image else {
        return Ok((ours.unwrap_or_else(|| OWN_IMAGE.to_owned()), true));
    };
    if ours.as_ref() == Some(given) {
        return Ok((given.clone(), true));
    }
    match engine.call(engine.docker().images().get(given.as_str()).inspect()).await {
        Ok(inspected) => {
            let labels = inspected.config.and_then(|config| config.labels);
            Ok((given.clone(), program::is_own_image(labels.as_ref())))
        }
        Err(CallError::Refused { .. }) => {
            tracing::warn!(
                image = given,
                "this node does not have the image of replicas, so that it is taken for one of others, which \
                 knows by itself what to run; if it is ringherd's own, load it here and start the balancer again"
            );
            Ok((given.clone(), false))
        }
        Err(error) => Err(error),
    }
}

/// The configured network, an overlay network of our own container, or one created for the pool.
async fn network(engine: &Engine, spec: &Spec, own: Option<&OwnContainer>) -> Result<String, CallError> {
    if let Some(given) = &spec.network {
        return Ok(given.clone());
    }
    for name in own.iter().flat_map(|own| &own.networks) {
        let inspected = engine.call(engine.docker().networks().get(name.as_str()).inspect()).await?;
        let is_overlay = inspected.driver.as_deref() == Some("overlay");
        // The ingress network is for published ports only.
        if is_overlay && !inspected.ingress.unwrap_or(false) {
            return Ok(name.clone());
        }
    }
    let name = naming::pool_network(&spec.pool);
    tracing::warn!(
        network = name,
        "this balancer is on no overlay network, so replicas get one of the pool's, and are reached \
         only from there; run the balancer in a container on an overlay network"
    );
    let options = NetworkCreateOpts::builder(&name)
        .driver("overlay")
        .attachable(true)
        .check_duplicate(true)
        .labels([(labels::POOL, spec.pool.as_str())])
        .build();
    match engine.call(engine.docker().networks().create(&options)).await {
        Ok(_) => Ok(name),
        // It may exist already: another balancer or an earlier run has created it. The engine's error
        // depends on how long ago that was.
        Err(refused @ CallError::Refused { .. }) => {
            let existing = engine.call(engine.docker().networks().get(name.as_str()).inspect()).await;
            existing.map(|_| name).map_err(|_| refused)
        }
        Err(error) => Err(error),
    }
}
