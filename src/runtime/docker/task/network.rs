//! The network that replicas are attached to: looked up, made, removed with the last of them.

use docker_api::opts::{NetworkCreateOpts, NetworkFilter, NetworkListOpts};

use super::create::Trouble;
use crate::runtime::docker::place::{HEAVY_CALLS, Place};
use crate::runtime::docker::report::{Report, Reporter};
use crate::runtime::engine::labels;
use crate::runtime::engine::raw::CallError;

/// The name of the network, which exists then.
pub(super) async fn ensure(place: &Place) -> Result<String, Trouble> {
    let network = place.network();
    if network.is_ours {
        return make(place, network.name).await;
    }
    let name = network.name.as_str();
    let networks = place.engine.docker().networks();
    match place.engine.call(networks.get(name).inspect()).await {
        // By its id it is known under its name in what is said of containers.
        Ok(inspected) => Ok(inspected.name.unwrap_or(network.name)),
        Err(error) if error.is_not_found() => Err(Trouble::Failed(format!(
            "the engine has no network '{name}'; create it with: docker network create {name}"
        ))),
        Err(error) => Err(Trouble::of(error, &format!("cannot look up the network '{name}'"))),
    }
}

/// Makes the network unless there is one of this name.
///
/// The engine does not keep two from being made at the same time, and then refuses the name as
/// ambiguous. So starts take turns here, and of two that balancers of the same pool have made the
/// one with the smaller id stays.
async fn make(place: &Place, name: String) -> Result<String, Trouble> {
    let _turn = place.making_network.lock().await;
    if !ids(place, &name).await?.is_empty() {
        return Ok(name);
    }
    let what = format!("cannot create the network '{name}'");
    let networks = place.engine.docker().networks();
    let labels = [(labels::POOL, place.config.spec.pool.as_str())];
    let options =
        NetworkCreateOpts::builder(&name).driver("bridge").check_duplicate(true).labels(labels).build();
    let made = match place.engine.heavy(networks.create(&options)).await {
        Ok(made) => made,
        Err(error) if error.is_conflict() => return Ok(name),
        Err(error) => return Err(Trouble::of(error, &what)),
    };
    let first = ids(place, &name).await?.into_iter().min();
    if first.is_some_and(|first| first != made.id().as_ref()) {
        place.engine.heavy(made.delete()).await.map_err(|error| Trouble::of(error, &what))?;
    } else {
        tracing::info!(network = name, "made a network for the replicas");
    }
    Ok(name)
}

/// The ids of all networks of exactly this name.
async fn ids(place: &Place, name: &str) -> Result<Vec<String>, Trouble> {
    let options = NetworkListOpts::builder().filter([NetworkFilter::Name(name.to_owned())]).build();
    let listed = place.engine.call(place.engine.docker().networks().list(&options)).await;
    let listed = listed.map_err(|error| Trouble::of(error, "cannot list the networks"))?;
    let exact = listed.into_iter().filter(|network| network.name.as_deref() == Some(name));
    Ok(exact.filter_map(|network| network.id).collect())
}

/// Removes the network if it is one of those made here and nobody uses it. What else is being
/// made or removed has been done by then.
///
/// # Errors
/// Only if the engine is away.
pub(in crate::runtime::docker) async fn remove(place: &Place, reporter: &Reporter) -> Result<(), CallError> {
    // No replica is started meanwhile, which would need it.
    let _permits = place.heavy.acquire_many(HEAVY_CALLS).await.expect("it is never closed");
    let network = place.network();
    if !network.is_ours || !reporter.ask(|reply| Report::Idle { reply }).await {
        return Ok(());
    }
    let networks = place.engine.docker().networks();
    let name = network.name.as_str();
    let is_own = |labels: &_| labels::are_own(labels, &place.config.spec.pool, None);
    let removed = match place.engine.call(networks.get(name).inspect()).await {
        Ok(found) if found.labels.as_ref().is_some_and(is_own) => {
            place.engine.heavy(networks.get(name).delete()).await
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match removed {
        Err(away) if away.is_away() => Err(away),
        // There is none, or others of the pool use it, or people who look around.
        Ok(()) | Err(_) => Ok(()),
    }
}
