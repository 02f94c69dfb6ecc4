//! What services are to their numbers while deploys are under way: which one holds a number, and which ones stand
//! beside it. Pure; the same for all balancers.
//!
//! Each claim is one label of one service, the successor, so that a number changes hands in one write, either way. A
//! service that is being removed claims nothing: whom it stood over holds the number again.

use std::collections::{BTreeSet, HashMap};

use super::observed::{Claim, ObservedState, Service};

/// The services that are not being removed, and what they are to their numbers.
#[derive(Debug)]
pub(super) struct Places<'a> {
    /// Those with a number, vacant or not, from the oldest to the youngest.
    holders: Vec<&'a Service>,
    /// Those beside them, from the oldest to the youngest.
    beside: Vec<&'a Service>,
    /// All, by id.
    by_id: HashMap<&'a str, &'a Service>,
    /// Who has taken the number of a service, by that service's id, which may be gone: of several the oldest.
    takers: HashMap<&'a str, &'a str>,
    /// Ids of those that claim a number which an older one has taken.
    losers: BTreeSet<&'a str>,
}

impl<'a> Places<'a> {
    pub(super) fn of(observed: &'a ObservedState) -> Self {
        let staying = observed.staying();
        let by_id: HashMap<_, _> = staying.iter().map(|service| (service.id.as_str(), *service)).collect();
        let (mut takers, mut losers, mut older) = (HashMap::new(), BTreeSet::new(), BTreeSet::new());
        for service in &staying {
            let id = service.id.as_str();
            if let Some(Claim::Over(incumbent)) = service.claim() {
                let incumbent = incumbent.as_str();
                // A successor is the younger one. So claims form no circle, whatever somebody writes into labels.
                let is_successor = older.contains(incumbent) || !by_id.contains_key(incumbent);
                if is_successor && *takers.entry(incumbent).or_insert(id) != id {
                    losers.insert(id);
                }
            }
            older.insert(id);
        }
        let is_beside = |service: &&Service| {
            let id = service.id.as_str();
            let is_made_beside = matches!(service.claim(), Some(Claim::Beside(_)));
            is_made_beside || losers.contains(id) || takers.contains_key(id)
        };
        let (beside, holders) = staying.iter().copied().partition(is_beside);
        Self { holders, beside, by_id, takers, losers }
    }

    /// The services with a number, vacant or not, from the oldest to the youngest.
    pub(super) fn holders(&self) -> &[&'a Service] {
        &self.holders
    }

    /// The services that stand beside one with a number, from the oldest to the youngest: successors that have not taken
    /// it, also if nobody has it any more, and incumbents whose successor has.
    pub(super) fn beside(&self) -> &[&'a Service] {
        &self.beside
    }

    /// All services that are not being removed; those with a number first.
    pub(super) fn staying(&self) -> impl Iterator<Item = &'a Service> {
        self.holders.iter().chain(&self.beside).copied()
    }

    /// The service with this id, if it is not being removed.
    pub(super) fn get(&self, id: &str) -> Option<&'a Service> {
        self.by_id.get(id).copied()
    }

    /// Whether a service claims a number that an older one has taken, from the same incumbent.
    pub(super) fn has_lost(&self, service: &str) -> bool {
        self.losers.contains(service)
    }

    /// Whether a service was made for a deploy that has not ended: it stands beside another one, or over one that stays.
    pub(super) fn is_successor(&self, service: &Service) -> bool {
        match service.claim() {
            Some(Claim::Beside(_)) => true,
            Some(Claim::Over(incumbent)) => {
                let has_taken = self.takers.get(incumbent.as_str()) == Some(&service.id.as_str());
                self.has_lost(&service.id) || has_taken && self.get(incumbent).is_some()
            }
            _ => false,
        }
    }

    /// Whether a service is such a successor, or another one has taken its number.
    pub(super) fn is_being_deployed(&self, service: &Service) -> bool {
        self.is_successor(service) || self.takers.contains_key(service.id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::swarm::observed::PlaceLabel;

    fn service(id: &str, created: i64, claim: Option<Claim>) -> Service {
        let (revision, token) = Default::default();
        let place = claim.map(|claim| PlaceLabel { claim, renewed: 1 });
        let (name, replica, number) = (id.to_owned(), id.to_owned(), Some(1));
        let (leaving, version) = (None, 1);
        Service { id: id.into(), name, replica, revision, number, leaving, place, token, created, version }
    }

    /// The ids of holders and of those beside them.
    fn places(services: Vec<Service>) -> (Vec<String>, Vec<String>) {
        let observed = ObservedState { services, ..ObservedState::default() };
        let places = Places::of(&observed);
        let ids = |services: &[&Service]| services.iter().map(|service| service.id.clone()).collect();
        (ids(places.holders()), ids(places.beside()))
    }

    fn expect(services: Vec<Service>, holders: &[&str], beside: &[&str]) {
        let (found_holders, found_beside) = places(services);
        assert_eq!(found_holders, holders);
        assert_eq!(found_beside, beside);
    }

    #[test]
    fn a_number_changes_hands_with_the_label_of_the_successor() {
        let (beside, over) =
            (|id: &str| Some(Claim::Beside(id.into())), |id: &str| Some(Claim::Over(id.into())));
        let y = || service("y", 1, None);
        expect(vec![y(), service("x", 2, beside("y"))], &["y"], &["x"]);
        expect(vec![y(), service("x", 2, over("y"))], &["x"], &["y"]);
        // One that is being removed holds nothing and stands over nobody.
        let leaving = |service| Service { leaving: Some("1".into()), ..service };
        expect(vec![y(), leaving(service("x", 2, over("y")))], &["y"], &[]);
        expect(vec![leaving(y()), service("x", 2, over("y"))], &["x"], &[]);
        // An orphan never gets a number by itself.
        expect(vec![service("x", 2, beside("y"))], &[], &["x"]);
        expect(vec![service("x", 2, over("y"))], &["x"], &[]);
        expect(vec![service("x", 2, Some(Claim::Vacant))], &["x"], &[]);
        // The next deploy: what is left of the one before says nothing.
        expect(vec![service("x", 2, over("y")), service("z", 3, over("x"))], &["z"], &["x"]);
    }

    #[test]
    fn of_two_that_claim_a_number_the_older_has_it() {
        let over = |id: &str, created| service(id, created, Some(Claim::Over("y".into())));
        expect(vec![service("y", 1, None), over("z", 3), over("x", 2)], &["x"], &["y", "z"]);
        // Also without the incumbent, whose number would be given twice.
        expect(vec![over("z", 3), over("x", 2)], &["x"], &["z"]);
    }

    #[test]
    fn claims_form_no_circle() {
        let over = |id: &str, created, other: &str| service(id, created, Some(Claim::Over(other.into())));
        expect(vec![over("x", 1, "y"), over("y", 2, "x")], &["y"], &["x"]);
        expect(vec![over("x", 1, "x")], &["x"], &[]);
    }

    #[test]
    fn a_deploy_ends_with_the_incumbent() {
        let (y, x) = (service("y", 1, None), service("x", 2, Some(Claim::Over("y".into()))));
        let mut observed = ObservedState { services: vec![y, x], ..ObservedState::default() };
        let said = |observed: &ObservedState, id: &str| {
            let places = Places::of(observed);
            let service = places.get(id).unwrap();
            (places.is_successor(service), places.is_being_deployed(service))
        };
        assert_eq!((said(&observed, "y"), said(&observed, "x")), ((false, true), (true, true)));
        observed.services.remove(0);
        assert_eq!(said(&observed, "x"), (false, false));
    }
}
