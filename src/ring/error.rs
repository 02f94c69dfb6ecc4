//! What can be wrong with a ring: its parameters, or the replicas asked onto it.
//!
//! Every message names the value, the bound and a value that would do.

use super::{MAX_NODES, MAX_SLOTS, MAX_WEIGHT, Placement};

/// Parameters that make no ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// A word that is none of the choices.
    #[error("'{text}' is not a {what}: use {}", choices.join(" or "))]
    Choice {
        /// What was to be chosen.
        what: &'static str,
        /// What was written.
        text: String,
        /// What can be written.
        choices: &'static [&'static str],
    },
    /// No slots, or more than [`MAX_SLOTS`].
    #[error("a ring of {slots} slots is not possible: use 1 to {MAX_SLOTS}")]
    Slots {
        /// What was asked for.
        slots: u32,
    },
    /// A number of slots that quadratic probing does not visit in full.
    #[error(
        "quadratic probing reaches every slot only if their number is a power of two or a prime of the form \
         4n + 3, which {slots} is not: use {}, or linear probing", nearest(*.below, *.above)
    )]
    Quadratic {
        /// What was asked for.
        slots: u32,
        /// The next valid size below.
        below: Option<u32>,
        /// The next valid size above.
        above: Option<u32>,
    },
    /// No virtual nodes, or more than slots.
    #[error(
        "{virtual_nodes} virtual nodes for each replica are not possible on {slots} slots: use 1 to {slots}"
    )]
    VirtualNodes {
        /// What was asked for.
        virtual_nodes: u32,
        /// The most there can be.
        slots: u32,
    },
}

fn nearest(below: Option<u32>, above: Option<u32>) -> String {
    let sizes: Vec<String> = [below, above].into_iter().flatten().map(|size| size.to_string()).collect();
    sizes.join(" or ")
}

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
        Placement::Rendezvous => format!(
            "{nodes} replicas are too many for rendezvous placement on {slots} slots: {at_most}; \
             use another number of slots"
        ),
    }
}
