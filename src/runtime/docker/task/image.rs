//! Finds the image that containers of replicas are created from.

use docker_api::models;

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
    if let Some(given) = named(context, revision) {
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

/// The image that a revision has by name, as it says or as is configured.
pub(super) fn named<'a>(context: &'a EngineContext, revision: &'a Revision) -> Option<&'a str> {
    revision.image.as_deref().or(context.config.spec.image.as_deref())
}

/// Whether the engine has an image.
pub(super) async fn exists(context: &EngineContext, reference: &str) -> Result<bool, CreateError> {
    Ok(look_up(context, reference).await?.is_some())
}

/// Looks up the image with this name or id; also returns its id.
async fn inspect(context: &EngineContext, reference: &str) -> Result<(Image, Option<String>), CreateError> {
    let Some(inspected) = look_up(context, reference).await? else {
        return Err(CreateError::Failed(format!(
            "the engine has no image '{reference}'; load it or pull it there (docker pull {reference}), correct \
             --image or the image of the revision, or build ringherd's own with scripts/image.sh"
        )));
    };
    let labels = inspected.config.and_then(|config| config.labels);
    let is_ours = program::is_own_image(labels.as_ref());
    Ok((Image { reference: reference.to_owned(), is_ours }, inspected.id))
}

async fn look_up(
    context: &EngineContext,
    reference: &str,
) -> Result<Option<models::ImageInspect>, CreateError> {
    // `docker-api` makes a path of it as it is, and panics if that is none.
    if reference.is_empty() || !reference.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CreateError::Failed(format!(
            "'{reference}' is not the name of an image; correct --image or the image of the revision"
        )));
    }
    let images = context.engine.docker().images();
    match context.engine.call(images.get(reference).inspect()).await {
        Ok(inspected) => Ok(Some(inspected)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(CreateError::of(error, &format!("cannot look up the image '{reference}'"))),
    }
}
