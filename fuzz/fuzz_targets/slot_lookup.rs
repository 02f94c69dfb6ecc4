//! Lookups on rings of any kind and members: keys to ids, ids to slots, slots to owners, and the
//! order of preference, which is the owner's and has each weighted replica once.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringherd::ring::{Node, Ring, hash_key, request_id};
use ringherd_fuzz::SmallRing;
use ringherd_fuzz::model::{Naive, request_slot};

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    ring: SmallRing,
    /// Numbers and weights, valid or not.
    members: Vec<(u32, u8)>,
    keys: Vec<&'a [u8]>,
    requests: Vec<u64>,
    slot: u32,
}

/// Members and lookups of one execution.
const MOST: usize = 24;

fn check_order(ring: &Ring, slot: u32) {
    let order: Vec<usize> = ring.preference(slot).collect();
    assert_eq!(order.first().copied(), ring.owner_at(slot));
    let mut sorted = order;
    sorted.sort_unstable();
    let weighted = (0..ring.nodes().len()).filter(|&index| ring.nodes()[index].weight > 0);
    assert!(sorted.into_iter().eq(weighted), "each weighted replica once");
}

/// What the text of a number says, by the standard library.
fn check_key(key: &[u8]) {
    let text = std::str::from_utf8(key).ok();
    let number =
        text.and_then(|text| text.parse::<u64>().ok()).filter(|n| Some(n.to_string().as_str()) == text);
    assert_eq!(request_id(key), number.unwrap_or_else(|| hash_key(key)));
}

fuzz_target!(|case: Case<'_>| {
    let SmallRing(params) = case.ring;
    case.keys.iter().take(MOST).for_each(|key| check_key(key));
    let nodes: Vec<Node> =
        case.members.iter().take(MOST).map(|&(number, weight)| Node { number, weight }).collect();
    let Ok(ring) = Ring::build(&params, &nodes) else { return };
    let naive = Naive::build(&params, &nodes);
    for &request in case.requests.iter().take(MOST) {
        let slot = ring.slot_of(request);
        assert_eq!(slot, request_slot(params.family(), params.slots(), request));
        check_order(&ring, slot);
        assert_eq!(ring.owner_number(slot), naive.owner(slot));
    }
    // A slot that does not exist has no owner, and asking does no harm.
    assert_eq!(ring.owner_at(case.slot).is_some(), ring.owner_at(0).is_some() && case.slot < params.slots());
    let _ = ring.preference(case.slot).count();
});
