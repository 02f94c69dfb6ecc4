//! The engine is lost and found again, and what its list of containers changes in what was known.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::actor::{Actor, MAX_PAUSE, MIN_PAUSE, Phase, STABLE_AFTER};
use super::adoption::{self, Listing};
use super::container::{Container, ContainerStatus};
use super::context::EngineContext;
use super::managed::{Desired, ManagedReplica, Stage};
use super::task::list;
use crate::runtime::engine::labels;
use crate::runtime::{Found, Owner, Place, ReplicaId, RuntimeEvent};

impl Actor {
    /// The engine does not answer: all tasks are ended, and nothing is concluded until it is back.
    pub(super) fn disconnected(&mut self, reason: String) {
        self.disconnect();
        self.phase = Phase::Down;
        self.removing.clear();
        (self.listing, self.list_again) = (false, false);
        for replica in self.replicas.values_mut() {
            replica.inspecting = false;
            if replica.stage == Stage::Starting {
                replica.stage = Stage::Unknown;
            }
        }
        if !self.reported_unavailable {
            self.reported_unavailable = true;
            self.report(RuntimeEvent::Unavailable { reason });
        }
        if self.connected_at.take().is_some_and(|since| since.elapsed() >= STABLE_AFTER) {
            self.pause = MIN_PAUSE;
        }
        self.connect_after(self.pause);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }

    /// The engine answers: reconciles what was known with the list, then reports.
    pub(super) fn connected(&mut self, context: Arc<EngineContext>, listing: Listing) {
        self.connected_at = Some(Instant::now());
        let first = self.context.is_none();
        if first {
            tracing::info!(
                instance = context.instance,
                pool = context.config.spec.pool,
                engine = %context.engine.host(),
                network = context.network().name,
                "found the engine"
            );
        }
        self.context = Some(context);
        self.phase = Phase::Recovering(HashSet::new());
        let Listing { mut own, discovered, .. } = listing;
        if first {
            self.conflicts.inherit(&own);
            let (adoptable, rest) = adoption::partition(own);
            self.adoptable =
                adoptable.into_iter().map(|adoptable| (adoptable.container.clone(), adoptable)).collect();
            own = rest;
        }
        let _ = self.update_discovered(discovered);
        let unresolved = self.reconcile(&own);
        self.remove_orphans(own);
        for (id, container) in self.discovered.pending() {
            self.attach(id, container);
        }
        self.phase = Phase::Recovering(unresolved.clone());
        if unresolved.is_empty() {
            self.up();
        }
    }

    /// Continues each replica from its stage. Returns those whose container has exited; an
    /// inspection has to say how.
    fn reconcile(&mut self, own: &[Container]) -> HashSet<ReplicaId> {
        let mut unresolved = HashSet::new();
        let ids: Vec<_> = self.replicas.keys().copied().collect();
        for id in ids {
            let replica = self.replicas.get_mut(&id).expect("taken from the map");
            let listed = own.iter().find(|container| replica.has(&container.id));
            match (replica.stage, listed.map(|container| container.status)) {
                (Stage::Unknown, _) => self.resolve_unknown(id, own),
                (Stage::RemovingNetwork, _) => self.finish_removal(id),
                (Stage::Starting, _) => {}
                // It may have left the ring meanwhile.
                (Stage::Running, Some(ContainerStatus::Running)) => self.mark_leaving(id),
                (Stage::Running, Some(_)) => {
                    unresolved.insert(id);
                    self.advance(id);
                }
                (Stage::Adopting, Some(_)) => {
                    if replica.desired == Desired::Stopped {
                        replica.stage = Stage::Stopping;
                    }
                    self.advance(id);
                }
                (Stage::Stopping, Some(_)) => self.advance(id),
                (Stage::Adopting | Stage::Running | Stage::Stopping, None) => {
                    self.stopped(id, "its container was removed while the engine was away".to_owned());
                }
            }
        }
        unresolved
    }

    /// The engine was lost while the replica's container was being created. A container that exists all the same is
    /// stopped, and may run until then: only when it is gone the replica has failed.
    fn resolve_unknown(&mut self, id: ReplicaId, own: &[Container]) {
        let Some(replica) = self.replicas.get(&id) else { return };
        // The engine may have created it, and its response was lost.
        let run = self.context.as_ref().map(|context| &context.run);
        let unreported = |container: &&Container| {
            container.labels.get(labels::NAME) == Some(&replica.launch.name)
                && container.labels.get(labels::RUN) == run
                && !container.is_leaving()
                && self.replica_of(&container.id).is_none()
        };
        let reported = own.iter().find(|container| replica.has(&container.id));
        let created = reported.or_else(|| own.iter().find(unreported)).map(|created| created.id.clone());
        self.start_failed(id, "the engine went away while it was being made".to_owned(), created);
    }

