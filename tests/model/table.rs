//! The placements without virtual nodes: all pairs of slot and replica in ascending cost.

use ringherd::ring::{Node, Params, Placement};

use super::fx;

/// Owners by cost, for rendezvous placement without and for balanced placement with a capacity.
#[derive(Debug)]
pub struct NaiveTable {
    owners: Vec<Option<u32>>,
    nodes: Vec<Node>,
}

impl NaiveTable {
    /// Goes through all pairs in ascending cost; a pair whose slot has no owner yet, and whose
    /// replica is not full, makes it the owner.
    pub fn build(params: &Params, nodes: &[Node]) -> Self {
        let slots = params.slots();
        let nodes: Vec<Node> = nodes.iter().copied().filter(|node| node.weight > 0).collect();
        let mut room: Vec<u32> = nodes.iter().map(|node| most(params, *node, &nodes)).collect();
        let mut pairs: Vec<_> = (0..slots)
            .flat_map(|slot| (0..nodes.len()).map(move |at| (slot, at)))
            .map(|(slot, at)| (cost(slot, nodes[at]), slot, at))
            .collect();
        pairs.sort_unstable();
        let mut owners = vec![None; slots as usize];
        for (_, slot, at) in pairs {
            if owners[slot as usize].is_none() && room[at] > 0 {
                room[at] -= 1;
                owners[slot as usize] = Some(nodes[at].number);
            }
        }
        Self { owners, nodes }
    }

    /// Number of the replica that owns `slot`.
    pub fn owner(&self, slot: u32) -> Option<u32> {
        self.owners[slot as usize]
    }

    /// The owner's number, then the others' in ascending cost.
    pub fn preference(&self, slot: u32) -> Vec<u32> {
        let owner = self.owner(slot);
        let mut nodes = self.nodes.clone();
        nodes.sort_by_key(|node| (Some(node.number) != owner, cost(slot, *node)));
        nodes.iter().map(|node| node.number).collect()
    }
}

/// The most slots that a replica holds.
fn most(params: &Params, node: Node, nodes: &[Node]) -> u32 {
    match params.placement() {
        Placement::Balanced => {
            let total: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
            (u64::from(params.slots()) * u64::from(node.weight) * 65).div_ceil(total * 64) as u32
        }
        Placement::Ring | Placement::Rendezvous => params.slots(),
    }
}

/// `−log2(u) / weight` in integers, equal ones by falling hash.
fn cost(slot: u32, node: Node) -> (u64, u64) {
    let mut hash = u64::from(slot) << 32 | u64::from(node.number);
    for _ in 0..3 {
        hash = fx(hash) as u64;
        hash ^= hash >> 32;
    }
    (neg_log2(hash) * ((1 << 24) / u64::from(node.weight)), u64::MAX - hash)
}

/// `−log2(x / 2⁶⁴)` in units of 2⁻³²: exact at 256 points of each octave, rounded down in
/// magnitude there, and linear between them.
fn neg_log2(x: u64) -> u64 {
    let x = x.max(1);
    let mantissa = u128::from(x << x.leading_zeros());
    let (point, within) = (mantissa >> 55, (mantissa >> 23) & 0xffff_ffff);
    let (here, next) = (below_one(point), below_one(point + 1));
    u64::from(x.leading_zeros()) * (1 << 32) + here - ((u128::from(here - next) * within) >> 32) as u64
}

/// `1 − log2(point / 256)` in the same units, for 256 to 512: each squaring gives a bit.
fn below_one(point: u128) -> u64 {
    let (mut value, mut log) = (point << 52, 0_u64);
    for bit in (0..32).rev() {
        value = (value * value) >> 60;
        if value >> 61 > 0 {
            value >>= 1;
            log |= 1 << bit;
        }
    }
    if point == 512 { 0 } else { (1 << 32) - log }
}
