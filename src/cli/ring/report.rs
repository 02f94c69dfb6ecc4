//! The report on a ring, as data. Knows nothing of how it is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::ring::{Node, Params, Ring, slots_moved};

/// Largest number of slots for which all virtual nodes are listed.
const LISTED_SLOTS: u32 = 1_024;

/// Largest number of replicas for which the removal of each is computed, which builds a ring each time.
/// For more replicas, only that of the first is.
const REMOVALS: usize = 32;

/// The report. The fields are those of the JSON object.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) family: &'static str,
    pub(super) probing: &'static str,
    pub(super) placement: &'static str,
    pub(super) slots: u32,
    pub(super) virtual_nodes: u32,
    pub(super) ids: Vec<u32>,
    /// Weight by number.
    pub(super) weights: BTreeMap<u32, u8>,
    /// Largest number of replicas that fit.
    pub(super) capacity: u32,
    pub(super) longest_probe: u32,
    /// Number of slots that request ids can hit.
    pub(super) reachable_slots: u32,
    /// Largest ratio of a replica's slots to its share by weight.
    pub(super) peak_to_average: f64,
    /// Number of slots by replica number.
    pub(super) slots_owned: BTreeMap<u32, u32>,
    /// SHA-256 over the owner's number of each slot as a little-endian `u32`, 0 for no owner.
    pub(super) owners_sha256_u32le: String,
    /// Slot and number of each virtual node, on small rings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) virtual_node_slots: Option<Vec<(u32, u32)>>,
    /// Request id, slot, number of the owner.
    pub(super) lookups: Vec<(u64, u32, Option<u32>)>,
    pub(super) moved: Moved,
}

/// The slots that changes of membership would move.
#[derive(Debug, Serialize)]
pub(super) struct Moved {
    /// Adding a replica of full weight; absent if it does not fit.
    pub(super) add: Option<Move>,
    /// Removing each replica, or only the first of many.
    pub(super) remove: Vec<Move>,
}

/// One change of membership.
#[derive(Debug, Serialize)]
pub(super) struct Move {
    pub(super) number: u32,
    /// Number of slots that change owner.
    pub(super) slots: u32,
    /// Share of all slots that change owner.
    pub(super) share: f64,
    /// The share that any placement has to move: the replica's share by weight.
    pub(super) ideal_share: f64,
    /// Number of those that are not the replica's own, but move between others.
    pub(super) beyond_own: u32,
}

impl Report {
    /// Computes the report, and looks up `requests`.
    pub(super) fn new(ring: &Ring, requests: &[u64]) -> Self {
        let params = ring.params();
        let nodes = || ring.nodes().iter();
        Self {
            family: params.family().as_str(),
            probing: params.probing().as_str(),
            placement: params.placement().as_str(),
            slots: params.slots(),
            virtual_nodes: params.virtual_nodes(),
            ids: nodes().map(|node| node.number).collect(),
            weights: nodes().map(|node| (node.number, node.weight)).collect(),
            capacity: params.capacity(),
            longest_probe: ring.longest_probe(),
            reachable_slots: ring.reachable_slots(),
            peak_to_average: ring.peak_to_average(),
            slots_owned: nodes().map(|node| node.number).zip(ring.slots_owned().iter().copied()).collect(),
            owners_sha256_u32le: owners_digest(ring),
            virtual_node_slots: virtual_node_slots(ring),
            lookups: requests.iter().map(|&request| lookup(ring, request)).collect(),
            moved: Moved::new(ring),
        }
    }
}

fn lookup(ring: &Ring, request: u64) -> (u64, u32, Option<u32>) {
    let slot = ring.slot_of(request);
    (request, slot, ring.owner_number(slot))
}

fn owners_digest(ring: &Ring) -> String {
    let mut digest = Sha256::new();
    for slot in 0..ring.params().slots() {
        digest.update(ring.owner_number(slot).unwrap_or(0).to_le_bytes());
    }
    let mut hex = String::with_capacity(64);
    for byte in digest.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn virtual_node_slots(ring: &Ring) -> Option<Vec<(u32, u32)>> {
    let number = |(slot, index): (u32, usize)| (slot, ring.nodes()[index].number);
    let listed = ring.params().slots() <= LISTED_SLOTS && ring.virtual_nodes().len() > 0;
    listed.then(|| ring.virtual_nodes().map(number).collect())
}

impl Moved {
    fn new(ring: &Ring) -> Self {
        let removals = if ring.nodes().len() > REMOVALS { 1 } else { REMOVALS };
        Self {
            add: adding(ring),
            remove: ring.nodes().iter().take(removals).filter_map(|&node| removing(ring, node)).collect(),
        }
    }
}

/// Adds a replica with the smallest free number, as the pool does.
fn adding(ring: &Ring) -> Option<Move> {
    let taken: BTreeSet<u32> = ring.nodes().iter().map(|node| node.number).collect();
    let added = Node::new((1..=u32::MAX).find(|number| !taken.contains(number))?);
    let mut nodes = ring.nodes().to_vec();
    nodes.push(added);
    change(ring, &nodes, added, total_weight(&nodes))
}

fn removing(ring: &Ring, removed: Node) -> Option<Move> {
    let nodes: Vec<Node> = ring.nodes().iter().copied().filter(|node| *node != removed).collect();
    change(ring, &nodes, removed, total_weight(ring.nodes()))
}

fn change(ring: &Ring, nodes: &[Node], changed: Node, total_weight: u32) -> Option<Move> {
    let params: &Params = ring.params();
    let after = Ring::build(params, nodes).ok()?;
    let slots = slots_moved(ring, &after)?;
    let own = owned(ring, changed.number).max(owned(&after, changed.number));
    Some(Move {
        number: changed.number,
        slots,
        share: f64::from(slots) / f64::from(params.slots()),
        ideal_share: f64::from(changed.weight) / f64::from(total_weight.max(1)),
        beyond_own: slots - own,
    })
}

/// Slots of the replica with this number, which need not be there.
fn owned(ring: &Ring, number: u32) -> u32 {
    let at = ring.nodes().iter().position(|node| node.number == number);
    at.map_or(0, |at| ring.slots_owned()[at])
}

fn total_weight(nodes: &[Node]) -> u32 {
    nodes.iter().map(|node| u32::from(node.weight)).sum()
}
