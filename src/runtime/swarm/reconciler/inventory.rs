//! The inventory that is reported to the pool.

use std::collections::{HashMap, HashSet};

use crate::runtime::swarm::observed::{Claim, ObservedState, Service};
use crate::runtime::swarm::places::Places;
use crate::runtime::{Found, Owner, Place, RuntimeEvent};

/// The services that the pool knows.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// The inventory that was reported last.
    reported: Option<Vec<Found>>,
    /// Ids of the services that are or were in an inventory.
    listed: HashSet<String>,
    /// Ids of those that had a number there, and so may be on the ring.
    on_ring: HashSet<String>,
    /// Ids of services that this balancer has begun to remove. They are never listed again.
    removed: HashSet<String>,
    /// Whether there are services that have not run yet.
    pending: bool,
    /// Whether the next inventory is reported even if it has not changed.
    report_again: bool,
}

impl Inventory {
    /// Whether a service has been listed with a number here, and so perhaps by other balancers.
    pub(super) fn has_listed(&self, service: &str) -> bool {
        self.on_ring.contains(service)
    }

    /// Whether a service may be listed soon.
    pub(super) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Reports the next inventory even if it has not changed.
    pub(super) fn report_again(&mut self) {
        self.report_again = true;
    }

    /// The inventory, if it has changed. `removing` are the ids of the services that this balancer
    /// removes.
    ///
    /// A service is listed once its task has run: before that, the balancer that created it may
    /// still have to give it up. The first inventory lists all services; nobody would ask for the
    /// others. One that stands beside another, or took its number, is listed at once: it says that a deploy is under
    /// way, and that who had the number before still exists.
    pub(super) fn update(
        &mut self,
        observed: &ObservedState,
        places: &Places<'_>,
        numbers: &HashMap<String, u32>,
        removing: &HashSet<String>,
    ) -> Option<RuntimeEvent> {
        let exists = |id: &String| observed.service(id).is_some();
        self.removed.extend(removing.iter().cloned());
        self.removed.retain(exists);
        self.listed.retain(exists);
        self.on_ring.retain(exists);
        let first = self.reported.is_none();
        let mut names = HashSet::new();
        let mut found = Vec::new();
        let mut pending = false;
        let is_removed = |service: &&&Service| self.removed.contains(&service.id);
        for service in places.holders().iter().filter(|service| !is_removed(service)) {
            let numbered = service.number.is_some() && service.number == numbers.get(&service.id).copied();
            let has_failed =
                || service.token.as_deref().and_then(|token| observed.failed(&service.id, token)).is_some();
            let runs = numbered && (observed.running(&service.id).is_some() || has_failed());
            let has_taken = matches!(service.claim(), Some(Claim::Over(_)));
            if !(first || runs || has_taken || self.listed.contains(&service.id)) {
                pending = true;
                continue;
            }
            self.listed.insert(service.id.clone());
            self.on_ring.insert(service.id.clone());
            // Two services of one name can only be made by hand; the older one is listed, and one with a number first.
            if names.insert(service.replica.as_str()) {
                let place = if service.is_vacant() { Place::Vacant } else { Place::Holder };
                found.push(described(service, numbers.get(&service.id).copied(), place));
            }
        }
        found.sort_by_key(|found| found.number);
        for service in places.beside().iter().filter(|service| !is_removed(service)) {
            self.listed.insert(service.id.clone());
            if names.insert(service.replica.as_str()) {
                found.push(described(service, None, Place::Beside));
            }
        }
        self.pending = pending;
        if !std::mem::take(&mut self.report_again) && self.reported.as_ref() == Some(&found) {
            return None;
        }
        self.reported = Some(found.clone());
        Some(RuntimeEvent::Inventory(found))
    }
}

fn described(service: &Service, number: Option<u32>, place: Place) -> Found {
    Found {
        key: service.replica.clone(),
        name: service.replica.clone(),
        number,
        owner: Owner::Orchestrator,
        revision: service.revision.clone(),
        place,
    }
}
