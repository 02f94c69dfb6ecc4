//! Numbers on the ring that several balancers assign. Pure.
//!
//! Two balancers may create services with the same number at the same time; a Swarm does not prevent
//! it. The oldest service then keeps the number, and the others get the smallest free ones. Every
//! balancer computes the same result, so it does not matter which one writes it.

use std::collections::{HashMap, HashSet};

use super::observed::Service;

/// The number that each service has to have, by the service's id. `services` are those that have one, sorted from
/// the oldest to the youngest.
pub(super) fn assign(services: &[&Service]) -> HashMap<String, u32> {
    let mut taken = HashSet::new();
    let (winners, losers): (Vec<&Service>, Vec<&Service>) =
        services.iter().partition(|service| service.number.is_some_and(|number| taken.insert(number)));
    let kept = winners.into_iter().filter_map(|service| Some((service.id.clone(), service.number?)));
    let mut assigned: HashMap<_, _> = kept.collect();
    for service in losers {
        let number = smallest_free(&taken);
        taken.insert(number);
        assigned.insert(service.id.clone(), number);
    }
    assigned
}

/// The smallest number from 1 on that is not taken.
pub(super) fn smallest_free(taken: &HashSet<u32>) -> u32 {
    (1..=u32::MAX).find(|number| !taken.contains(number)).expect("there are fewer replicas than numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(id: &str, number: Option<u32>) -> Service {
        let (name, replica) = (format!("ringherd-p-{id}"), id.to_owned());
        let (revision, leaving, place, token) = Default::default();
        let (created, version) = (0, 0);
        Service { id: id.into(), name, replica, revision, number, leaving, place, token, created, version }
    }

    #[test]
    fn the_oldest_keeps_a_number_and_the_others_take_what_is_free() {
        let services = [("a", Some(1)), ("b", Some(3)), ("c", Some(1)), ("d", None), ("e", Some(2))]
            .map(|(id, number)| service(id, number));
        let assigned = assign(&services.iter().collect::<Vec<_>>());
        let expected = [("a", 1), ("b", 3), ("c", 4), ("d", 5), ("e", 2)];
        assert_eq!(assigned, expected.map(|(id, number)| (id.to_owned(), number)).into());
    }

    #[test]
    fn free_numbers_begin_at_one() {
        assert_eq!(smallest_free(&HashSet::new()), 1);
        assert_eq!(smallest_free(&HashSet::from([1, 2, 4])), 3);
    }
}
