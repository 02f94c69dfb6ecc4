//! The ring as its definition reads, without any of the means that make the real one fast.
//!
//! Shared by the tests and the fuzz targets. Takes nothing from the library but the types that
//! describe a ring.

#![allow(unreachable_pub, reason = "a module of each test, and a public one of the fuzz targets")]

mod table;

use ringherd::ring::{Family, Node, Params, Placement, Probing};

pub use table::NaiveTable;

/// A ring of any placement.
#[derive(Debug)]
pub enum Naive {
    Ring(NaiveRing),
    Table(NaiveTable),
}

impl Naive {
    pub fn build(params: &Params, nodes: &[Node]) -> Self {
        match params.placement() {
            Placement::Ring => Self::Ring(NaiveRing::build(params, nodes)),
            Placement::Rendezvous | Placement::Balanced => Self::Table(NaiveTable::build(params, nodes)),
        }
    }

    /// Number of the replica that owns `slot`.
    pub fn owner(&self, slot: u32) -> Option<u32> {
        match self {
            Self::Ring(ring) => ring.owner(slot),
            Self::Table(table) => table.owner(slot),
        }
    }

    /// Numbers of the replicas with weight, in the order in which a key of `slot` prefers them.
    pub fn preference(&self, slot: u32) -> Vec<u32> {
        match self {
            Self::Ring(ring) => ring.preference(slot),
            Self::Table(table) => table.preference(slot),
        }
    }

    /// The most probing steps that a virtual node took.
    pub fn longest_probe(&self) -> u32 {
        match self {
            Self::Ring(ring) => ring.longest_probe,
            Self::Table(_) => 0,
        }
    }
}

/// A ring by virtual nodes.
#[derive(Debug, PartialEq, Eq)]
pub struct NaiveRing {
    /// For each slot the number of the replica whose virtual node is there.
    pub taken: Vec<Option<u32>>,
    /// The most steps that a virtual node took.
    pub longest_probe: u32,
}

/// The 64-bit `fxhash` of a `u64`.
pub fn fx(x: u64) -> u128 {
    u128::from(x.wrapping_mul(0x517c_c1b7_2722_0a95))
}

/// H, on integers that do not wrap.
pub fn request_slot(family: Family, slots: u32, r: u64) -> u32 {
    let m = u128::from(slots);
    let slot = match family {
        Family::Classic => {
            let r = u128::from(r) % m;
            r * r + 2 * r + 17
        }
        Family::Modified => 3 * fx(r) + 5 * fx(r) + 20,
    };
    (slot % m) as u32
}

/// Φ, on integers that do not wrap.
pub fn first_slot(family: Family, slots: u32, i: u32, j: u32) -> u32 {
    let (i_wide, j_wide) = (u128::from(i), u128::from(j));
    let slot = match family {
        Family::Classic => i_wide * i_wide + j_wide * j_wide + 2 * j_wide + 25,
        Family::Modified => {
            let h = |x: u64| u128::from(request_slot(family, slots, x));
            h(u64::from(i)) + j_wide * h(u64::from(i) + u64::from(j))
        }
    };
    (slot % u128::from(slots)) as u32
}

/// The slot after `n` probing steps.
pub fn probe(probing: Probing, slots: u32, first: u32, n: u32) -> u32 {
    let (m, n) = (i128::from(slots), i128::from(n));
    let distance = match probing {
        Probing::Linear => n,
        Probing::Quadratic if slots.is_power_of_two() => n * (n + 1) / 2,
        Probing::Quadratic if n % 2 == 1 => ((n + 1) / 2) * ((n + 1) / 2),
        Probing::Quadratic => -(n / 2) * (n / 2),
    };
    (i128::from(first) + distance).rem_euclid(m) as u32
}

/// Virtual nodes of a replica.
pub fn virtual_nodes(full: u32, weight: u8) -> u32 {
    if weight == 0 { 0 } else { ((f64::from(full) * f64::from(weight) / 100.0).round() as u32).max(1) }
}

impl NaiveRing {
    /// Places replicas in ascending number, each with its virtual nodes in ascending index.
    pub fn build(params: &Params, nodes: &[Node]) -> Self {
        let slots = params.slots();
        let mut ring = Self { taken: vec![None; slots as usize], longest_probe: 0 };
        let mut nodes = nodes.to_vec();
        nodes.sort_by_key(|node| node.number);
        for node in nodes {
            for j in 0..virtual_nodes(params.virtual_nodes(), node.weight) {
                let first = first_slot(params.family(), slots, node.number, j);
                let at = |n| probe(params.probing(), slots, first, n) as usize;
                let steps = (0..slots).find(|&n| ring.taken[at(n)].is_none()).expect("a free slot");
                ring.taken[at(steps)] = Some(node.number);
                ring.longest_probe = ring.longest_probe.max(steps);
            }
        }
        ring
    }

    /// Numbers of distinct replicas in the order met walking clockwise from `slot`.
    pub fn preference(&self, slot: u32) -> Vec<u32> {
        let mut met = Vec::new();
        for step in 0..self.taken.len() {
            let at = (slot as usize + step) % self.taken.len();
            if let Some(number) = self.taken[at].filter(|number| !met.contains(number)) {
                met.push(number);
            }
        }
        met
    }

    /// Number of the replica that owns `slot`.
    pub fn owner(&self, slot: u32) -> Option<u32> {
        let mut clockwise = (slot as usize..self.taken.len()).chain(0..slot as usize);
        clockwise.find_map(|at| self.taken[at])
    }
}
