//! Stops a container: asks it to end, waits for that, and removes it.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::calls;
use crate::runtime::docker::container::{ContainerStatus, describe_exit};
use crate::runtime::docker::context::EngineContext;
use crate::runtime::engine::{CALL_TIMEOUT, CallError, naming};
use crate::runtime::output::LastLines;

/// How a replica ended whose container is gone.
pub(in crate::runtime::docker) const REMOVED: &str = "its container was removed by others";

/// Pauses between attempts to remove a container that the engine refuses to remove, for instance
/// because one of its files is busy.
const REMOVAL_PAUSES: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// Pause between further attempts, while the container may still run.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Sends the stop signal unless the container was `asked` to end already, then SIGKILL if it has not ended
/// in time, keeps its last lines if that is asked for, and removes the container. Returns how it ended, in words;
/// `None` if there was no such container. Does not return before it has ended, however long that takes: what must not
/// run twice may be started then.
///
/// # Errors
/// Only if the engine cannot be reached.
pub(in crate::runtime::docker) async fn run(
    context: &EngineContext,
    container: &str,
    asked: bool,
    last: Option<LastLines>,
) -> Result<Option<String>, CallError> {
    let spec = &context.config.spec;
    if !asked {
        signal(context, container, spec.stop_signal.name()).await?;
    }
    if !has_ended(context, container, spec.stop_timeout).await? {
        let stop_timeout = humantime::format_duration(spec.stop_timeout);
        tracing::warn!(
            container = naming::short(container),
            %stop_timeout,
            "killed with SIGKILL: it had not ended in time after {}; if it needs longer, raise --stop-timeout",
            spec.stop_signal.name()
        );
        signal(context, container, "SIGKILL").await?;
        has_ended(context, container, CALL_TIMEOUT).await?;
    }
    let exit = match calls::inspect(context, container).await {
        Ok(Some((found, _))) if found.status == ContainerStatus::Running => {
            "it had not ended, and was removed by force".to_owned()
        }
        Ok(Some((_, state))) => describe_exit(&state),
        Ok(None) => return Ok(None),
        Err(error) if error.is_unreachable() => return Err(error),
        // It is removed all the same.
        Err(error) => format!("how it ended is not known: {error}"),
    };
    remove(context, container, last).await?;
    Ok(Some(exit))
}

async fn signal(context: &EngineContext, container: &str, name: &str) -> Result<(), CallError> {
    let containers = context.engine.docker().containers();
    match context.engine.heavy(containers.get(container).kill(Some(name))).await {
        Err(error) if error.is_unreachable() => Err(error),
        // It is gone, has ended, or cannot be sent signals: the steps that follow tell.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Waits for the container's end. `false` if it has not ended within `limit`.
async fn has_ended(context: &EngineContext, container: &str, limit: Duration) -> Result<bool, CallError> {
    let container = context.engine.docker().containers().get(container);
    match timeout(limit, container.wait()).await {
        Err(_) => Ok(false),
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) => match context.engine.error(error) {
            error if error.is_unreachable() => Err(error),
            _ => Ok(true),
        },
    }
}

/// Removes a container whatever its status. One that cannot be removed is left to the next list once it is known to
/// have ended, and renamed so that it is never adopted.
///
/// # Errors
/// Only if the engine cannot be reached.
async fn remove(
    context: &EngineContext,
    container: &str,
    mut last: Option<LastLines>,
) -> Result<(), CallError> {
    let mut pauses = REMOVAL_PAUSES.into_iter();
    let mut is_told = false;
    loop {
        let permit = context.heavy.acquire().await.expect("it is never closed");
        if let Some(last) = last.take() {
            calls::keep(context, &last).await;
        }
        let removed = calls::remove(context, container).await;
        drop(permit);
        let Err(error) = removed else { return Ok(()) };
        if error.is_unreachable() {
            return Err(error);
        }
        let may_run = may_run(context, container).await?;
        // One that others remove may run until they are done.
        if error.is_conflict() && !may_run {
            return Ok(());
        }
        let pause = pauses.next();
        if pause.is_none() && !is_told {
            is_told = true;
            give_up(context, container, &error).await?;
        }
        if pause.is_none() && !may_run {
            return Ok(());
        }
        sleep(pause.unwrap_or(LONGEST_PAUSE)).await;
    }
}

async fn give_up(context: &EngineContext, container: &str, error: &CallError) -> Result<(), CallError> {
    let short = naming::short(container);
    tracing::warn!(
        container = short,
        %error,
        "cannot remove a container; it is tried again, or do it yourself: docker rm -f {short}"
    );
    calls::mark_leaving(context, container).await
}

/// Whether a container is not known to have ended.
///
/// # Errors
/// Only if the engine cannot be reached.
async fn may_run(context: &EngineContext, container: &str) -> Result<bool, CallError> {
    match calls::inspect(context, container).await {
        Ok(found) => Ok(found.is_some_and(|(found, _)| found.status == ContainerStatus::Running)),
        Err(error) if error.is_unreachable() => Err(error),
        Err(_) => Ok(true),
    }
}
