//! A replica that the pool wants, from the request to its running task.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::vacancies::Vacancies;
use super::{Exit, Operation};
use crate::runtime::engine::naming;
use crate::runtime::swarm::observed::{ObservedState, Service};
use crate::runtime::swarm::places::Places;
use crate::runtime::{Launch, Revision, RuntimeEvent};

/// See the module.
#[derive(Debug)]
pub(super) struct DesiredReplica {
    pub(super) launch: Launch,
    /// Unique to the launch.
    pub(super) token: String,
    pub(super) stage: Stage,
    /// Which decision of the pool gave it a number last, counted from 1; 0 if none.
    pub(super) decision: u64,
    /// Whether its service is to serve no more, once that is known.
    pub(super) vacates: bool,
    /// Why it does not run yet, as it was last reported; empty if it was not.
    hindrance: String,
}

/// The stage of a replica's life.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Its service is to be created. `requested`: the service may exist, although no response said
    /// so.
    Creating { requested: bool },
    /// It is no longer wanted, but its service may have been created.
    CancellingCreate,
    /// Its service exists and is to be found by its name.
    Adopting,
    /// As `Adopting`, but only to be removed. `stop`: the task is to end now, not only to leave the
    /// ring.
    CancellingAdoption { stop: bool },
    /// Its service exists, and is to run another revision. `before`: the task that ran when that was last asked for;
    /// `asked`: when that was first.
    Updating { service: String, before: Option<String>, asked: Option<Instant> },
    /// Its service exists; the task does not run yet. `before`: the task that ran before its service was updated.
    Pending { service: String, before: Option<String> },
    /// Its task runs.
    Running { service: String, task: String },
}

impl DesiredReplica {
    /// A replica that the pool wants. `token` is unique to the launch.
    pub(super) fn new(launch: Launch, token: String) -> Self {
        let stage =
            if launch.existing.is_some() { Stage::Adopting } else { Stage::Creating { requested: false } };
        Self { launch, token, stage, decision: 0, vacates: false, hindrance: String::new() }
    }

    /// The id of its service, once that is known.
    pub(super) fn service(&self) -> Option<&str> {
        match &self.stage {
            Stage::Updating { service, .. }
            | Stage::Pending { service, .. }
            | Stage::Running { service, .. } => Some(service),
            Stage::Creating { .. }
            | Stage::CancellingCreate
            | Stage::Adopting
            | Stage::CancellingAdoption { .. } => None,
        }
    }

    /// Whether its service is made for it, beside another one.
    pub(super) fn is_successor(&self) -> bool {
        self.launch.existing.is_none() && self.launch.replaces.is_some()
    }

