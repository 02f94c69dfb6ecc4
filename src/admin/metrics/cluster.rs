//! Metrics of the ring and its replicas.

use std::fmt;

use super::page::{Labels, Page};
use crate::admin::pools::PoolView;
use crate::cluster::Endpoint;
use crate::control::{ReplicaView, State, View};
use crate::telemetry::requests::CLASSES;

const STATES: [State; 3] = [State::Starting, State::Ready, State::Ejected];

pub(super) fn write(page: &mut Page<'_>, pools: &[PoolView]) -> fmt::Result {
    let in_state = |pool: &PoolView, state: State| {
        pool.view.replicas.iter().filter(|replica| replica.state == state).count() as f64
    };
    let states = pools.iter().flat_map(|pool| {
        STATES.map(|state| {
            (vec![("state", state.as_str()), ("pool", pool.name.as_str())], in_state(pool, state))
        })
    });
    page.gauges("replicas", "Replicas, by state", states)?;
    let gauges = |page: &mut Page<'_>, name: &str, help: &str, value: fn(&View) -> f64| {
        page.gauges(name, help, pools.iter().map(|pool| (pool.label(), value(&pool.view))))
    };
    gauges(page, "ring_slots", "Slots of the ring", |view| f64::from(view.ring.params().slots()))?;
    let virtual_nodes = "Virtual nodes of each replica";
    gauges(page, "ring_virtual_nodes", virtual_nodes, |view| f64::from(view.ring.params().virtual_nodes()))?;
    gauges(page, "ring_version", "Version of the published snapshot", |view| view.version as f64)?;
    let peak = "Largest share of slots over the average share; 1 is even";
    gauges(page, "ring_peak_to_average", peak, |view| view.ring.peak_to_average())?;
    let outage = "Whether replicas can neither be added nor removed, because what runs them does not answer";
    gauges(page, "runtime_outage", outage, |view| f64::from(u8::from(view.outage.is_some())))?;
    write_replicas(page, pools)
}

fn write_replicas(page: &mut Page<'_>, pools: &[PoolView]) -> fmt::Result {
    let replicas: Vec<_> = pools
        .iter()
        .flat_map(|pool| pool.view.replicas.iter().map(|replica| (pool.name.as_str(), replica)))
        .map(|(pool, replica)| (pool, &**replica, replica.number.to_string()))
        .collect();
    let labelled = || {
        replicas.iter().map(|(pool, replica, number)| {
            let labels: Labels<'_> =
                vec![("replica", replica.name.as_str()), ("number", number.as_str()), ("pool", *pool)];
            (*replica, labels)
        })
    };
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

fn count(replica: &ReplicaView, value: fn(&Endpoint) -> u64) -> u64 {
    replica.endpoint.as_ref().map_or(0, |endpoint| value(endpoint))
}
