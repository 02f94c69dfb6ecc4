//! Builds a ring: checks the replicas, places their virtual nodes, fills the owner table.

use super::lookup::{Table, VirtualNode};
use super::placer::Placer;
use super::{Hash, MAX_NODES, MAX_WEIGHT, Node, Params, Placement, Ring, Sequence, balanced, rendezvous};

/// Marks a slot without a virtual node while the table is filled; no node has this index.
const NONE: u16 = u16::MAX;

/// Replicas that cannot be put onto a ring of these parameters. Nothing was built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// More replicas than fit.
    #[error("{}", full(*.nodes, *.capacity, *.placement, *.slots, *.virtual_nodes))]
    Full {
        /// How many were asked for.
        nodes: usize,
        /// The largest number that fits.
        capacity: u32,
        /// How slots get their owners.
        placement: Placement,
        /// `M`.
        slots: u32,
        /// `K`.
        virtual_nodes: u32,
    },
    /// Number 0, which no replica has.
    #[error("0 is not a replica number: they begin at 1")]
    Zero,
    /// A number that two replicas claim.
    #[error("replica number {number} is given twice: each replica has its own")]
    Duplicate {
        /// Which.
        number: u32,
    },
    /// A weight above [`MAX_WEIGHT`].
    #[error("weight {weight} of replica {number} is not possible: use 0 to {MAX_WEIGHT}")]
    Weight {
        /// Whose.
        number: u32,
        /// What was asked for.
        weight: u8,
    },
}

fn full(nodes: usize, capacity: u32, placement: Placement, slots: u32, virtual_nodes: u32) -> String {
    let at_most = format!("at most {capacity} fit (and never more than {MAX_NODES})");
    match placement {
        Placement::Ring => format!(
            "{nodes} replicas of {virtual_nodes} virtual nodes do not fit on {slots} slots: {at_most}; \
             use more slots or fewer virtual nodes"
        ),
        Placement::Rendezvous | Placement::Balanced => format!(
            "{nodes} replicas are too many for {placement} placement on {slots} slots: {at_most}; \
             use another number of slots"
        ),
    }
}

impl Ring {
    /// Builds the ring of `nodes`, which may come in any order. Numbers are unique and not 0,
    /// weights are at most [`MAX_WEIGHT`], and `K · N` is at most `M`, weights notwithstanding.
    ///
    /// Placement is canonical: replicas in ascending number, their virtual nodes in ascending
    /// index. So a new highest number displaces nobody. Below the highest, adding, removing or
    /// weighing a replica may also shift virtual nodes of *higher* numbers that collide with the
    /// slots it takes or frees, never those of lower ones.
    pub fn build(params: &Params, nodes: &[Node]) -> Result<Self, BuildError> {
        let nodes = checked(params, nodes)?;
        let hash = Hash::new(params.family(), params.slots());
        let table = match params.placement() {
            _ if nodes.iter().all(|node| node.weight == 0) => Table::default(),
            Placement::Ring => place(params, &hash, &nodes),
            Placement::Rendezvous => Table::of(rendezvous::owners(params.slots(), &nodes)),
            Placement::Balanced => Table::of(balanced::owners(params.slots(), &nodes)),
        };
        Ok(Self::assemble(params.clone(), hash, nodes, table))
    }

    /// Builds the ring of `nodes` that [`Ring::build`] would build. With rendezvous placement and
    /// few changes against this ring, it is built from that, at a fraction of the cost.
    pub fn rebuild(&self, params: &Params, nodes: &[Node]) -> Result<Self, BuildError> {
        if self.params() != params || params.placement() != Placement::Rendezvous {
            return Self::build(params, nodes);
        }
        let nodes = checked(params, nodes)?;
        match rendezvous::owners_after(self.owners(), self.nodes(), &nodes) {
            Some(owners) => {
                let hash = Hash::new(params.family(), params.slots());
                Ok(Self::assemble(params.clone(), hash, nodes, Table::of(owners)))
            }
            None => Self::build(params, &nodes),
        }
    }
}

/// The nodes in ascending number, or why they cannot be built.
fn checked(params: &Params, nodes: &[Node]) -> Result<Vec<Node>, BuildError> {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable_by_key(|node| node.number);
    if nodes.first().is_some_and(|node| node.number == 0) {
        return Err(BuildError::Zero);
    }
    if let Some(pair) = nodes.windows(2).find(|pair| pair[0].number == pair[1].number) {
        return Err(BuildError::Duplicate { number: pair[0].number });
    }
    if let Some(&Node { number, weight }) = nodes.iter().find(|node| node.weight > MAX_WEIGHT) {
        return Err(BuildError::Weight { number, weight });
    }
    let capacity = params.capacity();
    if nodes.len() > capacity as usize {
        return Err(BuildError::Full {
            nodes: nodes.len(),
            capacity,
            placement: params.placement(),
            slots: params.slots(),
            virtual_nodes: params.virtual_nodes(),
        });
    }
    Ok(nodes)
}