    /// The service that the replica is to adopt, unless that is being removed.
    pub(super) fn named<'a>(&self, places: &Places<'a>) -> Option<&'a Service> {
        let existing = self.launch.existing.as_ref();
        places.staying().find(|found| Some(&found.replica) == existing)
    }

    /// Finds the replica's service if it is not known yet. `false` if there is none.
    pub(super) fn find(
        &mut self,
        observed: &ObservedState,
        places: &Places<'_>,
        vacancies: &mut Vacancies,
    ) -> bool {
        match &self.stage {
            Stage::Creating { requested: true } => {
                if let Some(service) = observed.with_token(&self.token) {
                    self.stage = Stage::Pending { service: service.id.clone(), before: None };
                }
                true
            }
            Stage::Adopting => {
                let Some(found) = self.named(places) else { return false };
                let (service, before) = (found.id.clone(), None);
                if self.launch.replaces.is_some() {
                    self.stage = Stage::Updating { service, before, asked: None };
                } else {
                    if vacancies.contains(&service) {
                        vacancies.end(&service);
                    }
                    self.stage = Stage::Pending { service, before };
                }
                true
            }
            Stage::Pending { service, .. } | Stage::Updating { service, .. } => places.get(service).is_some(),
            Stage::Creating { .. }
            | Stage::CancellingCreate
            | Stage::CancellingAdoption { .. }
            | Stage::Running { .. } => true,
        }
    }

    /// Has the replica's service run its revision, after other balancers have had the time to take it off their rings.
    /// `patience` is the longest wait for tasks that are about to end.
    ///
    /// # Errors
    /// It cannot be, for this reason.
    pub(super) fn update(
        &mut self,
        observed: &ObservedState,
        places: &Places<'_>,
        vacancies: &mut Vacancies,
        patience: Duration,
        now: Instant,
    ) -> Result<Option<Operation>, String> {
        let Stage::Updating { service, before, asked } = &mut self.stage else { return Ok(None) };
        let Some(found) = places.get(service) else { return Ok(None) };
        let is_updated = found.token.as_ref() == Some(&self.token);
        let (runs, wanted) = (Revision::shown_name(&found.revision), self.launch.revision.shown());
        let replaces = self.launch.replaces.as_deref();
        // One that says something else under the same name has to be started all the same.
        let is_right = runs == wanted && replaces != Some(wanted);
        if is_updated || is_right {
            if found.is_vacant() {
                vacancies.end(service);
                return Ok(None);
            }
            vacancies.remove(service);
            let before = before.take().filter(|_| is_updated);
            self.stage = Stage::Pending { service: std::mem::take(service), before };
            return Ok(None);
        }
        if places.is_being_deployed(found) {
            if vacancies.contains(service) {
                vacancies.end(service);
            }
            return Err("another deploy of its number is under way; wait until it has ended".to_owned());
        }
        let running = observed.running(service).map(|(task, _)| task.id.clone());
        if running.is_some() {
            vacancies.begin(service);
            if !(found.is_vacant() && vacancies.has_given_notice(service, now)) {
                return Ok(None);
            }
        }
        *before = running;
        let waits = now.saturating_duration_since(*asked.get_or_insert(now)) < patience;
        let (service, version) = (service.clone(), found.version);
        let (launch, token) = (self.launch.clone(), self.token.clone());
        Ok(Some(Operation::Update { service, version, launch, token, waits }))
    }

    /// Adds an event if the task has started, or cannot yet. Returns the end of the task, if it has ended.
    pub(super) fn advance(
        &mut self,
        observed: &ObservedState,
        numbers: &HashMap<String, u32>,
        port: u16,
        events: &mut Vec<RuntimeEvent>,
    ) -> Option<Exit> {
        let id = self.launch.id;
        match &self.stage {
            Stage::Pending { service, before } => {
                let found = observed.service(service)?;
                // One that stands beside another has none.
                let number = numbers.get(service).copied();
                if number.is_some() && found.number != number {
                    return None;
                }
                // One that has ended before anybody looked has started as well.
                let ended =
                    || observed.failed(service, &self.token).and_then(|task| Some((task, task.address?)));
                let started = observed.running_but(service, before.as_deref()).or_else(ended);
                let Some((task, address)) = started else {
                    let hindrance = observed.hindrance(service).unwrap_or_default();
                    if self.hindrance != hindrance {
                        hindrance.clone_into(&mut self.hindrance);
                        events.push(RuntimeEvent::Delayed { id, reason: hindrance.to_owned() });
                    }
                    return None;
                };
                let has_ended = !task.runs();
                if let Some(number) = number.filter(|number| *number != self.launch.number)
                    && self.launch.existing.is_none()
                {
                    self.launch.number = number;
                    events.push(RuntimeEvent::Numbered { id, number });
                }
                let address = (address, port).into();
                let instance =
                    format!("service {} task {} on {}", found.name, naming::short(&task.id), task.node);
                events.push(RuntimeEvent::Started { id, address, instance });
                let (service, task) = (service.clone(), task.id.clone());
                self.stage = Stage::Running { service, task };
                has_ended.then(|| self.exit()).flatten()
            }
            Stage::Running { task, .. } if !observed.runs(task) => self.exit(),
            _ => None,
        }
    }

    /// The end of the task that it runs.
    fn exit(&self) -> Option<Exit> {
        let Stage::Running { service, task } = &self.stage else { return None };
        let (service, task) = (service.clone(), task.clone());
        Some(Exit { id: self.launch.id, name: self.launch.name.clone(), service, task })
    }
}
