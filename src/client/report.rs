//! What the admin API tells.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// `GET /ring`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RingReport {
    /// Hash family.
    pub family: String,
    /// Collision resolution.
    pub probing: String,
    /// Number of slots.
    pub slots: u32,
    /// Virtual nodes per replica.
    pub virtual_nodes: u32,
    /// Placement mode.
    pub placement: String,
    /// Grows with each publication.
    pub version: u64,
    /// Largest share over the average share.
    pub peak_to_average: f64,
    /// What is hashed.
    pub key: String,
    /// Factor of bounded load, if there is a bound.
    pub bounded_load: Option<f64>,
    /// Why replicas can neither be added nor removed, if they cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<String>,
    /// The replicas in ascending number.
    pub replicas: Vec<ReplicaReport>,
}

/// One replica of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// Number on the ring.
    pub number: u32,
    /// Name.
    pub name: String,
    /// Where it takes requests, once known.
    pub address: Option<SocketAddr>,
    /// `starting`, `ready`, `ejected`, `draining` or `stopped`.
    pub state: String,
    /// 0 to 100.
    pub weight: u8,
    /// Slots it owns.
    pub slots: u32,
    /// Share of all slots, 0 to 1.
    pub share: f64,
    /// Requests being forwarded to it.
    pub in_flight: u64,
    /// Requests ever forwarded to it.
    pub requests: u64,
    /// What an operator knows it by, such as `pid 4711`.
    #[serde(default)]
    pub instance: String,
    /// Why it is not ready; empty when it is.
    #[serde(default)]
    pub note: String,
}