/// Places all virtual nodes in canonical order. At least one node has weight.
fn place(params: &Params, hash: &Hash, nodes: &[Node]) -> Table {
    let sequence =
        Sequence::new(params.probing(), params.slots()).expect("checked when the parameters were made");
    let mut placer = Placer::new(sequence);
    let mut owners = vec![NONE; params.slots() as usize].into_boxed_slice();
    let (mut longest_probe, mut count) = (0, 0);
    for (index, node) in nodes.iter().enumerate() {
        for j in 0..node.virtual_nodes(params.virtual_nodes()) {
            let first = hash.virtual_node(node.number, j);
            let at = placer.place(first).expect("the capacity was checked");
            owners[at.slot as usize] = index as u16;
            longest_probe = longest_probe.max(at.steps);
            count += 1;
        }
    }
    let virtual_nodes = collect(&owners, count);
    fill(&mut owners, virtual_nodes[0].node);
    Table { owners, virtual_nodes, longest_probe }
}

/// The virtual nodes in ascending slot, of which there are so many. Without a branch on what a slot has,
/// which no processor can predict: each is written, and the next one takes its place if it is none.
fn collect(owners: &[u16], count: usize) -> Box<[VirtualNode]> {
    let mut all = vec![VirtualNode { slot: 0, node: NONE }; count + 1];
    let mut next = 0;
    for (slot, &node) in (0..).zip(owners) {
        all[next] = VirtualNode { slot, node };
        next += usize::from(node != NONE);
    }
    all.truncate(count);
    all.into_boxed_slice()
}

/// Gives each slot without a virtual node to the owner of the next slot clockwise. `first` is
/// the owner of the lowest virtual node, which also owns what lies beyond the highest.
fn fill(owners: &mut [u16], first: u16) {
    let mut next = first;
    for owner in owners.iter_mut().rev() {
        // Always written, so that it is no branch either.
        next = if *owner == NONE { next } else { *owner };
        *owner = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Family, Probing};

    fn params(slots: u32, virtual_nodes: u32) -> Params {
        Params::new(Family::Modified, Probing::Quadratic, Placement::Ring, slots, virtual_nodes).unwrap()
    }

    #[test]
    fn weights_round_to_virtual_nodes() {
        let count = |weight, full| Node { number: 1, weight }.virtual_nodes(full);
        assert_eq!((count(0, 256), count(1, 256), count(50, 256), count(100, 256)), (0, 3, 128, 256));
        assert_eq!((count(1, 9), count(50, 9), count(1, 1)), (1, 5, 1));
        assert_eq!(count(100, 1 << 24), 1 << 24);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let nodes: Vec<Node> = (1..=57).map(Node::new).collect();
        assert!(Ring::build(&params(512, 9), &nodes[..56]).is_ok());
        let error = Ring::build(&params(512, 9), &nodes).unwrap_err();
        assert!(matches!(error, BuildError::Full { nodes: 57, capacity: 56, .. }), "{error:?}");
        assert!(error.to_string().contains("at most 56 fit"), "{error}");
    }

    #[test]
    fn a_light_replica_needs_the_room_of_a_full_one() {
        let nodes = [1, 2, 3].map(|number| Node { number, weight: 0 });
        assert!(matches!(Ring::build(&params(512, 256), &nodes), Err(BuildError::Full { capacity: 2, .. })));
    }

    #[test]
    fn bad_numbers_and_weights_are_refused() {
        let build = |nodes: &[Node]| Ring::build(&params(512, 9), nodes).map(|_| ());
        assert_eq!(build(&[Node::new(0)]), Err(BuildError::Zero));
        assert_eq!(
            build(&[Node::new(2), Node::new(1), Node::new(2)]),
            Err(BuildError::Duplicate { number: 2 })
        );
        let heavy = Node { number: 3, weight: 101 };
        assert_eq!(build(&[Node::new(1), heavy]), Err(BuildError::Weight { number: 3, weight: 101 }));
    }

    #[test]
    fn a_full_circle_is_built() {
        for &probing in Probing::ALL {
            let params = Params::new(Family::Classic, probing, Placement::Ring, 1_024, 16).unwrap();
            let ring = Ring::build(&params, &(1..=64).map(Node::new).collect::<Vec<_>>()).unwrap();
            assert!(ring.slots_owned().iter().all(|&owned| owned == 16), "{probing}");
        }
    }
}
