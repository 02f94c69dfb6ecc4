//! Finds the image of a revision before a deploy touches anything, and has the engine pull one that it does not have.

use std::sync::Arc;
use std::time::Duration;

use docker_api::models::ImageBuildChunk;
use docker_api::opts::PullOpts;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::error::CreateError;
use super::image;
use crate::runtime::Revision;
use crate::runtime::docker::context::EngineContext;
use crate::runtime::docker::messages::{ActorHandle, ActorMessage};
use crate::runtime::engine::CallError;

/// Longest time without a word of a pull. An engine may unpack a large layer for minutes without one; whether it is there
/// at all others look after.
const PULL_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Tells whether containers of `revision` can be created.
pub(in crate::runtime::docker) async fn run(
    context: Arc<EngineContext>,
    deploy: u64,
    revision: Arc<Revision>,
    actor: ActorHandle,
) -> Result<(), CallError> {
    let result = match prepare(&context, &revision).await {
        Ok(()) => Ok(()),
        Err(CreateError::Failed(reason) | CreateError::Left { reason, .. }) => Err(reason),
        Err(CreateError::Unreachable(error)) => return Err(error),
    };
    actor.send(ActorMessage::Prepared { deploy, result });
    Ok(())
}

async fn prepare(context: &EngineContext, revision: &Revision) -> Result<(), CreateError> {
    if let Some(named) = image::named(context, revision)
        && !named.starts_with("sha256:")
        && !image::exists(context, named).await?
    {
        tracing::info!(image = named, "pulling an image for a deploy");
        pull(context, named).await?;
    }
    image::find(context, revision).await.map(drop)
}

/// Has the engine pull an image. One in a registry that wants a password has to be there already: the engine keeps none.
async fn pull(context: &EngineContext, reference: &str) -> Result<(), CreateError> {
    let failed = |why: &str| {
        CreateError::Failed(format!(
            "the engine has no image '{reference}', and cannot pull it: {why}; load it or pull it there (docker pull \
             {reference}), or correct the image of the revision"
        ))
    };
    // Without a tag all of them would come. One that is given here wins over that of the reference.
    let has_version = reference.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    let tag = if has_version { "" } else { "latest" };
    let options = PullOpts::builder().image(reference).tag(tag).build();
    let images = context.engine.docker().images();
    let mut progress = images.pull(&options);
    loop {
        let Ok(chunk) = timeout(PULL_PATIENCE, progress.next()).await else {
            return Err(failed(&format!("no progress for {}", humantime::format_duration(PULL_PATIENCE))));
        };
        match chunk {
            None => return Ok(()),
            Some(Ok(ImageBuildChunk::Error { error, .. })) => return Err(failed(&error)),
            // One that is not understood is no reason to give up: the image is looked for in the end.
            Some(Ok(_) | Err(docker_api::Error::SerdeJsonError(_))) => {}
            // Also what a registry or a proxy says when it is away: that the engine is, others find out.
            Some(Err(error)) => return Err(failed(&context.engine.error(error).to_string())),
        }
    }
}
