//! The ring: which replica serves which request id. Pure mathematics.
//!
//! # The tour
//! [`Params`] says what kind of ring: a hash [`Family`], a [`Probing`] rule, a [`Placement`], the
//! number of slots `M` and of virtual nodes per replica `K`. [`Ring::build`] puts the virtual
//! nodes of each [`Node`] onto the circle, replicas in ascending number, and notes the owner of
//! every slot. From then on a lookup is one hash ([`Ring::slot_of`]) and one array read
//! ([`Ring::owner_at`]); where the owner cannot serve, [`Ring::preference`] gives who comes next.
//! [`slots_moved`] counts what a change of membership costs.
//!
//! A ring is a function of its parameters, its numbers and their weights alone: all balancers
//! with the same members have the same ring, and a replacement that takes over the number of a
//! dead replica leaves the ring as it was.
//!
//! This module must know no clock, no randomness, no log, no runtime and no replica: `std` and
//! `fxhash` are all it needs, and the same input gives the same ring on every machine.

mod balanced;
mod build;
mod choice;
mod cost;
mod diff;
mod error;
mod hash;
mod log2;
mod lookup;
mod node;
mod params;
mod placer;
mod probing;
mod reduce;
mod rendezvous;
mod sizes;

pub use build::BuildError;
pub use choice::{Family, Placement, Probing};
pub use diff::slots_moved;
pub use error::ParamsError;
pub use hash::{Hash, hash_key, request_id};
pub use lookup::Ring;
pub use node::Node;
pub use params::Params;
pub use placer::{Placed, Placer};
pub use probing::Sequence;
pub use sizes::MAX_SLOTS;

/// The most replicas on a ring: an owner is a 16-bit index, and one index means "none".
pub const MAX_NODES: u32 = u16::MAX as u32;

/// The weight of a replica that takes its full share.
pub const MAX_WEIGHT: u8 = 100;
