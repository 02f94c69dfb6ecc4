//! What the balancer finds out about the Swarm before it makes its first service: the image, and
//! the overlay network on which it can reach replicas.

use docker_api::opts::NetworkCreateOpts;

use super::template::Surroundings;
use crate::runtime::engine::raw::CallError;
use crate::runtime::engine::{Engine, Own, Spec, labels, naming, own, program};

/// The image where none is given and we are in no container.
const OWN_IMAGE: &str = "ringherd";

/// Looks, and makes the pool's network if there is no other.
///
/// # Errors
/// If the engine does not answer, or the network cannot be made.
pub(super) async fn find(engine: &Engine, spec: &Spec) -> Result<Surroundings, CallError> {
    let own = own::find(engine).await?;
    let (image, own_image) = image(engine, spec, own.as_ref()).await?;
    let network = network(engine, spec, own.as_ref()).await?;
    Ok(Surroundings { image, own_image, network })
}

/// The image, and whether it is ours. One that is not on this node may still be on others.
async fn image(engine: &Engine, spec: &Spec, own: Option<&Own>) -> Result<(String, bool), CallError> {
    let ours = own.and_then(|own| own.image.clone());
    let Some(given) = &spec.image else {
        return Ok((ours.unwrap_or_else(|| OWN_IMAGE.to_owned()), true));
    };
    if ours.as_ref() == Some(given) {
        return Ok((given.clone(), true));
    }
    match engine.call(engine.docker().images().get(given.as_str()).inspect()).await {
        Ok(inspected) => {
            let marks = inspected.config.and_then(|config| config.labels);
            Ok((given.clone(), program::is_own_image(marks.as_ref())))
        }
        Err(CallError::Refused { .. }) => {
            tracing::warn!(
                image = given,
                "this node does not have the image of replicas, so that it is taken for one of others, which \
                 knows by itself what to run; if it is ringherd's own, load it here and start the balancer again"
            );
            Ok((given.clone(), false))
        }
        Err(away) => Err(away),
    }
}

/// The network given, an overlay network of our own container, or one of the pool's.
async fn network(engine: &Engine, spec: &Spec, own: Option<&Own>) -> Result<String, CallError> {
    if let Some(given) = &spec.network {
        return Ok(given.clone());
    }
    for name in own.iter().flat_map(|own| &own.networks) {
        let inspected = engine.call(engine.docker().networks().get(name.as_str()).inspect()).await?;
        let is_overlay = inspected.driver.as_deref() == Some("overlay");
        // Published ports arrive through the ingress network, which is no place for replicas.
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
        // It may be there: made by another balancer, or by this one in an earlier life. What the
        // engine says to that differs by how close in time it was.
        Err(refused @ CallError::Refused { .. }) => {
            let existing = engine.call(engine.docker().networks().get(name.as_str()).inspect()).await;
            existing.map(|_| name).map_err(|_| refused)
        }
        Err(away) => Err(away),
    }
}
