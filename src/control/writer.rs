//! The hand that writes the cluster: turns publications into snapshots, and shows what it wrote.
//! Decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::drain::Drains;
use super::observer::Published;
use super::pool::{MemberReport, MemberSpec, Pool, Publication};
use super::{ControlError, ReplicaView, View};
use crate::cluster::{Endpoint, Load, Publisher, Readers, Routing, Snapshot, cluster};
use crate::ring::{BuildError, Ring, slots_moved};
use crate::runtime::ReplicaId;

/// Owns the publishing end of the cluster.
#[derive(Debug)]
pub(super) struct Writer {
    publisher: Publisher,
    version: u64,
    ring: Arc<Ring>,
    routing: Routing,
    load: Arc<Load>,
    /// Those of the snapshot in force.
    endpoints: HashMap<ReplicaId, Arc<Endpoint>>,
    /// Those of the snapshot before that are not in this one.
    left: HashMap<ReplicaId, Arc<Endpoint>>,
    pub(super) drains: Drains,
}

impl Writer {
    /// Begins a cluster with a publication that has no members yet.
    pub(super) fn new(first: Publication) -> Result<(Self, Readers), ControlError> {
        let ring = Ring::build(&first.params, &first.nodes())
            .map(Arc::new)
            .map_err(|error| ControlError::Ring(error.to_string()))?;
        let snapshot = Snapshot::new(0, Arc::clone(&ring), Vec::new(), first.routing.clone());
        let (publisher, readers) = cluster(snapshot);
        let writer = Self {
            publisher,
            version: 0,
            ring,
            routing: first.routing,
            load: Arc::default(),
            endpoints: HashMap::new(),
            left: HashMap::new(),
            drains: Drains::default(),
        };
        Ok((writer, readers))
    }

    /// Publishes. The ring is built anew only if numbers, weights or parameters changed; a
    /// replica that was listed before keeps its endpoint and with it its counters. `None` if the
    /// ring cannot be built.
    pub(super) fn publish(&mut self, publication: Publication) -> Option<Published> {
        let began = Instant::now();
        let ring = match self.ring_for(&publication) {
            Ok(ring) => ring,
            // The pool checks the capacity before anything changes, so this is a defect; the
            // ring in force keeps working meanwhile.
            Err(error) => {
                tracing::error!(%error, "the ring could not be built; nothing is published");
                return None;
            }
        };
        let build_seconds = began.elapsed().as_secs_f64();
        // The same ring moves nothing, and need not be compared to tell.
        let same = Arc::ptr_eq(&self.ring, &ring);
        let slots_moved = if same { Some(0) } else { slots_moved(&self.ring, &ring) };
        let endpoints: Vec<_> = publication.members.iter().map(|member| self.endpoint(member)).collect();
        self.version += 1;
        let snapshot =
            Snapshot::new(self.version, Arc::clone(&ring), endpoints.clone(), publication.routing.clone());
        self.drains.retire(self.publisher.publish(snapshot));
        let same_keys = self.routing.key == publication.routing.key;
        let keys_moved = slots_moved.filter(|_| same_keys);
        self.ring = ring;
        self.routing = publication.routing;
        let ids = publication.members.iter().map(|member| member.id);
        let listed = ids.zip(endpoints).collect();
        self.left = std::mem::replace(&mut self.endpoints, listed);
        self.left.retain(|id, _| !self.endpoints.contains_key(id));
        Some(Published {
            version: self.version,
            replicas: self.endpoints.len(),
            slots_moved,
            keys_moved: keys_moved.map(|moved| f64::from(moved) / f64::from(self.ring.params().slots())),
            peak_to_average: self.ring.peak_to_average(),
            build_seconds: (!same).then_some(build_seconds),
        })
    }

    fn ring_for(&self, publication: &Publication) -> Result<Arc<Ring>, BuildError> {
        let nodes = publication.nodes();
        if *self.ring.params() == publication.params && self.ring.nodes() == nodes {
            return Ok(Arc::clone(&self.ring));
        }
        Ring::build(&publication.params, &nodes).map(Arc::new)
    }

    fn endpoint(&self, member: &MemberSpec) -> Arc<Endpoint> {
        self.endpoints.get(&member.id).cloned().unwrap_or_else(|| {
            let load = Arc::clone(&self.load);
            Arc::new(Endpoint::new(member.id.0, member.name.clone(), member.number, member.address, load))
        })
    }

    /// Lets requests go to a replica on the ring, or not.
    pub(super) fn set_up(&self, id: ReplicaId, up: bool) {
        if let Some(endpoint) = self.endpoints.get(&id) {
            endpoint.set_up(up);
        }
    }

    /// Watches a replica that left with the last publication.
    pub(super) fn drain(&mut self, id: ReplicaId) {
        if let Some(endpoint) = self.left.remove(&id) {
            self.drains.watch(id, endpoint);
        }
    }

    /// The cluster as it is, with what the pool tells about its members.
    pub(super) fn view(&self, pool: &Pool) -> View {
        View {
            version: self.version,
            ring: Arc::clone(&self.ring),
            routing: self.routing.clone(),
            replicas: pool.members().map(|member| self.show(member)).collect(),
            stopping: pool.is_stopping(),
            outage: pool.blindness(),
            load: Arc::clone(&self.load),
        }
    }

    fn show(&self, member: MemberReport) -> ReplicaView {
        // A seat that waits for its replica has its slots all the same.
        let index = self.ring.nodes().binary_search_by_key(&member.number, |node| node.number).ok();
        ReplicaView {
            number: member.number,
            name: member.name,
            address: member.address,
            instance: member.instance,
            state: member.state,
            note: member.note,
            failures: member.failures,
            weight: member.weight,
            slots: index.map_or(0, |index| self.ring.slots_owned()[index]),
            share: index.map_or(0.0, |index| self.ring.share(index)),
            endpoint: member.id.and_then(|id| self.endpoints.get(&id)).cloned(),
        }
    }
}
