//! The services that this balancer has taken off the rings because they are about to run another revision.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{NOTICE, Operation, RENEWAL};
use crate::runtime::swarm::observed::Claim;
use crate::runtime::swarm::places::Places;

/// The vacancies, by the id of their service.
#[derive(Debug, Default)]
pub(super) struct Vacancies {
    by_service: BTreeMap<String, Vacancy>,
}

#[derive(Debug, Default)]
struct Vacancy {
    /// When this balancer marked the service, first and last.
    marks: Option<(Instant, Instant)>,
    /// Whether the service is to serve again.
    ends: bool,
}

impl Vacancy {
    /// Whether the mark is to be made or renewed.
    fn is_due(&self, now: Instant) -> bool {
        self.marks.is_none_or(|(_, last)| now.saturating_duration_since(last) >= RENEWAL)
    }
}

impl Vacancies {
    /// A service is to serve no more.
    pub(super) fn begin(&mut self, service: &str) {
        self.by_service.entry(service.to_owned()).or_default().ends = false;
    }

    /// A service is to serve again.
    pub(super) fn end(&mut self, service: &str) {
        self.by_service.entry(service.to_owned()).or_default().ends = true;
    }

    /// A service is vacant no more.
    pub(super) fn remove(&mut self, service: &str) {
        self.by_service.remove(service);
    }

    /// The label of a service was written.
    pub(super) fn written(&mut self, service: &str, now: Instant) {
        if let Some(vacancy) = self.by_service.get_mut(service) {
            vacancy.marks = Some((vacancy.marks.map_or(now, |(first, _)| first), now));
        }
    }

    /// Whether this balancer vacates the service.
    pub(super) fn contains(&self, service: &str) -> bool {
        self.by_service.contains_key(service)
    }

    /// Whether a mark has yet to be made or taken away.
    pub(super) fn are_pending(&self) -> bool {
        self.by_service.values().any(|vacancy| vacancy.ends || vacancy.marks.is_none())
    }

    /// Whether other balancers have had the time to see the mark, and nothing of it is to be written now.
    pub(super) fn has_given_notice(&self, service: &str, now: Instant) -> bool {
        self.by_service.get(service).is_some_and(|vacancy| {
            let has_passed = |(first, _)| now.saturating_duration_since(first) >= NOTICE;
            vacancy.marks.is_some_and(has_passed) && !vacancy.is_due(now)
        })
    }

    /// The labels to write.
    pub(super) fn next(
        &mut self,
        places: &Places<'_>,
        is_removed: impl Fn(&str) -> bool,
        now: Instant,
    ) -> Vec<Operation> {
        let mut operations = Vec::new();
        self.by_service.retain(|id, vacancy| {
            let Some(found) = places.get(id).filter(|_| !is_removed(id)) else { return false };
            let claim = match (vacancy.ends, found.is_vacant()) {
                (true, false) => return false,
                (true, true) => None,
                // The label is that of its deploy, without which its number would have two holders.
                (false, false) if places.is_being_deployed(found) => return true,
                (false, is_vacant) => {
                    if !is_vacant {
                        // Others may have it on their rings, again.
                        vacancy.marks = None;
                    }
                    Some(Claim::Vacant)
                }
            };
            if vacancy.ends || vacancy.is_due(now) {
                let (service, version) = (id.clone(), found.version);
                operations.push(Operation::SetPlace { service, version, claim });
            }
            true
        });
        operations
    }
}
