//! Metrics of the ring and its replicas.

use std::fmt;
use std::sync::Arc;

use super::page::{Labels, Page};
use crate::cluster::Endpoint;
use crate::control::{ReplicaView, State, View};
use crate::telemetry::traffic::CLASSES;

const STATES: [State; 3] = [State::Starting, State::Ready, State::Ejected];

pub(super) fn write(page: &mut Page<'_>, view: &View) -> fmt::Result {
    let in_state = |state: State| view.replicas.iter().filter(|replica| replica.state == state).count();
    page.gauges(
        "replicas",
        "Replicas, by state",
        STATES.map(|state| (vec![("state", state.as_str())], in_state(state) as f64)),
    )?;
    let params = view.ring.params();
    page.gauge("ring_slots", "Slots of the ring", f64::from(params.slots()))?;
    let virtual_nodes = "Virtual nodes of each replica";
    page.gauge("ring_virtual_nodes", virtual_nodes, f64::from(params.virtual_nodes()))?;
    page.gauge("ring_version", "Version of the published snapshot", view.version as f64)?;
    let peak = "Largest share of slots over the average share; 1 is even";
    page.gauge("ring_peak_to_average", peak, view.ring.peak_to_average())?;
    let outage = "Whether replicas can neither be added nor removed, because what runs them does not answer";
    page.gauge("runtime_outage", outage, f64::from(u8::from(view.outage.is_some())))?;
    write_replicas(page, &view.replicas)
}

fn write_replicas(page: &mut Page<'_>, replicas: &[Arc<ReplicaView>]) -> fmt::Result {
    let numbers: Vec<_> = replicas.iter().map(|replica| replica.number.to_string()).collect();
    let labelled =
        || replicas.iter().zip(&numbers).map(|(replica, number)| (replica, labels(replica, number)));
    let gauges = |page: &mut Page<'_>, name: &str, help: &str, value: fn(&ReplicaView) -> f64| {
        page.gauges(name, help, labelled().map(|(replica, labels)| (labels, value(replica))))
    };
    let up = "Whether the replica is ready: 1, or starts or is ejected: 0";
    gauges(page, "replica_up", up, |replica| f64::from(u8::from(replica.state == State::Ready)))?;
    gauges(page, "replica_slots", "Slots the replica owns", |replica| f64::from(replica.slots))?;
    gauges(page, "replica_share", "Share of all slots that the replica owns, 0 to 1", |replica| {
        replica.share
    })?;
    gauges(page, "replica_weight", "Weight of the replica, 0 to 100", |replica| f64::from(replica.weight))?;
    let in_flight = "Requests that are being forwarded to the replica";
    gauges(page, "replica_requests_in_flight", in_flight, |replica| {
        count(replica, Endpoint::in_flight) as f64
    })?;

    let counters = |page: &mut Page<'_>, name: &str, help: &str, value: fn(&Endpoint) -> u64| {
        page.counters(name, help, labelled().map(|(replica, labels)| (labels, count(replica, value))))
    };
    let requests = "Requests ever sent to the replica; each attempt is one";
    counters(page, "replica_requests", requests, Endpoint::requests)?;
    let failures = "Requests, and responses under way, that failed at the replica";
    counters(page, "replica_failures", failures, Endpoint::failures)?;
    let responses = labelled().flat_map(|(replica, labels)| {
        let counts = replica.endpoint.as_ref().map_or([0; CLASSES.len()], |endpoint| endpoint.responses());
        CLASSES.iter().zip(counts).map(move |(class, count)| {
            let mut labels = labels.clone();
            labels.push(("class", class));
            (labels, count)
        })
    });
    page.counters("replica_responses", "Responses of the replica, by class of status", responses)
}

fn labels<'a>(replica: &'a ReplicaView, number: &'a str) -> Labels<'a> {
    vec![("replica", replica.name.as_str()), ("number", number)]
}

fn count(replica: &ReplicaView, value: fn(&Endpoint) -> u64) -> u64 {
    replica.endpoint.as_ref().map_or(0, |endpoint| value(endpoint))
}
