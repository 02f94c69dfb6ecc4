//! What takes time: each task makes calls of the engine and reports. None of them holds state of
//! its own, and each ends with an error when the engine is away.

pub(super) mod adopt;
pub(super) mod create;
pub(super) mod examine;
mod image;
pub(super) mod link;
pub(super) mod list;
pub(super) mod network;
pub(super) mod stop;
