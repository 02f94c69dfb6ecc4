//! A container engine (Docker) as its API shows it: where it is, and calls that end in time.
//! Shared by the runtimes that need one. Knows nothing of replicas' lives.

mod calls;
mod client;
mod host;
pub mod labels;
pub mod naming;
pub mod own;
pub mod program;
pub mod raw;
mod spec;

pub use calls::calls;
pub use client::Engine;
pub use host::{Host, HostError};
pub use own::Own;
pub use spec::{Spec, nano_cpus};

use std::time::Duration;

/// Time a call may take that costs the engine little: one that takes longer hangs. That must be
/// known before `/add` has to be answered, which is within 5 s.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Time a call may take that makes, starts or removes something. A busy engine is slow with
/// these, and answers all else.
pub const HEAVY_TIMEOUT: Duration = Duration::from_secs(30);
