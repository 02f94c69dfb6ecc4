//! Names and addresses as users write them, each with its one parser: the host and port of a
//! server, the name of a replica.
//!
//! A leaf that every module may import. Looks nothing up: whether a name exists is another matter.

mod host_port;
mod replica;

pub use host_port::{HostPort, HostPortError, is_host_name};
pub use replica::{FoldedName, NameError, ReplicaName};
