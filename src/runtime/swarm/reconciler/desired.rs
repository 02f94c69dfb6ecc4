//! A replica that the pool wants, from the request to its running task.

use std::collections::HashMap;

use super::Operation;
use crate::runtime::engine::naming;
use crate::runtime::swarm::observed::{ObservedState, Service};
use crate::runtime::{Launch, RuntimeEvent};

/// See the module.
#[derive(Debug)]
pub(super) struct DesiredReplica {
    pub(super) launch: Launch,
    pub(super) stage: Stage,
}

/// The stage of a replica's life.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Its service is to be created. `requested`: the service may exist, although no response said
    /// so.
    Creating { token: String, requested: bool },
    /// It is no longer wanted, but its service may have been created.
    CancellingCreate { token: String },
    /// Its service exists and is to be found by its name.
    Adopting,
    /// As `Adopting`, but only to be removed. `stop`: the task is to end now, not only to leave the
    /// ring.
    CancellingAdoption { stop: bool },
    /// Its service exists; the task does not run yet.
    Pending { service: String },
    /// Its task runs.
    Running { service: String, task: String },
}

impl DesiredReplica {
    /// The service that the replica is to adopt, unless that is being removed.
    pub(super) fn named<'a>(&self, observed: &'a ObservedState) -> Option<&'a Service> {
        let existing = self.launch.existing.as_ref();
        observed.staying().into_iter().find(|found| Some(&found.replica) == existing)
    }

    /// Finds the replica's service if it is not known yet. `false` if there is none.
    pub(super) fn find(&mut self, observed: &ObservedState) -> bool {
        match &self.stage {
            Stage::Creating { token, requested: true } => {
                if let Some(service) = observed.with_token(token) {
                    self.stage = Stage::Pending { service: service.id.clone() };
                }
                true
            }
            Stage::Adopting => {
                let Some(found) = self.named(observed) else { return false };
                self.stage = Stage::Pending { service: found.id.clone() };
                true
            }
            Stage::Pending { service } => {
                observed.service(service).is_some_and(|found| found.leaving.is_none())
            }
            Stage::Creating { .. }
            | Stage::CancellingCreate { .. }
            | Stage::CancellingAdoption { .. }
            | Stage::Running { .. } => true,
        }
    }

    /// Adds an event if the task has started. Returns an operation if the task has ended.
    pub(super) fn advance(
        &mut self,
        observed: &ObservedState,
        numbers: &HashMap<String, u32>,
        port: u16,
        events: &mut Vec<RuntimeEvent>,
    ) -> Option<Operation> {
        let id = self.launch.id;
        match &self.stage {
            Stage::Pending { service } => {
                let found = observed.service(service)?;
                let number = found.number.filter(|number| numbers.get(service) == Some(number))?;
                let (task, address) = observed.running(service)?;
                if number != self.launch.number && self.launch.existing.is_none() {
                    self.launch.number = number;
                    events.push(RuntimeEvent::Numbered { id, number });
                }
                let address = (address, port).into();
                let instance =
                    format!("service {} task {} on {}", found.name, naming::short(&task.id), task.node);
                events.push(RuntimeEvent::Started { id, address, instance });
                self.stage = Stage::Running { service: service.clone(), task: task.id.clone() };
                None
            }
            Stage::Running { task, .. } => {
                (!observed.runs(task)).then(|| Operation::ReportExit { id, task: task.clone() })
            }
            _ => None,
        }
    }
}
