//! The inventory that is reported to the pool.

use std::collections::{HashMap, HashSet};

use crate::runtime::swarm::observed::{ObservedState, Service};
use crate::runtime::{Found, Owner, RuntimeEvent};

/// The services that the pool knows.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// The inventory that was reported last.
    reported: Option<Vec<Found>>,
    /// Ids of the services that are or were in an inventory, and so may be on the ring.
    listed: HashSet<String>,
    /// Ids of services that this balancer has begun to remove. They are never listed again.
    removed: HashSet<String>,
    /// Whether there are services that have not run yet.
    pending: bool,
    /// Whether the next inventory is reported even if it has not changed.
    report_again: bool,
}

impl Inventory {
    /// Whether a service has been listed here, and so perhaps by other balancers.
    pub(super) fn has_listed(&self, service: &str) -> bool {
        self.listed.contains(service)
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
    /// others.
    pub(super) fn update(
        &mut self,
        observed: &ObservedState,
        staying: &[&Service],
        numbers: &HashMap<String, u32>,
        removing: &HashSet<String>,
    ) -> Option<RuntimeEvent> {
        let exists = |id: &String| observed.service(id).is_some();
        self.removed.extend(removing.iter().cloned());
        self.removed.retain(exists);
        self.listed.retain(exists);
        let first = self.reported.is_none();
        let mut names = HashSet::new();
        let mut found = Vec::new();
        let mut pending = false;
        for service in staying.iter().filter(|service| !self.removed.contains(&service.id)) {
            let numbered = service.number.is_some() && service.number == numbers.get(&service.id).copied();
            let runs = observed.running(&service.id).is_some() && numbered;
            if !(first || runs || self.listed.contains(&service.id)) {
                pending = true;
                continue;
            }
            self.listed.insert(service.id.clone());
            // Two services of one name can only be made by hand; the older one is listed.
            if names.insert(service.replica.as_str()) {
                found.push(Found {
                    key: service.replica.clone(),
                    name: service.replica.clone(),
                    number: numbers.get(&service.id).copied(),
                    owner: Owner::Orchestrator,
                    revision: service.revision.clone(),
                });
            }
        }
        self.pending = pending;
        found.sort_by_key(|found| found.number);
        if !std::mem::take(&mut self.report_again) && self.reported.as_ref() == Some(&found) {
            return None;
        }
        self.reported = Some(found.clone());
        Some(RuntimeEvent::Inventory(found))
    }
}
