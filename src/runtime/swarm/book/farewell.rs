//! The end of a service: marked, so that every balancer lets go of it, then deleted, then gone.

use std::time::{Duration, Instant};

use super::Deed;
use crate::runtime::ReplicaId;
use crate::runtime::swarm::world::World;

/// Time the other balancers have to see the mark before the task is told to end.
const NOTICE: Duration = Duration::from_secs(2);

/// How often the mark is renewed, so that it does not look abandoned while the replica drains.
const RENEWAL: Duration = Duration::from_secs(20);

/// A service whose replica is no longer wanted by this balancer.
#[derive(Debug)]
pub(super) struct Farewell {
    id: ReplicaId,
    /// Whether other balancers may have it on their rings.
    is_known: bool,
    /// Whether the replica is to end now, not only to be let go of.
    stop: bool,
    /// When this balancer marked it, first and last.
    marks: Option<(Instant, Instant)>,
    /// When this balancer deleted it.
    deleted: Option<Instant>,
    began: Instant,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    Do(Deed),
    /// The end, and how it came.
    Done(&'static str),
}

impl Farewell {
    pub(super) fn new(id: ReplicaId, is_known: bool, now: Instant) -> Self {
        Self { id, is_known, stop: false, marks: None, deleted: None, began: now }
    }

    pub(super) fn id(&self) -> ReplicaId {
        self.id
    }

    pub(super) fn is_of(&self, id: ReplicaId) -> bool {
        self.id == id
    }

    pub(super) fn stop(&mut self) {
        self.stop = true;
    }

    pub(super) fn marked(&mut self, now: Instant) {
        self.marks = Some((self.marks.map_or(now, |(first, _)| first), now));
    }

    pub(super) fn deleted(&mut self, now: Instant) {
        self.deleted = Some(now);
    }

    /// What comes next for the service with this id. `patience`: longest wait for its task to end.
    pub(super) fn look(&mut self, id: &str, world: &World, patience: Duration, now: Instant) -> Step {
        let Some(service) = world.service(id) else {
            let since = self.deleted.unwrap_or(self.began);
            return match (world.has_tasks(id), now.saturating_duration_since(since) < patience) {
                (true, true) => Step::Wait,
                (true, false) => Step::Done("its service was removed; its task has not ended in time"),
                (false, _) => Step::Done("its service was removed"),
            };
        };
        // Nobody stops a replica that ends by itself while it drains.
        self.stop |= world.running(id).is_none();
        let (is_marked, service) = (service.leaving.is_some(), id.to_owned());
        let passed = |since: Instant, time: Duration| now.saturating_duration_since(since) >= time;
        match (is_marked, self.marks) {
            (false, None) if self.stop && !self.is_known => Step::Do(Deed::Delete { service }),
            (false, _) => Step::Do(Deed::Mark { service }),
            // Another balancer was first; it is the one to delete it.
            (true, None) if self.stop => Step::Done("left to the balancer that removes it"),
            (true, Some((first, _))) if self.stop && passed(first, NOTICE) => {
                Step::Do(Deed::Delete { service })
            }
            (true, Some((_, last))) if !self.stop && passed(last, RENEWAL) => {
                Step::Do(Deed::Mark { service })
            }
            (true, _) => Step::Wait,
        }
    }
}
