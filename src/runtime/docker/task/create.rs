//! A new container: made, started, found on the network. What fails leaves nothing behind.

use std::sync::Arc;

use super::{adopt, image, network, stop};
use crate::runtime::Launch;
use crate::runtime::docker::body;
use crate::runtime::docker::place::Place;
use crate::runtime::docker::report::{Report, Reporter, Running};
use crate::runtime::docker::seen::{Seen, State};
use crate::runtime::engine::raw::CallError;
use crate::runtime::engine::{labels, naming};

/// Why there is no replica.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The engine is away; it is not this replica's fault.
    Away(CallError),
    /// What failed, on what, and what to do.
    Failed(String),
}

impl Trouble {
    /// A call went wrong that was to do `what`.
    pub(super) fn of(error: CallError, what: &str) -> Self {
        if error.is_away() { Self::Away(error) } else { Self::Failed(format!("{what}: {error}")) }
    }
}

/// Makes and starts one.
pub(in crate::runtime::docker) async fn run(
    place: Arc<Place>,
    launch: Launch,
    reporter: Reporter,
) -> Result<(), CallError> {
    let id = launch.id;
    let permit = place.heavy.acquire().await.expect("it is never closed");
    let made = if reporter.ask(|reply| Report::Wanted { id, reply }).await {
        make(&place, &launch, &reporter).await
    } else {
        Err(Trouble::Failed("it was no longer wanted".to_owned()))
    };
    drop(permit);
    match made {
        Ok(running) => reporter.send(Report::Up { id, running }),
        Err(Trouble::Failed(reason)) => reporter.send(Report::Failed { id, reason }),
        Err(Trouble::Away(error)) => return Err(error),
    }
    Ok(())
}

async fn make(place: &Place, launch: &Launch, reporter: &Reporter) -> Result<Running, Trouble> {
    // The image first: where there is none, no network is made for nothing.
    let image = image::find(place).await?;
    let network = network::ensure(place).await?;
    let body = body::of(place, launch, &image, &network);
    let name = naming::object_name(&place.config.spec.pool, &launch.name);
    let path = format!("/containers/create?name={name}");
    let what = format!("cannot create the container '{name}' from '{}'", image.reference);
    let mut answer = place.engine.heavy_post(&path, &body).await;
    if answer.as_ref().is_err_and(CallError::is_conflict) {
        make_way(place, &name, reporter).await?;
        answer = place.engine.heavy_post(&path, &body).await;
    }
    let answer = answer.map_err(|error| Trouble::of(error, &what))?;
    let container = answer["Id"].as_str().unwrap_or_default().to_owned();
    if container.is_empty() {
        return Err(Trouble::Failed(format!("{what}: the engine answered without an id")));
    }
    reporter.send(Report::Made { id: launch.id, container: container.clone() });
    let started = start(place, &container, &name, &network).await;
    if let Err(Trouble::Failed(_)) = &started
        && let Err(error) = stop::remove_now(place, &container).await
        && error.is_away()
    {
        return Err(Trouble::Away(error));
    }
    // What could not be removed belongs to nobody now, and goes with the next list.
    started
}

async fn start(place: &Place, container: &str, name: &str, network: &str) -> Result<Running, Trouble> {
    let what = format!("cannot start the container '{name}'");
    let containers = place.engine.docker().containers();
    let started = place.engine.heavy(containers.get(container).start()).await;
    started.map_err(|error| Trouble::of(error, &what))?;
    let inspected = stop::inspect(place, container).await.map_err(|error| Trouble::of(error, &what))?;
    match inspected {
        Some((seen, _)) if seen.state == State::Running => adopt::running(place, &seen).ok_or_else(|| {
            Trouble::Failed(format!("{what}: it has no address in the network '{network}'; choose another"))
        }),
        Some((_, state)) => {
            let end = stop::crash_in_words(place, container, &state).await;
            Err(Trouble::Failed(format!("{what}: it ended at once: {end}")))
        }
        None => Err(Trouble::Failed(format!("{what}: others have removed it"))),
    }
}

/// The name is in use: by a container of ours that is on its way out, which is renamed then, or
/// by one that has a right to it.
async fn make_way(place: &Place, name: &str, reporter: &Reporter) -> Result<(), Trouble> {
    let what = format!("cannot look up the container '{name}'");
    let holder = stop::inspect(place, name).await.map_err(|error| Trouble::of(error, &what))?;
    // Gone in between.
    let Some((holder, _)) = holder else { return Ok(()) };
    let id = naming::short(&holder.id).to_owned();
    if !is_own(place, &holder) {
        return Err(Trouble::Failed(format!(
            "the name '{name}' is taken by the container {id}, which is none of this balancer's; remove or rename \
             it (docker rm -f {id}), or run with another --pool"
        )));
    }
    let seen = holder.clone();
    if !reporter.ask(|reply| Report::MayMove { holder: seen, reply }).await {
        return Err(Trouble::Failed(format!(
            "the name '{name}' is taken by the container {id} of another replica"
        )));
    }
    // If it is just being removed, the second attempt at the name will tell.
    stop::rename(place, &holder).await.map_err(Trouble::Away)
}

fn is_own(place: &Place, holder: &Seen) -> bool {
    labels::are_own(&holder.labels, &place.config.spec.pool, Some(&place.instance))
}
