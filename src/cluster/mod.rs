//! The seam between data plane and control plane: what a worker needs to route a request.
//!
//! The supervisor publishes, workers read; nothing here decides, spawns or does I/O.

pub mod endpoint;
pub mod key;
pub mod load;
pub mod outcome;
mod slow_start;
pub mod snapshot;

pub use endpoint::{Endpoint, InFlight, Standing};
pub use key::KeySource;
pub use load::Load;
pub use outcome::{FailureKind, Outcome, OutcomeQueue, OutcomeReader, outcomes};
pub use snapshot::{
    BoundedEndpoint, Detour, Picked, Publisher, Reader, Readers, Retired, Routing, Snapshot, cluster,
};
