//! Routes: which pool a request goes to, by its host and the beginning of its path.
//!
//! [`RouteSpec`]s are made into [`Routes`] once, and each request is looked up in them. Of the routes
//! that match both, the one with the most specific host wins (a name, then the longest wildcard, then
//! any host), then the one with the longest path. So their order does not matter, and two that nothing
//! tells apart are a contradiction. A lookup does not allocate.
//!
//! Paths are compared as they were sent. A path that a replica may read as another one is
//! [ambiguous](Routes::ambiguity), and is to be refused before it is looked up.
//!
//! Pure: knows neither requests nor where pools are, only the place of each in a list.

mod action;
mod build;
mod error;
mod host;
mod index;
mod path;
mod reading;
mod redirect;
mod split;
mod table;
#[cfg(test)]
mod tests;

pub use action::{Action, Forward, Timeouts};
pub use build::{ActionSpec, RouteSpec};
pub use error::RouteError;
pub use host::{HostError, HostPattern};
pub use path::{PathError, PathPrefix};
pub use reading::ambiguity;
pub use redirect::{Redirect, RedirectStatus, RedirectTarget, StatusError, TargetError};
pub use split::{MAX_WEIGHT, Split};
pub use table::{Route, Routes};
