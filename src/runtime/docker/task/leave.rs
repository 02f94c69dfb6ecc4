//! Marks the container of a replica that has left the ring.

use super::calls;
use crate::runtime::docker::context::EngineContext;
use crate::runtime::engine::CallError;

/// Renames the container, when it is its turn: all replicas of a pool may leave at a time.
///
/// # Errors
/// Only if the engine cannot be reached.
pub(in crate::runtime::docker) async fn run(
    context: &EngineContext,
    container: &str,
) -> Result<(), CallError> {
    let _permit = context.heavy.acquire().await.expect("it is never closed");
    calls::mark_leaving(context, container).await
}
