//! The calls of a Swarm manager. Each has a time limit; none decides anything.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use docker_api::opts::{NodeListOpts, ServiceFilter, ServiceListOpts};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::context::{self, SwarmContext};
use super::observed::{Claim, ObservedState, PlaceLabel, Service, Task};
use super::template;
use crate::runtime::Launch;
use crate::runtime::engine::{CallError, Engine, Spec, labels, naming};

/// What a Swarm says to a change of a service that has another version than the expected one.
const OUT_OF_SEQUENCE: &str = "out of sequence";

/// Of how many services it is asked at a time what became of their tasks: a manager looks up each, and has to answer in
/// time all the same.
const MAX_ASKED: usize = 64;

/// A client of a Swarm manager for one pool.
#[derive(Debug)]
pub(super) struct SwarmClient {
    engine: Engine,
    spec: Spec,
    /// Looked up before the first service is created, and again after a refusal.
    context: Option<SwarmContext>,
    /// Names of nodes by id.
    nodes: HashMap<String, String>,
}

/// The outcome of having a service run another revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UpdateOutcome {
    /// It will run it.
    Updated,
    /// That was refused, for this reason.
    Refused(String),
}

/// The outcome of creating a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CreateOutcome {
    /// It was created.
    Created,
    /// A service of the same name exists.
    NameTaken,
    /// It was refused, for this reason.
    Refused(String),
}

