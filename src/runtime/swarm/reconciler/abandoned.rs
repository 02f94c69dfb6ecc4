//! What other balancers have begun and abandoned, because they are gone: removals and deploys. Each balancer finishes
//! the removals, and undoes the deploys, so that whoever had a number serves it again.
//!
//! Clocks are not compared: a mark is abandoned if it has not changed for long while this balancer watched.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Operation;
use crate::runtime::swarm::observed::{Claim, ObservedState, PlaceLabel, Service};
use crate::runtime::swarm::places::Places;

/// Time after which a mark that was not renewed is abandoned: three renewals.
const ABANDONED: Duration = Duration::from_secs(60);

/// Values of labels by the id of their service, and since when they have been the same.
#[derive(Debug)]
struct Watched<T>(HashMap<String, (T, Instant)>);

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone + PartialEq> Watched<T> {
    /// The services whose value has not changed for long, of those that have one now. What has none is forgotten.
    fn abandoned<'a>(
        &mut self,
        current: impl Iterator<Item = (&'a Service, &'a T)>,
        now: Instant,
    ) -> Vec<&'a Service>
    where
        T: 'a,
    {
        let (mut values, mut abandoned) = (HashMap::new(), Vec::new());
        for (service, value) in current {
            let since = match self.0.get(&service.id) {
                Some((known, since)) if known == value => *since,
                _ => now,
            };
            if now.saturating_duration_since(since) >= ABANDONED {
                abandoned.push(service);
            }
            values.insert(service.id.clone(), (value.clone(), since));
        }
        self.0 = values;
        abandoned
    }
}

/// The marks that other balancers have made.
#[derive(Debug, Default)]
pub(super) struct Abandoned {
    removals: Watched<String>,
    deploys: Watched<PlaceLabel>,
}

impl Abandoned {
    /// Nobody watched for some time, and perhaps nobody could renew a mark: the watch over deploys begins anew.
    pub(super) fn interrupted(&mut self) {
        self.deploys = Watched::default();
    }

    /// The deletions of services whose removal was abandoned. `is_own`: whether this balancer removes the service.
    pub(super) fn removals(
        &mut self,
        observed: &ObservedState,
        is_own: impl Fn(&str) -> bool,
        now: Instant,
    ) -> Vec<Operation> {
        let others = observed.services.iter().filter(|service| !is_own(&service.id));
        let marks = others.filter_map(|service| Some((service, service.leaving.as_ref()?)));
        let abandoned = self.removals.abandoned(marks, now).into_iter();
        abandoned.map(|service| Operation::Delete { service: service.id.clone() }).collect()
    }

    /// What undoes the deploys that were abandoned. `is_own`: whether this balancer deploys or removes the service.
    pub(super) fn deploys(
        &mut self,
        places: &Places<'_>,
        is_own: impl Fn(&Service) -> bool,
        now: Instant,
    ) -> Vec<Operation> {
        let others = places.staying().filter(|service| !is_own(service));
        let under_way = others.filter(|service| service.is_vacant() || places.is_successor(service));
        let labels = under_way.filter_map(|service| Some((service, service.place.as_ref()?)));
        let abandoned = self.deploys.abandoned(labels, now).into_iter();
        let undo = abandoned.map(|found| {
            let (service, version) = (found.id.clone(), found.version);
            match found.claim() {
                Some(Claim::Vacant) => Operation::SetPlace { service, version, claim: None },
                _ => Operation::MarkAbandoned { service, version },
            }
        });
        undo.collect()
    }
}
