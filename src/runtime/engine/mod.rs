//! The API of a container engine (Docker): its address, calls with time limits, and the names and
//! labels of the objects made there. Shared by the runtimes that need one. Knows nothing of replicas'
//! lives.

mod call_stats;
mod client;
mod error;
mod host;
pub mod labels;
mod log_lines;
pub mod logs;
pub mod naming;
pub mod own_container;
pub mod program;
mod raw;
mod spec;

pub use call_stats::call_stats;
pub use client::Engine;
pub use error::CallError;
pub use host::{Host, HostError};
pub use logs::EngineLogs;
pub use own_container::OwnContainer;
pub use spec::{ReadOnly, Spec, nano_cpus};

use std::time::Duration;

/// Time limit of a call that is cheap for the engine: one that takes longer hangs. Shorter than the
/// 5 s within which `/add` has to respond.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Time limit of a call that creates, starts or removes something, or that waits for one of these. A busy engine is slow
/// with these and still responds to others.
pub const HEAVY_TIMEOUT: Duration = Duration::from_secs(30);
