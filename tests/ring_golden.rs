//! The ring against the golden values of its definition, and the facts the defaults rest on.

use ringherd::ring::{Family, Hash, Node, Params, Placement, Probing, Ring, hash_key};
use serde_json::Value;
use sha2::{Digest, Sha256};

const VECTORS: &str = include_str!("data/ring_vectors.json");
const BALANCED: &str = include_str!("data/balanced_vectors.json");

fn parsed(values: &str) -> Value {
    serde_json::from_str(values).expect("the golden values are JSON")
}

fn vectors() -> Value {
    parsed(VECTORS)
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().expect("an array").iter().map(|number| number.as_u64().expect("a number")).collect()
}

fn build(vector: &Value) -> Ring {
    let choice = |field: &str| vector[field].as_str().expect("a word");
    let number = |field: &str| vector[field].as_u64().expect("a number") as u32;
    let params = Params::new(
        choice("family").parse().unwrap(),
        choice("probing").parse().unwrap(),
        Placement::Ring,
        number("slots"),
        number("virtual_nodes"),
    );
    let nodes: Vec<Node> = numbers(&vector["ids"]).iter().map(|&number| Node::new(number as u32)).collect();
    Ring::build(&params.unwrap(), &nodes).unwrap()
}

fn owners_digest(ring: &Ring) -> String {
    let mut digest = Sha256::new();
    (0..ring.params().slots()).for_each(|slot| digest.update(ring.owner_number(slot).unwrap().to_le_bytes()));
    digest.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[test]
fn keys_hash_to_the_golden_ids() {
    let cases = vectors()["key_hash"].as_array().unwrap().clone();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let key = case[0].as_str().unwrap();
        assert_eq!(Some(hash_key(key.as_bytes())), case[1].as_u64(), "{key}");
    }
}

#[test]
fn rings_are_the_golden_rings() {
    let vectors = vectors()["vectors"].as_array().unwrap().clone();
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let ring = build(&vector);
        let what = format!("{} {:?} {}", vector["family"], ring.params(), vector["ids"]);
        assert_eq!(Some(u64::from(ring.longest_probe())), vector["longest_probe"].as_u64(), "{what}");
        for (node, &owned) in ring.nodes().iter().zip(ring.slots_owned()) {
            assert_eq!(vector["slots_owned"][node.number.to_string()], owned, "{what}");
        }
        assert_eq!(vector["owners_sha256_u32le"], owners_digest(&ring), "{what}");
    }
}

#[test]
fn virtual_nodes_are_where_the_golden_ones_are() {
    let mut compared = 0;
    for vector in vectors()["vectors"].as_array().unwrap() {
        let Some(expected) = vector.get("virtual_node_slots") else { continue };
        let ring = build(vector);
        let placed = ring.virtual_nodes().map(|(slot, index)| (slot, ring.nodes()[index].number));
        assert_eq!(*expected, serde_json::json!(placed.collect::<Vec<_>>()));
        compared += 1;
    }
    assert_eq!(compared, 6);
}

#[test]
fn lookups_are_the_golden_lookups() {
    for vector in vectors()["vectors"].as_array().unwrap() {
        let ring = build(vector);
        for lookup in vector["lookups"].as_array().unwrap() {
            let [request, slot, owner] = numbers(lookup)[..] else { panic!("three numbers: {lookup}") };
            assert_eq!(u64::from(ring.slot_of(request)), slot, "{request}");
            assert_eq!(ring.owner_number(slot as u32).map(u64::from), Some(owner), "{request}");
        }
    }
}