    /// It is known what became of a replica; the last one ends the recovery.
    pub(super) fn resolved(&mut self, id: ReplicaId) {
        if let Phase::Recovering(unresolved) = &mut self.phase
            && unresolved.remove(&id)
            && unresolved.is_empty()
        {
            self.up();
        }
    }

    fn up(&mut self) {
        self.phase = Phase::Up;
        self.report_inventory();
        if self.reported_unavailable {
            self.reported_unavailable = false;
            self.report(RuntimeEvent::Available);
        }
        let ids: Vec<_> = self.replicas.keys().copied().collect();
        for id in ids {
            self.report_ending(id);
        }
    }

    /// Asks for a list of containers, one at a time.
    pub(super) fn list(&mut self) {
        if self.listing {
            self.list_again = true;
            return;
        }
        (self.listing, self.list_again) = (true, false);
        let revision = self.discovered.revision();
        self.spawn(|context, actor| list::run(context, revision, actor));
    }

    /// A list has come.
    pub(super) fn listed(&mut self, listing: Listing) {
        let Listing { own, discovered, revision } = listing;
        self.listing = false;
        if revision == self.discovered.revision() {
            if self.update_discovered(discovered) && self.phase == Phase::Up {
                self.report_inventory();
            }
        } else {
            // A container has exited since; the list may still have it.
            self.list_again = true;
        }
        if self.list_again {
            self.list();
        }
        let statuses: HashMap<_, _> =
            own.iter().map(|container| (container.id.as_str(), container.status)).collect();
        let runs = |replica: &ManagedReplica| {
            let id = replica.container.as_deref();
            id.is_some_and(|id| statuses.get(id) == Some(&ContainerStatus::Running))
        };
        let suspects = self
            .replicas
            .iter()
            .filter(|(_, replica)| replica.stage == Stage::Running && !runs(replica))
            .map(|(id, _)| *id);
        // One that was started after the list was asked for is found running.
        for id in suspects.collect::<Vec<_>>() {
            self.inspect(id);
        }
        self.conflicts.retain(&own);
        self.remove_orphans(own);
    }

    /// Removes the containers with our labels that belong to no replica.
    fn remove_orphans(&mut self, own: Vec<Container>) {
        let Some(context) = self.context.clone() else { return };
        for container in own {
            if self.is_known(&container) {
                continue;
            }
            if self.conflicts.is_foreign(&container, &context) {
                self.conflicts.report(&container, &context);
                continue;
            }
            let exited = container.status == ContainerStatus::Exited;
            self.remove_container(container.id, exited, Some(container.name));
        }
    }

    /// Whether a container belongs to a replica, or may belong to one that is being started.
    fn is_known(&self, container: &Container) -> bool {
        let name = container.labels.get(labels::NAME);
        self.adoptable.contains_key(&container.id)
            || self.replicas.values().any(|replica| {
                let starting = replica.stage == Stage::Starting && replica.container.is_none();
                replica.has(&container.id) || (starting && name == Some(&replica.launch.name))
            })
    }

    /// Takes in the discovered containers. Returns whether the inventory has to be reported.
    fn update_discovered(&mut self, listed: Vec<Container>) -> bool {
        let Some(context) = &self.context else { return false };
        let (networks, port) = (context.networks(), self.config.spec.port);
        let mut inventories = self.discovered.update(listed, &networks, port, Instant::now());
        let changed = inventories.pop().is_some();
        for discovered in inventories {
            let all = self.found_own().chain(discovered).collect();
            self.report(RuntimeEvent::Inventory(all));
        }
        changed
    }

    /// Reports all replicas that exist.
    pub(super) fn report_inventory(&self) {
        let all = self.found_own().chain(self.discovered.found()).collect();
        self.report(RuntimeEvent::Inventory(all));
    }

    fn found_own(&self) -> impl Iterator<Item = Found> {
        let adoptable = self.adoptable.values().map(|adoptable| Found {
            key: adoptable.container.clone(),
            name: adoptable.replica.name.clone(),
            number: Some(adoptable.replica.number),
            owner: Owner::Balancer,
            revision: adoptable.replica.revision.clone(),
            place: Place::Holder,
        });
        let mut found: Vec<_> = adoptable.collect();
        found.extend(self.replicas.values().filter_map(ManagedReplica::found));
        found.sort_by_key(|found| found.number);
        found.into_iter()
    }
}