impl SwarmClient {
    pub(super) fn new(spec: Spec) -> Result<Self, CallError> {
        Ok(Self { engine: Engine::new(&spec.host)?, spec, context: None, nodes: HashMap::new() })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Lists the services and live tasks of the pool, and the tasks that have ended of the last [`MAX_ASKED`] of these
    /// services.
    pub(super) async fn observe(&mut self, asked: &[String]) -> Result<ObservedState, CallError> {
        let docker = self.engine.docker();
        let label = format!("{}={}", labels::POOL, self.spec.pool);
        let options = ServiceListOpts::builder().filter([ServiceFilter::Label(label.clone())]).build();
        let services = self.engine.call(docker.services().list(&options)).await?;
        // 'remove' is the desired state of tasks whose service is gone. Tasks with other desired states
        // have ended, or are about to be started as the running one.
        let filter = serde_json::json!({ "label": [label], "desired-state": ["running", "remove"] });
        let tasks = self.tasks(&filter).await?;
        let services: Vec<_> = services.into_iter().filter_map(Service::read).collect();
        // A Swarm refuses to tell of any, if one is gone.
        let exists = |id: &&String| services.iter().any(|service| service.id == **id);
        let mut ended = self.ended(asked.iter().filter(exists).rev().take(MAX_ASKED)).await?;
        // Its version is that of the whole Swarm when the task was last changed.
        ended.sort_by_key(|task| task["Version"]["Index"].as_u64());
        self.look_up_nodes(tasks.iter().chain(&ended)).await?;
        let read = |task: &Value| Task::read(task, &self.nodes);
        Ok(ObservedState {
            services,
            tasks: tasks.iter().filter_map(read).collect(),
            ended: ended.iter().filter_map(read).collect(),
        })
    }

    /// The tasks that the Swarm has given up of these services, in no particular order.
    async fn ended(&self, services: impl Iterator<Item = &String>) -> Result<Vec<Value>, CallError> {
        let services: Vec<_> = services.collect();
        if services.is_empty() {
            return Ok(Vec::new());
        }
        match self.tasks(&serde_json::json!({ "service": services, "desired-state": ["shutdown"] })).await {
            // One was removed a moment ago. The next look is without it.
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            tasks => tasks,
        }
    }

    /// The tasks for which a filter holds.
    async fn tasks(&self, filter: &Value) -> Result<Vec<Value>, CallError> {
        let path = format!("/tasks?filters={}", utf8_percent_encode(&filter.to_string(), NON_ALPHANUMERIC));
        match self.engine.get(&path).await? {
            Value::Array(tasks) => Ok(tasks),
            _ => Ok(Vec::new()),
        }
    }

    /// Looks up the names of nodes if a task is on an unknown one.
    async fn look_up_nodes(&mut self, tasks: impl Iterator<Item = &Value>) -> Result<(), CallError> {
        let ids = tasks.filter_map(|task| task["NodeID"].as_str()).filter(|id| !id.is_empty());
        let unknown: Vec<_> = ids.filter(|id| !self.nodes.contains_key(*id)).map(str::to_owned).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let docker = self.engine.docker();
        let listed = self.engine.call(docker.nodes().list(&NodeListOpts::default())).await?;
        self.nodes =
            listed.into_iter().filter_map(|node| Some((node.id?, node.description?.hostname?))).collect();
        for id in unknown {
            // It has left the Swarm; its tasks are remembered for a while.
            self.nodes.entry(id.clone()).or_insert(id);
        }
        Ok(())
    }

    /// What services of the pool have in common, or why that cannot be found out.
    async fn context(&mut self) -> Result<Result<SwarmContext, String>, CallError> {
        if let Some(context) = &self.context {
            return Ok(Ok(context.clone()));
        }
        match context::look_up(&self.engine, &self.spec).await {
            Ok(context) => Ok(Ok(self.context.insert(context).clone())),
            Err(CallError::Refused { message, .. }) => Ok(Err(message)),
            Err(error) => Err(error),
        }
    }

    /// Creates the service of `launch`, beside the service with this id if it is to take that one's number.
    pub(super) async fn create(
        &mut self,
        launch: &Launch,
        token: &str,
        beside: Option<String>,
    ) -> Result<CreateOutcome, CallError> {
        let context = match self.context().await? {
            Ok(context) => context,
            Err(reason) => {
                return Ok(CreateOutcome::Refused(format!("cannot find out where it is to run: {reason}")));
            }
        };
        let place = beside.map(|incumbent| place_label(Claim::Beside(incumbent)));
        let options = match template::service(&self.spec, &context, launch, token, place) {
            Ok(options) => options,
            Err(reason) => return Ok(CreateOutcome::Refused(reason)),
        };
        match self.engine.call(self.engine.docker().services().get("").create(&options)).await {
            Ok(_) => Ok(CreateOutcome::Created),
            Err(error) if error.is_conflict() => Ok(CreateOutcome::NameTaken),
            Err(CallError::Refused { message, .. }) => {
                // The network may be gone: look it up again next time.
                self.context = None;
                let name = self.service_name(&launch.name);
                Ok(CreateOutcome::Refused(format!("the Swarm refused its service {name}: {message}")))
            }
            Err(error) => Err(error),
        }
    }

    /// The name of a replica's service.
    pub(super) fn service_name(&self, replica: &str) -> String {
        template::service_name(&self.spec.pool, replica)
    }

    /// Gives a service another number, if its version is still `version`.
    pub(super) async fn set_number(&self, id: &str, version: u64, number: u32) -> Result<(), CallError> {
        self.set_label(id, Some(version), labels::NUMBER, &number.to_string()).await
    }

    /// Marks a service as being removed, or renews the mark.
    pub(super) async fn mark(&self, service: &str) -> Result<(), CallError> {
        self.set_label(service, None, labels::LEAVING, &now().to_string()).await
    }

    /// Marks a service as being removed, if its version is still `version`.
    pub(super) async fn mark_version(&self, service: &str, version: u64) -> Result<(), CallError> {
        self.set_label(service, Some(version), labels::LEAVING, &now().to_string()).await
    }

    /// Writes what a service is to its number, or takes that away, if its version is still `version`.
    pub(super) async fn set_place(
        &self,
        service: &str,
        version: u64,
        claim: Option<&Claim>,
    ) -> Result<(), CallError> {
        let place = claim.cloned().map(|claim| place_label(claim).to_string());
        let change = |spec: &mut Value| template::set_label(spec, labels::PLACE, place.as_deref());
        self.change(service, Some(version), change).await
    }

    /// Has a service run the revision of `launch`, if its version is still `version`; if not, that is an error.
    pub(super) async fn update(
        &mut self,
        service: &str,
        version: u64,
        launch: &Launch,
        token: &str,
    ) -> Result<UpdateOutcome, CallError> {
        let context = match self.context().await? {
            Ok(context) => context,
            Err(reason) => {
                return Ok(UpdateOutcome::Refused(format!("cannot find out what it is to run: {reason}")));
            }
        };
        let change = |found: &mut Value| template::update(found, &self.spec, &context, launch, token);
        match self.change(service, Some(version), change).await {
            Ok(()) => Ok(UpdateOutcome::Updated),
            Err(CallError::Refused { message, .. }) if !message.contains(OUT_OF_SEQUENCE) => {
                self.context = None;
                let name = self.service_name(&launch.name);
                let reason = format!("the Swarm refused to change its service {name}: {message}");
                Ok(UpdateOutcome::Refused(reason))
            }
            Err(error) => Err(error),
        }
    }

    /// Sets one label of a service and nothing else, so that its task keeps running. Refused if the
    /// service was changed at the same moment, or removed.
    async fn set_label(
        &self,
        service: &str,
        expected: Option<u64>,
        key: &str,
        value: &str,
    ) -> Result<(), CallError> {
        self.change(service, expected, |spec| template::set_label(spec, key, Some(value))).await
    }

    /// Changes the specification of a service.
    ///
    /// Writes back the JSON that was read, so that fields which `docker-api` does not know are kept: a
    /// change of the task template would restart the task.
    async fn change(
        &self,
        service: &str,
        expected: Option<u64>,
        change: impl FnOnce(&mut Value),
    ) -> Result<(), CallError> {
        let mut found = self.engine.get(&format!("/services/{service}")).await?;
        let current = found["Version"]["Index"].as_u64().unwrap_or_default();
        let mut spec = found["Spec"].take();
        change(&mut spec);
        // The Swarm refuses a version other than the current one.
        let path = format!("/services/{service}/update?version={}", expected.unwrap_or(current));
        self.engine.post(&path, &spec).await.map(|_| ())
    }

    /// Deletes a service, whose task the Swarm then ends. A service that is gone is no error.
    pub(super) async fn delete(&self, service: &str) -> Result<(), CallError> {
        match self.engine.call(self.engine.docker().services().get(service).delete()).await {
            Err(error) if error.is_not_found() => Ok(()),
            deleted => deleted,
        }
    }

    /// Whether a task of a service still runs that the Swarm has told to end.
    pub(super) async fn is_ending(&self, service: &str) -> Result<bool, CallError> {
        let services = [service.to_owned()];
        let runs = |task: &Value| matches!(task["Status"]["State"].as_str(), Some("starting" | "running"));
        Ok(self.ended(services.iter()).await?.iter().any(runs))
    }

    /// Why a task does not run any more, in words, and whether its node is there to be asked for what it wrote.
    pub(super) async fn exit_reason(&self, task: &str) -> Result<(String, bool), CallError> {
        let short = naming::short(task);
        let found = match self.engine.call(self.engine.docker().tasks().get(task).inspect()).await {
            Ok(found) => found,
            Err(CallError::Refused { .. }) => return Ok((format!("its task {short} is gone"), false)),
            Err(error) => return Err(error),
        };
        let status = found.status.as_ref();
        if status.is_some_and(|status| status.state.as_deref() == Some("complete")) {
            return Ok((format!("its task {short} ended by itself, with exit code 0"), true));
        }
        if let Some(error) = status.and_then(|status| status.err.as_deref()).filter(|error| !error.is_empty())
        {
            return Ok((format!("its task {short} failed: {}", error.trim_start_matches("task: ")), true));
        }
        let node = found.node_id.unwrap_or_default();
        let name = self.nodes.get(&node).unwrap_or(&node);
        let state = match self.engine.call(self.engine.docker().nodes().get(node.as_str()).inspect()).await {
            Ok(node) => node.status.and_then(|status| status.state),
            Err(CallError::Refused { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(match state.as_deref() {
            Some("down" | "disconnected") => (format!("its node {name} is down"), false),
            _ => (format!("the Swarm ended its task {short} on {name}"), true),
        })
    }
}

/// The time for a label, in seconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn place_label(claim: Claim) -> PlaceLabel {
    PlaceLabel { claim, renewed: now() }
}
