//! The end of a container: asked for, waited for, told in words, removed.

use std::time::Duration;

use docker_api::models::ContainerState;
use docker_api::opts::{ContainerRemoveOpts, LogsOpts};
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use crate::runtime::docker::place::Place;
use crate::runtime::docker::seen::{self, Seen};
use crate::runtime::docker::survey::LEAVING;
use crate::runtime::engine::raw::CallError;
use crate::runtime::engine::{CALL_TIMEOUT, naming};

/// What is said of a container that is no more.
pub(in crate::runtime::docker) const REMOVED: &str = "its container was removed by others";

/// Pauses between attempts to remove a container that the engine refuses to remove, because a
/// file of it is busy for instance.
const REMOVAL_PAUSES: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// Time that may be spent on a dead container's last words: its death is told after that.
const QUOTE_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest line of a log that is quoted, in characters.
const MAX_QUOTE: usize = 200;

/// SIGTERM, unless others have sent it something like it, then SIGKILL if that does not help in
/// time. The container is removed. How it ended, in words; `None` if there was none any more.
///
/// # Errors
/// Only if the engine is away.
pub(in crate::runtime::docker) async fn run(
    place: &Place,
    container: &str,
    told: bool,
) -> Result<Option<String>, CallError> {
    if !told {
        signal(place, container, "SIGTERM").await?;
    }
    if !has_ended(place, container, place.config.spec.stop_timeout).await? {
        signal(place, container, "SIGKILL").await?;
        has_ended(place, container, CALL_TIMEOUT).await?;
    }
    let end = match inspect(place, container).await {
        Ok(Some((_, state))) => seen::end_in_words(&state),
        Ok(None) => return Ok(None),
        Err(away) if away.is_away() => return Err(away),
        // It is removed all the same.
        Err(error) => format!("how it ended is not known: {error}"),
    };
    remove(place, container).await?;
    Ok(Some(end))
}

async fn signal(place: &Place, container: &str, name: &str) -> Result<(), CallError> {
    let containers = place.engine.docker().containers();
    match place.engine.heavy(containers.get(container).kill(Some(name))).await {
        Err(away) if away.is_away() => Err(away),
        // It is gone, has ended, or cannot be reached by signals: what follows will tell.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Waits for the end. `false` if it did not come within `limit`.
async fn has_ended(place: &Place, container: &str, limit: Duration) -> Result<bool, CallError> {
    let container = place.engine.docker().containers().get(container);
    match timeout(limit, container.wait()).await {
        Err(_) => Ok(false),
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) => match place.engine.error(error) {
            away if away.is_away() => Err(away),
            _ => Ok(true),
        },
    }
}

/// A container as it is now; `None` if there is no such container.
pub(super) async fn inspect(
    place: &Place,
    container: &str,
) -> Result<Option<(Seen, ContainerState)>, CallError> {
    let containers = place.engine.docker().containers();
    match place.engine.call(containers.get(container).inspect()).await {
        Ok(inspected) => Ok(Seen::inspected(inspected)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a container whatever its state. One that cannot be removed is left for the next list,
/// marked so that it never comes back as a replica.
///
/// # Errors
/// Only if the engine is away.
async fn remove(place: &Place, container: &str) -> Result<(), CallError> {
    let mut pauses = REMOVAL_PAUSES.into_iter();
    loop {
        let permit = place.heavy.acquire().await.expect("it is never closed");
        let removed = remove_now(place, container).await;
        drop(permit);
        let Err(error) = removed else { return Ok(()) };
        if error.is_away() {
            return Err(error);
        }
        let Some(pause) = pauses.next() else { return give_up(place, container, &error).await };
        sleep(pause).await;
    }
}

async fn give_up(place: &Place, container: &str, error: &CallError) -> Result<(), CallError> {
    let short = naming::short(container);
    tracing::warn!(
        container = short,
        %error,
        "cannot remove a container; it is tried again with the next list, or do it yourself: docker rm -f {short}"
    );
    match inspect(place, container).await {
        Ok(Some((seen, _))) if !seen.name.contains(LEAVING) => rename(place, &seen).await,
        Err(away) if away.is_away() => Err(away),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Takes a container's name away from it, if that can be done.
///
/// # Errors
/// Only if the engine is away.
pub(super) async fn rename(place: &Place, seen: &Seen) -> Result<(), CallError> {
    let name = format!("{}{LEAVING}{}", seen.name, naming::short(&seen.id));
    let container = place.engine.docker().containers().get(seen.id.as_str());
    match place.engine.heavy(container.rename(&name)).await {
        Err(away) if away.is_away() => Err(away),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// One attempt to remove a container with its anonymous volumes, by a task that has a permit.
pub(super) async fn remove_now(place: &Place, container: &str) -> Result<(), CallError> {
    let options = ContainerRemoveOpts::builder().force(true).volumes(true).build();
    let containers = place.engine.docker().containers();
    match place.engine.heavy(containers.get(container).remove(&options)).await {
        // Somebody else was faster, or is about to be.
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        removed => removed.map(drop),
    }
}

/// How a container ended that nobody here asked to, with its last words.
pub(super) async fn crash_in_words(place: &Place, container: &str, state: &ContainerState) -> String {
    let end = seen::end_in_words(state);
    match timeout(QUOTE_TIMEOUT, last_line(place, container)).await {
        Ok(Some(line)) => format!("{end}; the last line of its log is '{line}'"),
        Ok(None) | Err(_) => end,
    }
}

/// The last line of a log that is not empty, shortened. Only for containers without a terminal,
/// which ours are: `docker-api` cannot read the logs of others.
async fn last_line(place: &Place, container: &str) -> Option<String> {
    let container = place.engine.docker().containers().get(container);
    let options = LogsOpts::builder().stdout(true).stderr(true).n_lines(5).build();
    let mut chunks = container.logs(&options);
    let mut last = None;
    while let Some(Ok(chunk)) = chunks.next().await {
        let text = String::from_utf8_lossy(&chunk);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        last = line.map(|line| line.chars().take(MAX_QUOTE).map(printable).collect()).or(last);
    }
    last
}
