//! What can be wrong with the parameters of a ring.
//!
//! Every message names the value, the bound and a value that would do.

use super::MAX_SLOTS;

/// Parameters that make no ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// A word that is none of the choices.
    #[error("'{text}' is not a {what}: use {}", any_of(choices))]
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

fn any_of(choices: &[&str]) -> String {
    match choices {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => choices.concat(),
    }
}

fn nearest(below: Option<u32>, above: Option<u32>) -> String {
    let sizes: Vec<String> = [below, above].into_iter().flatten().map(|size| size.to_string()).collect();
    sizes.join(" or ")
}