#[test]
fn balanced_owners_are_the_golden_owners() {
    let vectors = parsed(BALANCED)["vectors"].as_array().unwrap().clone();
    assert_eq!(vectors.len(), 7);
    for vector in vectors {
        let slots = vector["slots"].as_u64().unwrap() as u32;
        let params =
            Params::new(Family::Modified, Probing::Quadratic, Placement::Balanced, slots, 256).unwrap();
        let pairs = |field: &str| vector[field].as_array().unwrap().iter().map(numbers).collect::<Vec<_>>();
        let node = |pair: &Vec<u64>| Node { number: pair[0] as u32, weight: pair[1] as u8 };
        let nodes: Vec<Node> = pairs("nodes").iter().map(node).collect();
        let ring = Ring::build(&params, &nodes).unwrap();
        let first: Vec<u64> =
            (0..slots.min(16)).filter_map(|slot| ring.owner_number(slot)).map(u64::from).collect();
        assert_eq!(first, numbers(&vector["first_owners"]), "{nodes:?}");
        let owned = ring.nodes().iter().map(|node| node.number).zip(ring.slots_owned().iter().copied());
        let owned: Vec<Vec<u64>> = owned.map(|(number, owned)| vec![number.into(), owned.into()]).collect();
        assert_eq!(owned, pairs("slots_owned"), "{nodes:?}");
        assert_eq!(vector["owners_sha256_u32le"], owners_digest(&ring), "{nodes:?}");
    }
}

/// Rendezvous placement has no published values. These are its own, so that no change of the
/// score goes unnoticed: balancers of two versions side by side must agree about owners.
#[test]
fn rendezvous_owners_stay_what_they_are() {
    let params =
        Params::new(Family::Modified, Probing::Quadratic, Placement::Rendezvous, 65_539, 256).unwrap();
    let nodes = [(1, 100), (2, 100), (3, 50), (5, 1), (8, 0)].map(|(number, weight)| Node { number, weight });
    let ring = Ring::build(&params, &nodes).unwrap();
    assert_eq!(ring.slots_owned(), [25_940, 26_337, 12_996, 266, 0]);
    assert_eq!(owners_digest(&ring), "d3b4faeecb20d72a54e81181f33ab8f734139e93f51622229e37849c32a1b688");
}

/// Busiest replica relative to the average over 10,000 pseudo-random six-digit request ids.
fn peak_of_requests(params: &Params, replicas: u32) -> f64 {
    let ring = Ring::build(params, &(1..=replicas).map(Node::new).collect::<Vec<_>>()).unwrap();
    let mut seen = vec![0_u32; replicas as usize];
    let mut state = 1_u64;
    for _ in 0..10_000 {
        // Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let request = 100_000 + (state >> 33) % 900_000;
        seen[ring.owner_at(ring.slot_of(request)).unwrap()] += 1;
    }
    f64::from(*seen.iter().max().unwrap()) * f64::from(replicas) / 10_000.0
}

#[test]
fn peaks_are_those_the_defaults_were_chosen_by() {
    let small = |family| Params::new(family, Probing::Quadratic, Placement::Ring, 512, 9).unwrap();
    // The first two rows are the exact expectation over all request ids; in the third, chance
    // adds more to the busiest of 10,000 requests than the ring does.
    let table = [
        (small(Family::Classic), [1.91, 2.53, 3.28, 3.98, 4.73, 6.56]),
        (small(Family::Modified), [1.00, 1.31, 1.50, 1.33, 1.50, 1.72]),
        (Params::default(), [1.03, 1.02, 1.03, 1.05, 1.07, 1.09]),
    ];
    for (params, peaks) in table {
        for (replicas, expected) in [2, 3, 4, 5, 6, 10].into_iter().zip(peaks) {
            let peak = peak_of_requests(&params, replicas);
            // About three standard deviations of a count of 10,000 draws.
            let tolerance = 0.04 + 0.02 * expected;
            assert!((peak - expected).abs() < tolerance, "{params:?} N={replicas}: {peak}, not {expected}");
        }
    }
}

#[test]
fn few_slots_of_a_power_of_two_are_reached() {
    for (family, reached) in [(Family::Classic, 87), (Family::Modified, 64)] {
        let hash = Hash::new(family, 512);
        let slots: std::collections::HashSet<u32> =
            (0..100_000).map(|request| hash.request(request)).collect();
        assert_eq!(slots.len(), reached, "{family}");
        assert_eq!(hash.reachable_slots() as usize, reached, "{family}");
    }
}
