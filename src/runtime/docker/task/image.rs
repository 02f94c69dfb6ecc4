//! The image that replicas are made from.

use super::create::Trouble;
use crate::runtime::docker::body::Image;
use crate::runtime::docker::place::Place;
use crate::runtime::engine::program;

/// What our own image is called where we do not run in it.
const OWN_IMAGE: &str = "ringherd:latest";

/// Finds the image that was asked for, else that of our own container, else our own by its name.
pub(super) async fn find(place: &Place) -> Result<Image, Trouble> {
    if let Some(given) = &place.config.spec.image {
        let (image, _) = inspect(place, given).await?;
        return Ok(image);
    }
    let Some(id) = place.own.as_ref().and_then(|own| own.image_id.as_deref()) else {
        return Ok(inspect(place, OWN_IMAGE).await?.0);
    };
    // By its name, which says more, unless that is another image by now.
    if let Some(name) = place.own.as_ref().and_then(|own| own.image.as_deref()) {
        match inspect(place, name).await {
            Ok((image, found)) if found.as_deref() == Some(id) => return Ok(image),
            Ok(_) | Err(Trouble::Failed(_)) => {}
            Err(away @ Trouble::Away(_)) => return Err(away),
        }
    }
    Ok(inspect(place, id).await?.0)
}

/// The image called `reference`, and its id.
async fn inspect(place: &Place, reference: &str) -> Result<(Image, Option<String>), Trouble> {
    let images = place.engine.docker().images();
    let inspected = place.engine.call(images.get(reference).inspect()).await.map_err(|error| {
        if error.is_not_found() {
            Trouble::Failed(format!(
                "the engine has no image '{reference}'; load it or pull it there (docker pull {reference}), or \
                 build ringherd's own with scripts/image.sh"
            ))
        } else {
            Trouble::of(error, &format!("cannot look up the image '{reference}'"))
        }
    })?;
    let labels = inspected.config.and_then(|config| config.labels);
    let is_ours = program::is_own_image(labels.as_ref());
    Ok((Image { reference: reference.to_owned(), is_ours }, inspected.id))
}
