//! Decides when no request can reach a removed replica any more.
//!
//! A request may hold an old snapshot and not be counted yet, so zero in flight right after a
//! publication proves nothing. Requests are counted inside the closure that reads a snapshot:
//! once every snapshot that listed the replica is released, its count can only fall.

use std::sync::Arc;

use crate::cluster::{Endpoint, Retired};
use crate::runtime::ReplicaId;

/// The retired snapshots that somebody may still hold, and the replicas being drained.
#[derive(Debug, Default)]
pub(super) struct Drains {
    /// With a running number. At most one for each reader, besides those retired since the last
    /// look: a reader holds one snapshot.
    retired: Vec<(u64, Retired)>,
    retirements: u64,
    watched: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    id: ReplicaId,
    endpoints: Vec<Arc<Endpoint>>,
    /// Snapshots retired before this number may list it.
    listed_before: u64,
}

impl Drains {
    /// Remembers a snapshot. Also while nothing drains: what leaves later may be listed in it.
    pub(super) fn retire(&mut self, retired: Retired) {
        self.forget_released();
        self.retired.push((self.retirements, retired));
        self.retirements += 1;
    }

    /// Watches a replica that the snapshots from now on do not list: all endpoints that it has had.
    pub(super) fn watch(&mut self, id: ReplicaId, endpoints: Vec<Arc<Endpoint>>) {
        self.watched.push(Watched { id, endpoints, listed_before: self.retirements });
    }

    /// Stops watching it.
    pub(super) fn forget(&mut self, id: ReplicaId) {
        self.watched.retain(|watched| watched.id != id);
    }

    /// Whether there is nothing to poll for.
    pub(super) fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// A replica that is drained, and watched no more.
    pub(super) fn poll(&mut self) -> Option<ReplicaId> {
        if self.watched.is_empty() {
            return None;
        }
        self.forget_released();
        let oldest = self.retired.first().map_or(u64::MAX, |&(number, _)| number);
        // The snapshots first, the count after: see the fence in `Retired::is_released`.
        let drained = |watched: &Watched| {
            watched.listed_before <= oldest
                && watched.endpoints.iter().all(|endpoint| endpoint.in_flight() == 0)
        };
        let index = self.watched.iter().position(drained)?;
        Some(self.watched.swap_remove(index).id)
    }

    fn forget_released(&mut self) {
        self.retired.retain(|(_, retired)| !retired.is_released());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Load, PoolSnapshot, Routing, cluster};
    use crate::ring::{Node, Params, Ring};

    fn endpoint(number: u32) -> Arc<Endpoint> {
        let address = ([127, 0, 0, 1], 1).into();
        Arc::new(Endpoint::new(format!("S{number}"), number, address, Arc::new(Load::default())))
    }

    fn snapshot(version: u64, endpoints: &[&Arc<Endpoint>]) -> PoolSnapshot {
        let nodes: Vec<_> = endpoints.iter().map(|e| Node { number: e.number, weight: 100 }).collect();
        let ring = Ring::build(&Params::default(), &nodes).expect("fits");
        let endpoints = endpoints.iter().map(|&e| Arc::clone(e)).collect();
        PoolSnapshot::new(version, Arc::new(ring), endpoints, Routing::default())
    }

    #[test]
    fn a_replica_is_drained_when_its_snapshots_are_released_and_its_requests_done() {
        let (one, two) = (endpoint(1), endpoint(2));
        let (publisher, readers) = cluster(vec![snapshot(0, &[&one, &two])]);
        let mut publisher = publisher.split().1.remove(0);
        let reader = readers.reader();
        let mut drains = Drains::default();
        drains.retire(publisher.publish(snapshot(1, &[&one])));
        drains.watch(ReplicaId(2), vec![Arc::clone(&two)]);
        assert_eq!(drains.poll(), None, "the reader may still route by the old snapshot");
        let request = two.begin();
        reader.refresh();
        assert_eq!(drains.poll(), None, "a request is in flight");
        drop(request);
        assert_eq!(drains.poll(), Some(ReplicaId(2)));
        assert!(drains.is_empty());
    }

    #[test]
    fn a_snapshot_retired_before_the_replica_left_counts_too() {
        let (one, two) = (endpoint(1), endpoint(2));
        let (publisher, readers) = cluster(vec![snapshot(0, &[&one, &two])]);
        let mut publisher = publisher.split().1.remove(0);
        let slow = readers.reader();
        let mut drains = Drains::default();
        drains.retire(publisher.publish(snapshot(1, &[&one, &two])));
        drains.retire(publisher.publish(snapshot(2, &[&one])));
        drains.watch(ReplicaId(2), vec![two]);
        assert_eq!(drains.poll(), None, "the reader holds version 0");
        slow.refresh();
        assert_eq!(drains.poll(), Some(ReplicaId(2)));
    }

    #[test]
    fn later_snapshots_do_not_hold_up_a_drain() {
        let (one, two) = (endpoint(1), endpoint(2));
        let (publisher, readers) = cluster(vec![snapshot(0, &[&one, &two])]);
        let mut publisher = publisher.split().1.remove(0);
        let mut drains = Drains::default();
        drains.retire(publisher.publish(snapshot(1, &[&one])));
        drains.watch(ReplicaId(2), vec![two]);
        let held = readers.reader();
        drains.retire(publisher.publish(snapshot(2, &[&one])));
        assert_eq!(drains.poll(), Some(ReplicaId(2)), "version 1 is held, but does not list it");
        held.refresh();
    }
}
