//! A replica that is wanted, from the wish to its running task. Knows nothing of removals but that
//! one may be wanted before the service is known.

use std::collections::HashMap;

use super::Deed;
use crate::runtime::engine::naming;
use crate::runtime::swarm::world::{Service, World};
use crate::runtime::{Launch, RuntimeEvent};

/// See the module.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) launch: Launch,
    pub(super) stage: Stage,
}

/// How far it is.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// To be created. `tried`: the service may exist although no answer said so.
    Making { token: String, tried: bool },
    /// No longer wanted, but may have been created.
    Unmaking { token: String },
    /// To be found by its name.
    Seeking,
    /// The same, but only to be removed. `stop`: it is to end now, not only to be let go of.
    Forsaken { stop: bool },
    /// The service exists; its task does not run yet.
    Waiting { service: String },
    /// Its task runs.
    Running { service: String, task: String },
}

impl Replica {
    /// The service that it was to be found by, unless that is being removed.
    pub(super) fn named<'a>(&self, world: &'a World) -> Option<&'a Service> {
        let existing = self.launch.existing.as_ref();
        world.staying().into_iter().find(|found| Some(&found.replica) == existing)
    }

    /// Finds its service, where it has to be found. Returns false if there is none.
    pub(super) fn find(&mut self, world: &World) -> bool {
        match &self.stage {
            Stage::Making { token, tried: true } => {
                if let Some(service) = world.with_token(token) {
                    self.stage = Stage::Waiting { service: service.id.clone() };
                }
                true
            }
            Stage::Seeking => {
                let Some(found) = self.named(world) else { return false };
                self.stage = Stage::Waiting { service: found.id.clone() };
                true
            }
            Stage::Waiting { service } => world.service(service).is_some_and(|found| found.leaving.is_none()),
            Stage::Making { .. }
            | Stage::Unmaking { .. }
            | Stage::Forsaken { .. }
            | Stage::Running { .. } => true,
        }
    }

    /// Tells that it has started. Returns what is to be done if it has ended.
    pub(super) fn advance(
        &mut self,
        world: &World,
        numbers: &HashMap<String, u32>,
        port: u16,
        events: &mut Vec<RuntimeEvent>,
    ) -> Option<Deed> {
        let id = self.launch.id;
        match &self.stage {
            Stage::Waiting { service } => {
                let found = world.service(service)?;
                let number = found.number.filter(|number| numbers.get(service) == Some(number))?;
                let (task, address) = world.running(service)?;
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
                (!world.runs(task)).then(|| Deed::Explain { id, task: task.clone() })
            }
            _ => None,
        }
    }
}
