//! What the balancer tells of itself: logs, counters, the journal of what happened. Knows no other
//! module of ours; they say what is to be told.

pub mod access;
pub mod grpc;
pub mod handshake;
pub mod histogram;
pub mod journal;
pub mod logs;
pub mod reason;
pub mod requests;
pub mod tally;
pub mod traffic;
pub mod upkeep;

pub use grpc::GrpcCode;
pub use handshake::{Handshake, HandshakeFailure};
pub use histogram::Durations;
pub use journal::Journal;
pub use reason::Reason;
pub use requests::{RequestCounters, RequestTotals};
pub use tally::Tally;
pub use traffic::{Recorder, RefusedConnection, Totals, Traffic};
pub use upkeep::Upkeep;
