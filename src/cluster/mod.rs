//! The seam between data plane and control plane: what a worker needs to route a request.
//!
//! The supervisor publishes, workers read; nothing here decides, spawns or does I/O.

pub mod endpoint;
pub mod key;
mod lanes;
mod latency;
pub mod load;
pub mod outcome;
pub mod pool;
mod slow_start;
pub mod snapshot;

pub use endpoint::{Endpoint, InFlight, Standing};
pub use key::KeySource;
pub use latency::Latencies;
pub use load::Load;
pub use outcome::{FailureKind, Outcome, OutcomeQueue, OutcomeReader, outcomes};
pub use pool::{BoundedEndpoint, Detour, Picked, PoolSnapshot, Routing};
pub use snapshot::{PoolPublisher, Publisher, Reader, Readers, Retired, RoutePublisher, Snapshot, cluster};
