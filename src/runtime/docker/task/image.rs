//! Finds the image that containers of replicas are created from.

use super::error::CreateError;
use crate::runtime::Revision;
use crate::runtime::docker::context::EngineContext;
use crate::runtime::docker::template::Image;
use crate::runtime::engine::program;

/// Name of ringherd's own image, for a balancer that does not run in it.
const OWN_IMAGE: &str = "ringherd:latest";

/// Finds the image of a revision, else the configured one, else that of our own container, else ringherd's own by
/// its name.
pub(super) async fn find(context: &EngineContext, revision: &Revision) -> Result<Image, CreateError> {
    if let Some(given) = revision.image.as_ref().or(context.config.spec.image.as_ref()) {
        let (image, _) = inspect(context, given).await?;
        return Ok(image);
    }
    let Some(id) = context.own_container.as_ref().and_then(|own| own.image_id.as_deref()) else {
        return Ok(inspect(context, OWN_IMAGE).await?.0);
    };
    // By its name, which tells an operator more, unless that is another image by now.
    if let Some(name) = context.own_container.as_ref().and_then(|own| own.image.as_deref()) {
        match inspect(context, name).await {
            Ok((image, found)) if found.as_deref() == Some(id) => return Ok(image),
            Err(away @ CreateError::Unreachable(_)) => return Err(away),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(inspect(context, id).await?.0)
}

/// Looks up the image with this name or id; also returns its id.
async fn inspect(context: &EngineContext, reference: &str) -> Result<(Image, Option<String>), CreateError> {
    let images = context.engine.docker().images();
    let inspected = context.engine.call(images.get(reference).inspect()).await.map_err(|error| {
        if error.is_not_found() {
            CreateError::Failed(format!(
                "the engine has no image '{reference}'; load it or pull it there (docker pull {reference}), \
                 correct --image or the image of the revision, or build ringherd's own with scripts/image.sh"
            ))
        } else {
            CreateError::of(error, &format!("cannot look up the image '{reference}'"))
        }
    })?;
    let labels = inspected.config.and_then(|config| config.labels);
    let is_ours = program::is_own_image(labels.as_ref());
    Ok((Image { reference: reference.to_owned(), is_ours }, inspected.id))
}
