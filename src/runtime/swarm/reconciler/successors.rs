//! The services that this balancer has made beside others, to take their numbers: what their labels have to say. Their
//! tasks may die and be adopted again meanwhile, so this is kept by service.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use super::{Operation, RENEWAL};
use crate::runtime::swarm::observed::{Claim, Service};
use crate::runtime::swarm::places::Places;

/// The successors of deploys that have not ended, by the id of their service.
#[derive(Debug, Default)]
pub(super) struct Successors {
    by_service: BTreeMap<String, Successor>,
}

#[derive(Debug)]
struct Successor {
    /// Id of the service beside which it was made.
    incumbent: String,
    /// Whether it is to have the number.
    takes: bool,
    /// Which of the pool's decisions that was: only a later one changes it.
    decision: u64,
    /// Whether other balancers may have it on their rings.
    is_known: bool,
    /// When this balancer last wrote the label.
    written: Instant,
}

impl Successor {
    /// What its label has to say.
    fn claim(&self) -> Claim {
        let incumbent = self.incumbent.clone();
        if self.takes { Claim::Over(incumbent) } else { Claim::Beside(incumbent) }
    }
}

impl Successors {
    /// The service of a successor has been seen.
    pub(super) fn seen(&mut self, service: &Service, places: &Places<'_>, now: Instant) {
        let Some(Claim::Beside(incumbent) | Claim::Over(incumbent)) = service.claim() else { return };
        if places.is_successor(service) {
            let (incumbent, takes, decision, is_known) = (incumbent.clone(), false, 0, false);
            let successor = Successor { incumbent, takes, decision, is_known, written: now };
            self.by_service.entry(service.id.clone()).or_insert(successor);
        }
    }

    /// The pool has given the number to this service: a successor, or the service that such a one was made beside.
    /// Later decisions are greater.
    pub(super) fn decided(&mut self, service: &str, decision: u64) {
        for (id, successor) in &mut self.by_service {
            let takes = id == service;
            successor.is_known |= takes;
            if (takes || successor.incumbent == service) && successor.decision < decision {
                (successor.takes, successor.decision) = (takes, decision);
            }
        }
    }

    /// The label of a service was written.
    pub(super) fn written(&mut self, service: &str, now: Instant) {
        if let Some(successor) = self.by_service.get_mut(service) {
            successor.written = now;
        }
    }

    /// A service is no longer this balancer's business.
    pub(super) fn forget(&mut self, service: &str) {
        self.by_service.remove(service);
    }

    /// Whether this balancer has made the service for a deploy that has not ended.
    pub(super) fn contains(&self, service: &str) -> bool {
        self.by_service.contains_key(service)
    }

    /// Whether the service was to take a number.
    pub(super) fn is_known(&self, service: &str) -> bool {
        self.by_service.get(service).is_some_and(|successor| successor.is_known)
    }

    /// The labels to write. `is_wanted`: whether the pool has a replica of this service, so that its label is to be
    /// renewed.
    pub(super) fn next(
        &mut self,
        places: &Places<'_>,
        is_removed: impl Fn(&str) -> bool,
        is_wanted: impl Fn(&Service) -> bool,
        now: Instant,
    ) -> Vec<Operation> {
        self.by_service.retain(|id, _| {
            let found = places.get(id).filter(|_| !is_removed(id));
            // Over one that is gone it is a holder as any other: the deploy has ended.
            let has_ended = |found: &Service| {
                matches!(found.claim(), Some(Claim::Over(_))) && !places.is_successor(found)
            };
            found.is_some_and(|found| !has_ended(found))
        });
        let writes = self.by_service.iter().filter_map(|(id, successor)| {
            let (found, claim) = (places.get(id)?, successor.claim());
            let is_old = || now.saturating_duration_since(successor.written) >= RENEWAL;
            let is_due = found.claim() != Some(&claim) || is_wanted(found) && is_old();
            let (service, version) = (id.clone(), found.version);
            is_due.then_some(Operation::SetPlace { service, version, claim: Some(claim) })
        });
        writes.collect()
    }

    /// The services whose number is to go to a successor that has not taken it yet. Until then nobody else has it.
    pub(super) fn awaited(&self, places: &Places<'_>) -> HashSet<String> {
        let awaited = self.by_service.iter().filter(|(id, successor)| {
            successor.takes && places.get(id).is_some_and(|found| found.claim() != Some(&successor.claim()))
        });
        awaited.map(|(_, successor)| successor.incumbent.clone()).collect()
    }
}
