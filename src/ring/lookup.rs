//! The built ring: who owns a slot, who comes next, how evenly the slots are spread.
//!
//! Immutable; everything a lookup needs was worked out when it was built.

use super::{Hash, Node, Params, Placement, cost};

/// A ring of replicas. Made by [`Ring::build`].
#[derive(Debug)]
pub struct Ring {
    hash: Hash,
    owners: Box<[u16]>,
    virtual_nodes: Box<[VirtualNode]>,
    params: Params,
    nodes: Vec<Node>,
    slots_owned: Box<[u32]>,
    longest_probe: u32,
}

/// What a placement works out.
#[derive(Default)]
pub(super) struct Table {
    /// For each slot the index of the node that owns it; empty when nobody owns anything.
    pub(super) owners: Box<[u16]>,
    /// In ascending slot; only a ring has them.
    pub(super) virtual_nodes: Box<[VirtualNode]>,
    /// The most probing steps that a virtual node took.
    pub(super) longest_probe: u32,
}

impl Table {
    /// Of a placement without virtual nodes.
    pub(super) fn of(owners: Box<[u16]>) -> Self {
        Self { owners, ..Self::default() }
    }
}

/// A taken slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VirtualNode {
    pub(super) slot: u32,
    /// Index into the nodes.
    pub(super) node: u16,
}

impl Ring {
    pub(super) fn assemble(params: Params, hash: Hash, nodes: Vec<Node>, table: Table) -> Self {
        let mut slots_owned = vec![0; nodes.len()].into_boxed_slice();
        for &owner in &table.owners {
            slots_owned[usize::from(owner)] += 1;
        }
        let Table { owners, virtual_nodes, longest_probe } = table;
        Self { hash, owners, virtual_nodes, params, nodes, slots_owned, longest_probe }
    }

    /// What it was built with.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The owner of each slot; none if no node has weight.
    pub(super) fn owners(&self) -> &[u16] {
        &self.owners
    }

    /// The replicas in ascending number. An index in what follows points into this.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// H: the slot of a request id, below `M`.
    #[inline]
    pub fn slot_of(&self, request: u64) -> u32 {
        self.hash.request(request)
    }

    /// Index of the node that owns `slot`; `None` when no node has weight (or there is no such
    /// slot).
    #[inline]
    pub fn owner_at(&self, slot: u32) -> Option<usize> {
        self.owners.get(slot as usize).map(|&owner| usize::from(owner))
    }

    /// Number of the replica that owns `slot`, as [`Ring::owner_at`].
    pub fn owner_number(&self, slot: u32) -> Option<u32> {
        self.owner_at(slot).map(|index| self.nodes[index].number)
    }

    /// Indexes of all nodes with weight, each once, in the order in which a key of `slot`
    /// prefers them, its owner first: clockwise, or in ascending cost.
    pub fn preference(&self, slot: u32) -> impl Iterator<Item = usize> + '_ {
        match self.params.placement() {
            Placement::Ring => Preference::Clockwise(Clockwise::new(self, slot)),
            Placement::Rendezvous | Placement::Balanced => {
                let mut order = cost::order(slot, &self.nodes);
                // With a capacity the owner need not be the cheapest.
                let owner = self.owner_at(slot);
                if let Some(at) = order.iter().position(|&index| owner == Some(index)) {
                    order[..=at].rotate_right(1);
                }
                Preference::ByCost(order.into_iter())
            }
        }
    }

    /// Slots and indexes of the nodes of the virtual nodes, in ascending slot. Only a
    /// ring has them.
    pub fn virtual_nodes(&self) -> impl ExactSizeIterator<Item = (u32, usize)> + '_ {
        self.virtual_nodes.iter().map(|v| (v.slot, usize::from(v.node)))
    }

    /// Slots owned, for each node.
    pub fn slots_owned(&self) -> &[u32] {
        &self.slots_owned
    }

    /// Part of all slots that a node owns, 0 to 1; 0 for an index that no node has.
    pub fn share(&self, index: usize) -> f64 {
        let owned = self.slots_owned.get(index).copied().unwrap_or(0);
        f64::from(owned) / f64::from(self.params.slots())
    }

    /// The largest share relative to what the node's weight entitles it to: 1 is perfectly even.
    /// With equal weights this is the busiest replica's slots relative to the average. 0 when no
    /// node has weight.
    pub fn peak_to_average(&self) -> f64 {
        let total: f64 = self.nodes.iter().map(|node| f64::from(node.weight)).sum();
        let relative = |(index, node): (usize, &Node)| match node.weight {
            0 => 0.0,
            weight => self.share(index) * total / f64::from(weight),
        };
        self.nodes.iter().enumerate().map(relative).fold(0.0, f64::max)
    }

    /// The most steps of the probing sequence that a virtual node took; 0 without collisions.
    pub fn longest_probe(&self) -> u32 {
        self.longest_probe
    }

    /// How many slots request ids can reach at all; see [`Hash::reachable_slots`].
    pub fn reachable_slots(&self) -> u32 {
        self.hash.reachable_slots()
    }
}

/// The two ways to an order of preference.
enum Preference<'a> {
    Clockwise(Clockwise<'a>),
    ByCost(std::vec::IntoIter<usize>),
}

impl Iterator for Preference<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Self::Clockwise(walk) => walk.next(),
            Self::ByCost(order) => order.next(),
        }
    }
}

/// A walk over the virtual nodes that stops at each node it has not met before.
struct Clockwise<'a> {
    /// From the slot to the end of the circle, then from its beginning.
    walk: std::iter::Chain<std::slice::Iter<'a, VirtualNode>, std::slice::Iter<'a, VirtualNode>>,
    /// One bit for each node.
    met: Vec<u64>,
    /// Nodes with weight not met yet: the walk ends as soon as there are none.
    left: usize,
}

impl<'a> Clockwise<'a> {
    fn new(ring: &'a Ring, slot: u32) -> Self {
        let start = ring.virtual_nodes.partition_point(|v| v.slot < slot);
        let (before, after) = ring.virtual_nodes.split_at(start);
        Self {
            walk: after.iter().chain(before),
            met: vec![0; ring.nodes.len().div_ceil(64)],
            left: ring.nodes.iter().filter(|node| node.weight > 0).count(),
        }
    }

    /// Whether this is the first meeting.
    fn meet(&mut self, node: u16) -> bool {
        let (word, bit) = (usize::from(node / 64), 1 << (node % 64));
        let new = self.met[word] & bit == 0;
        self.met[word] |= bit;
        new
    }
}

impl Iterator for Clockwise<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        loop {
            let node = self.walk.next()?.node;
            if self.meet(node) {
                return Some(usize::from(node));
            }
        }
    }
}
