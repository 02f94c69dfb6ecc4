//! Calls of the engine that several tasks make.

use std::sync::Arc;

use docker_api::models::ContainerState;
use docker_api::opts::ContainerRemoveOpts;

use crate::runtime::docker::container::{self, Container, RunningContainer};
use crate::runtime::docker::context::EngineContext;
use crate::runtime::engine::{CallError, logs};
use crate::runtime::output::{LastLines, MAX_LINES};

/// The container with this id or name as it is now; `None` if there is none. While the engine starts, ends or removes
/// it, it answers when that is done: that one container takes long does not mean that the engine hangs.
///
/// # Errors
/// See [`CallError`].
pub(super) async fn inspect(
    context: &EngineContext,
    container: &str,
) -> Result<Option<(Container, ContainerState)>, CallError> {
    let containers = context.engine.docker().containers();
    match context.engine.heavy(containers.get(container).inspect()).await {
        Ok(inspected) => Ok(Container::inspected(inspected)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The container as one that takes requests, if it has an address.
pub(super) fn running(context: &EngineContext, container: &Container) -> Option<RunningContainer> {
    container.running(&context.networks(), context.config.spec.port)
}

/// Gives a container a name that says that it leaves, if the engine allows it. Another can have the one it had.
///
/// # Errors
/// Only if the engine cannot be reached.
pub(super) async fn rename(context: &EngineContext, container: &Container) -> Result<(), CallError> {
    match name_it(context, container, &container.leaving_name()).await {
        Err(error) if error.is_unreachable() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Gives a container this name.
///
/// # Errors
/// See [`CallError`]. It is a conflict if another container has the name.
pub(super) async fn name_it(
    context: &EngineContext,
    container: &Container,
    name: &str,
) -> Result<(), CallError> {
    let container = context.engine.docker().containers().get(container.id.as_str());
    context.engine.heavy(container.rename(name)).await
}

/// Renames a container that is on its way out, unless its name says that already, if the engine allows it.
///
/// # Errors
/// Only if the engine cannot be reached.
pub(super) async fn mark_leaving(context: &EngineContext, container: &str) -> Result<(), CallError> {
    match inspect(context, container).await {
        Ok(Some((container, _))) if !container.is_leaving() => rename(context, &container).await,
        Err(error) if error.is_unreachable() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Makes one attempt to remove a container with its anonymous volumes, and ends it if it runs. For a task that has a
/// permit of [`EngineContext::heavy`].
///
/// # Errors
/// See [`CallError`]. It is a conflict if the container is being removed already. That it is gone is no error.
pub(super) async fn remove(context: &EngineContext, container: &str) -> Result<(), CallError> {
    let options = ContainerRemoveOpts::builder().force(true).volumes(true).build();
    let containers = context.engine.docker().containers();
    match context.engine.heavy(containers.get(container).remove(&options)).await {
        Err(error) if error.is_not_found() => Ok(()),
        removed => removed.map(drop),
    }
}

/// How a container that was not asked to has ended, with the last line of its log. Keeps the last lines.
pub(super) async fn describe_crash(
    context: &EngineContext,
    last: Option<&LastLines>,
    state: &ContainerState,
) -> String {
    let exit = container::describe_exit(state);
    let lines = match last {
        Some(last) => keep(context, last).await,
        None => Vec::new(),
    };
    let line = logs::last_words(&lines);
    let hint = what_it_may_need(line.as_deref().unwrap_or(""), &exit);
    match line {
        Some(line) => format!("{exit}; the last line of its log is '{line}'{hint}"),
        None => format!("{exit}{hint}"),
    }
}

/// The option that opens what a program was refused, as far as its last words tell.
fn what_it_may_need(line: &str, exit: &str) -> &'static str {
    let said = |words: &str| line.contains(words) || exit.contains(words);
    if said("Read-only file system") {
        "; its root is read-only: give it what it writes to with --replica-tmpfs or --replica-volume, or set \
         --replica-read-only off"
    } else if said("Operation not permitted") || said("Permission denied") {
        "; it has no capabilities: give it what it needs with --replica-cap, or another user with --replica-user"
    } else {
        ""
    }
}

/// Reads the last lines of a container that has ended, while there are any, and keeps them for those who ask later.
/// Returns none if they cannot be read.
pub(super) async fn keep(context: &EngineContext, last: &LastLines) -> Vec<Arc<str>> {
    let tail = logs::tail(context.engine.host(), last.key(), MAX_LINES);
    let Ok(lines) = tail.await else { return Vec::new() };
    last.keep(lines.iter().map(|line| &**line));
    lines
}
