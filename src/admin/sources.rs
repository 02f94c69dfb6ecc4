//! Where the admin service finds what it tells of besides the cluster itself.

use crate::control::Observer;
use crate::telemetry::Traffic;
use crate::telemetry::access::Losses;

/// The counters and the journal of one balancer. Those of `Default` stay empty.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Of the control plane.
    pub observer: Observer,
    /// Of the data plane.
    pub traffic: Traffic,
    /// Of the access log, where there is one.
    pub losses: Option<Losses>,
}
