//! What the pool is told to exist.

use std::collections::{HashMap, HashSet};

use crate::runtime::swarm::world::{Service, World};
use crate::runtime::{Found, Owner, RuntimeEvent};

/// The services that the pool knows of.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// What was told last.
    told: Option<Vec<Found>>,
    /// Ids of the services that have been on the ring, or could have been.
    seen: HashSet<String>,
    /// Ids of services that this balancer has let go of. They are never told again.
    gone: HashSet<String>,
    /// Whether there are services that have not run yet.
    waits: bool,
    /// Whether the next one is told even if it is the same.
    retell: bool,
}

impl Inventory {
    /// Whether a service has been told of, here and so perhaps elsewhere.
    pub(super) fn has_seen(&self, service: &str) -> bool {
        self.seen.contains(service)
    }

    /// Whether a service may be told of soon.
    pub(super) fn is_waiting(&self) -> bool {
        self.waits
    }

    /// The next inventory is told even if it is the same.
    pub(super) fn retell(&mut self) {
        self.retell = true;
    }

    /// The inventory, if it is a new one. `leaving`: ids of the services that are removed here.
    ///
    /// A service counts from when its task has run once: before that, whoever made it may still
    /// have to give it up. At the first look all count; nobody would ask for the rest.
    pub(super) fn look(
        &mut self,
        world: &World,
        staying: &[&Service],
        numbers: &HashMap<String, u32>,
        leaving: &HashSet<String>,
    ) -> Option<RuntimeEvent> {
        let exists = |id: &String| world.service(id).is_some();
        self.gone.extend(leaving.iter().cloned());
        self.gone.retain(exists);
        self.seen.retain(exists);
        let first = self.told.is_none();
        let mut names = HashSet::new();
        let mut found = Vec::new();
        let known = staying.iter().filter(|service| !self.gone.contains(&service.id));
        let mut waits = false;
        for service in known {
            let settled = service.number.is_some() && service.number == numbers.get(&service.id).copied();
            let runs = world.running(&service.id).is_some() && settled;
            if !(first || runs || self.seen.contains(&service.id)) {
                waits = true;
                continue;
            }
            self.seen.insert(service.id.clone());
            // Two of one name can only be made by hand; the older one counts.
            if names.insert(service.replica.as_str()) {
                found.push(Found {
                    key: service.replica.clone(),
                    name: service.replica.clone(),
                    number: numbers.get(&service.id).copied(),
                    owner: Owner::Orchestrator,
                });
            }
        }
        self.waits = waits;
        found.sort_by_key(|found| found.number);
        if !std::mem::take(&mut self.retell) && self.told.as_ref() == Some(&found) {
            return None;
        }
        self.told = Some(found.clone());
        Some(RuntimeEvent::Inventory(found))
    }
}
