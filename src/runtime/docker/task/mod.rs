//! Tasks: each makes calls of the engine and sends the results to the actor. None has state of its
//! own, and each ends with an error when the engine cannot be reached.
//!
//! `calls` has the calls that several tasks make; `error` is what keeps a replica from being created.

pub(super) mod adopt;
mod calls;
pub(super) mod connection;
pub(super) mod create;
mod error;
mod image;
pub(super) mod inspect;
pub(super) mod leave;
pub(super) mod list;
pub(super) mod network;
pub(super) mod prepare;
pub(super) mod stop;
