//! The removal of a service: it is marked, so that every balancer takes it off the ring, then
//! deleted, then gone.

use std::time::{Duration, Instant};

use super::{NOTICE, Operation, RENEWAL};
use crate::runtime::ReplicaId;
use crate::runtime::swarm::observed::ObservedState;

/// The removal of one service by this balancer.
#[derive(Debug)]
pub(super) struct Removal {
    id: ReplicaId,
    /// Whether other balancers may have the service on their rings.
    is_known: bool,
    /// Whether the task is to end now, and not only to leave the ring.
    stop: bool,
    /// When this balancer marked the service, first and last.
    marks: Option<(Instant, Instant)>,
    /// When this balancer deleted the service.
    deleted: Option<Instant>,
    began: Instant,
}

/// The next step of a removal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing to do for now.
    Wait,
    /// An operation to perform.
    Perform(Operation),
    /// The removal has ended, for this reason.
    Done(&'static str),
}

impl Removal {
    pub(super) fn new(id: ReplicaId, is_known: bool, now: Instant) -> Self {
        Self { id, is_known, stop: false, marks: None, deleted: None, began: now }
    }

    /// The replica whose service is removed.
    pub(super) fn id(&self) -> ReplicaId {
        self.id
    }

    /// The task is to end now.
    pub(super) fn stop(&mut self) {
        self.stop = true;
    }

    /// The service was marked.
    pub(super) fn marked(&mut self, now: Instant) {
        self.marks = Some((self.marks.map_or(now, |(first, _)| first), now));
    }

    /// The service was deleted.
    pub(super) fn deleted(&mut self, now: Instant) {
        self.deleted = Some(now);
    }

    /// The next step for the service with this id. `patience` is the longest wait for its task to
    /// end.
    pub(super) fn next(
        &mut self,
        service_id: &str,
        observed: &ObservedState,
        patience: Duration,
        now: Instant,
    ) -> Step {
        let Some(service) = observed.service(service_id) else {
            let since = self.deleted.unwrap_or(self.began);
            let in_time = now.saturating_duration_since(since) < patience;
            return match (observed.has_tasks(service_id), in_time) {
                (true, true) => Step::Wait,
                (true, false) => Step::Done("its service was removed; its task has not ended in time"),
                (false, _) => Step::Done("its service was removed"),
            };
        };
        // A replica that ends by itself while it drains need not be stopped.
        self.stop |= observed.running(service_id).is_none();
        let (is_marked, service) = (service.leaving.is_some(), service_id.to_owned());
        let passed = |since: Instant, time: Duration| now.saturating_duration_since(since) >= time;
        match (is_marked, self.marks) {
            (false, None) if self.stop && !self.is_known => Step::Perform(Operation::Delete { service }),
            (false, _) => Step::Perform(Operation::Mark { service }),
            // Another balancer was first, and will delete it.
            (true, None) if self.stop => Step::Done("left to the balancer that removes it"),
            (true, Some((first, _))) if self.stop && passed(first, NOTICE) => {
                Step::Perform(Operation::Delete { service })
            }
            (true, Some((_, last))) if !self.stop && passed(last, RENEWAL) => {
                Step::Perform(Operation::Mark { service })
            }
            (true, _) => Step::Wait,
        }
    }
}
