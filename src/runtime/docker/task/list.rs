//! All containers that concern us, as the engine has them now.

use std::sync::Arc;

use docker_api::opts::{ContainerFilter, ContainerListOpts};

use crate::runtime::docker::place::Place;
use crate::runtime::docker::report::{Report, Reporter};
use crate::runtime::docker::seen::Seen;
use crate::runtime::docker::survey::Listing;
use crate::runtime::engine::labels;
use crate::runtime::engine::raw::CallError;

/// Lists and reports.
pub(in crate::runtime::docker) async fn run(
    place: Arc<Place>,
    revision: u64,
    reporter: Reporter,
) -> Result<(), CallError> {
    let listing = take(&place).await?;
    reporter.send(Report::Listed(Listing { revision, ..listing }));
    Ok(())
}

/// Lists.
pub(super) async fn take(place: &Place) -> Result<Listing, CallError> {
    let pool = place.config.spec.pool.as_str();
    let is_own = |seen: &Seen| labels::are_own(&seen.labels, pool, Some(&place.instance));
    let filters = [(labels::POOL, pool), (labels::INSTANCE, &place.instance)];
    let mut own = list(place, &filters, true).await?;
    // Whatever the engine makes of the filter, no other container is ever touched.
    own.retain(is_own);
    let mut others = match &place.config.discover {
        Some((key, value)) => list(place, &[(key, value)], false).await?,
        None => Vec::new(),
    };
    let ourselves = place.own.as_ref().map(|own| own.id.as_str());
    others.retain(|seen| !is_own(seen) && Some(seen.id.as_str()) != ourselves);
    Ok(Listing { own, others, revision: 0 })
}

async fn list(place: &Place, filters: &[(&str, &str)], all: bool) -> Result<Vec<Seen>, CallError> {
    let labels = filters.iter().map(|(key, value)| ContainerFilter::Label((*key).into(), (*value).into()));
    let options = ContainerListOpts::builder().all(all).filter(labels).build();
    let listed = place.engine.call(place.engine.docker().containers().list(&options)).await?;
    Ok(listed.into_iter().filter_map(Seen::listed).collect())
}
