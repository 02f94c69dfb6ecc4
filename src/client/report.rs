//! The responses of the admin API.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The response of `GET /ring`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RingReport {
    /// Hash family: `classic` or `modified`.
    pub family: String,
    /// Collision resolution: `quadratic` or `linear`.
    pub probing: String,
    /// Number of slots.
    pub slots: u32,
    /// Virtual nodes per replica.
    pub virtual_nodes: u32,
    /// Placement: `ring`, `rendezvous` or `balanced`.
    pub placement: String,
    /// Version of the published snapshot; grows with each publication.
    pub version: u64,
    /// Largest share of slots divided by the average share; 1 is even.
    pub peak_to_average: f64,
    /// Routing key, such as `request-id` or `header:NAME`.
    pub key: String,
    /// Factor of bounded load; `None` for no bound.
    pub bounded_load: Option<f64>,
    /// Why replicas can neither be added nor removed at the moment; `None` if they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<String>,
    /// The replicas, by number.
    pub replicas: Vec<ReplicaReport>,
}

/// The response of `GET /statistics`: the last two minutes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastReport {
    /// The oldest first.
    pub seconds: Vec<PastSecond>,
}

/// One of its seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastSecond {
    /// Requests per second.
    pub requests_per_second: f64,
}

/// A replica in the response of `GET /ring`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// Number on the ring.
    pub number: u32,
    /// Name as the user gave it.
    pub name: String,
    /// Where it takes requests, once known.
    pub address: Option<SocketAddr>,
    /// `starting`, `ready`, `ejected`, `draining` or `stopped`.
    pub state: String,
    /// Weight, 0 to 100.
    pub weight: u8,
    /// The weight it had when it was drained, to weight 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_from: Option<u8>,
    /// Number of slots it owns.
    pub slots: u32,
    /// Share of all slots that it owns, 0 to 1.
    pub share: f64,
    /// Number of requests in flight to it.
    pub in_flight: u64,
    /// Number of requests ever sent to it.
    pub requests: u64,
    /// Revision that it runs; `base` for what the configuration says without one.
    #[serde(default)]
    pub revision: String,
    /// How an operator finds it, such as `pid 4711`.
    #[serde(default)]
    pub instance: String,
    /// Why it is not ready; empty if it is.
    #[serde(default)]
    pub note: String,
}

/// The response of `GET /deploy`, and of what changes a deploy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeployReport {
    /// Counts the deploys of the pool, from 1.
    pub id: u64,
    /// The revision before.
    pub from: String,
    /// The revision that is deployed.
    pub to: String,
    /// `start-first` or `stop-first`.
    pub order: String,
    /// `preparing`, `starting`, `judging`, `waiting`, `reverting`, `succeeded`, `reverted` or `aborted`.
    pub state: String,
    /// Whether nothing follows any more.
    pub ended: bool,
    /// What was wrong with the new revision; empty while nothing is.
    pub reason: String,
    /// Name of the replica that this was seen at, if at one.
    pub failed: Option<String>,
    /// How many numbers are a canary that waits to be promoted; `None` if it is none.
    pub canary: Option<u32>,
    /// All numbers that it is about, ascending.
    pub numbers: Vec<DeployedNumber>,
    /// What requests met with at the old revision.
    pub old: Experience,
    /// What requests met with at the new revision.
    pub new: Experience,
    /// How long it took, or has taken so far.
    pub took_seconds: f64,
}

/// A number, and where it is in a deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedNumber {
    /// The number.
    pub number: u32,
    /// `pending`, `starting`, `judging`, `passed` or `reverted`.
    pub step: String,
    /// Name of the replica that serves it, or that will.
    pub serving: String,
    /// Name of the one beside it, if there is one.
    pub beside: Option<String>,
}

/// What requests met with at the replicas of one revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Experience {
    /// Requests that ended.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// How long the heads of the fastest 99 % of responses took; `None` with too few of them.
    pub p99_seconds: Option<f64>,
}
