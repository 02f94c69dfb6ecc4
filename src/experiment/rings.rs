//! The rings that are compared, and what is expected of each. Pure.

use std::collections::HashMap;

use serde::Serialize;

use super::keys::{FIRST_ID, LAST_ID};
use crate::ring::{Family, Hash, Node, Params, Placement, Probing, Ring};

/// A ring that is compared.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    /// Name in tables and charts.
    pub(super) label: &'static str,
    /// Name in `results.json`.
    pub(super) key: &'static str,
    pub(super) params: Params,
}

/// The rings that are compared: all, or those of one family.
pub(super) fn variants(family: Option<Family>) -> Vec<Variant> {
    let small = |family| Params::new(family, Probing::Quadratic, Placement::Ring, 512, 9);
    let default = Params::default();
    let default_with = |placement| {
        let (slots, virtual_nodes) = (default.slots(), default.virtual_nodes());
        Params::new(default.family(), default.probing(), placement, slots, virtual_nodes)
    };
    let valid = "512 is a power of two, and other placements take any size";
    let rendezvous = default_with(Placement::Rendezvous).expect(valid);
    let balanced = default_with(Placement::Balanced).expect(valid);
    let all = [
        ("classic, 512 slots", "classic-512", small(Family::Classic).expect(valid)),
        ("modified, 512 slots", "modified-512", small(Family::Modified).expect(valid)),
        ("modified, default", "modified-default", default),
        ("rendezvous", "rendezvous", rendezvous),
        ("balanced", "balanced", balanced),
    ];
    all.into_iter()
        .map(|(label, key, params)| Variant { label, key, params })
        .filter(|variant| family.is_none_or(|family| variant.params.family() == family))
        .collect()
}

/// The parameters of a ring, as in the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RingFacts {
    pub(super) family: String,
    pub(super) probing: String,
    pub(super) placement: String,
    pub(super) slots: u32,
    pub(super) virtual_nodes: u32,
    /// Number of slots that request ids can hit.
    pub(super) reachable_slots: u32,
}

impl RingFacts {
    pub(super) fn of(params: &Params) -> Self {
        Self {
            family: params.family().to_string(),
            probing: params.probing().to_string(),
            placement: params.placement().to_string(),
            slots: params.slots(),
            virtual_nodes: params.virtual_nodes(),
            reachable_slots: Hash::new(params.family(), params.slots()).reachable_slots(),
        }
    }
}

/// The number of six-digit request ids on each slot, cached by kind of ring.
#[derive(Default)]
pub(super) struct Population {
    hits: HashMap<(Family, u32), Vec<u32>>,
}

impl Population {
    /// The share of all six-digit request ids that each node of `ring` owns, which is the expected share
    /// of requests. It differs from the share of slots if some slots are never hit.
    pub(super) fn shares(&mut self, ring: &Ring) -> Vec<f64> {
        let mut owned = vec![0_u64; ring.nodes().len()];
        for (slot, &hits) in (0..).zip(self.hits(ring)) {
            if let Some(owner) = ring.owner_at(slot) {
                owned[owner] += u64::from(hits);
            }
        }
        owned.iter().map(|&owned| owned as f64 / (LAST_ID - FIRST_ID + 1) as f64).collect()
    }

    /// The share of all six-digit request ids whose owner differs.
    pub(super) fn moved(&mut self, before: &Ring, after: &Ring) -> f64 {
        let differs = |slot: &u32| before.owner_number(*slot) != after.owner_number(*slot);
        let hits = (0..).zip(self.hits(before)).filter(|(slot, _)| differs(slot));
        hits.map(|(_, &hits)| u64::from(hits)).sum::<u64>() as f64 / (LAST_ID - FIRST_ID + 1) as f64
    }

    fn hits(&mut self, ring: &Ring) -> &[u32] {
        let params = ring.params();
        self.hits.entry((params.family(), params.slots())).or_insert_with(|| {
            let mut hits = vec![0; params.slots() as usize];
            (FIRST_ID..=LAST_ID).for_each(|id| hits[ring.slot_of(id) as usize] += 1);
            hits
        })
    }
}

/// The ring of replicas 1 to `count`, all of full weight; `None` if they do not fit.
pub(super) fn first(params: &Params, count: u32) -> Option<Ring> {
    Ring::build(params, &(1..=count).map(Node::new).collect::<Vec<_>>()).ok()
}

/// The largest share divided by the average share.
pub(super) fn peak(shares: &[f64]) -> f64 {
    shares.iter().copied().fold(0.0, f64::max) * shares.len() as f64 / shares.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peaks(key: &str, population: &mut Population) -> Vec<f64> {
        let variant = variants(None).into_iter().find(|variant| variant.key == key).unwrap();
        let rings = [2, 3, 4, 5, 6, 10].map(|count| first(&variant.params, count).unwrap());
        rings.iter().map(|ring| peak(&population.shares(ring))).collect()
    }

    fn close(found: &[f64], golden: &[f64], tolerance: f64) {
        let near = found.iter().zip(golden).all(|(found, golden)| (found - golden).abs() <= tolerance);
        assert!(near, "{found:.3?} {golden:?}");
    }

    #[test]
    fn what_is_expected_of_each_ring_is_golden() {
        let mut population = Population::default();
        close(&peaks("classic-512", &mut population), &[1.91, 2.53, 3.28, 3.98, 4.73, 6.56], 0.006);
        close(&peaks("modified-512", &mut population), &[1.00, 1.31, 1.50, 1.33, 1.50, 1.72], 0.006);
        close(
            &peaks("modified-default", &mut population),
            &[1.036, 1.038, 1.019, 1.030, 1.044, 1.029],
            0.0006,
        );
        for key in ["rendezvous", "balanced"] {
            assert!(peaks(key, &mut population).iter().all(|&peak| peak < 1.03), "{key}");
        }
    }

    #[test]
    fn only_slots_that_are_reached_count() {
        let facts: Vec<_> = variants(None).iter().map(|variant| RingFacts::of(&variant.params)).collect();
        let reached: Vec<_> = facts.iter().map(|facts| (facts.reachable_slots, facts.slots)).collect();
        assert_eq!(reached, [(87, 512), (64, 512), (65_539, 65_539), (65_539, 65_539), (65_539, 65_539)]);
    }

    #[test]
    fn shares_are_a_whole_and_a_key_that_moves_moves_to_the_new_one() {
        let mut population = Population::default();
        for variant in variants(None) {
            let rings = [2, 3].map(|count| first(&variant.params, count).unwrap());
            assert!((population.shares(&rings[1]).iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let gained = population.shares(&rings[1])[2];
            assert!((population.moved(&rings[0], &rings[1]) - gained).abs() < 1e-9, "{}", variant.key);
            assert!(population.moved(&rings[0], &rings[0]).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn a_family_restricts_what_is_compared() {
        let keys = |family| variants(Some(family)).iter().map(|variant| variant.key).collect::<Vec<_>>();
        assert_eq!(keys(Family::Classic), ["classic-512"]);
        assert_eq!(keys(Family::Modified), ["modified-512", "modified-default", "rendezvous", "balanced"]);
    }
}
