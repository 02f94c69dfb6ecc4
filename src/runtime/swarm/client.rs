//! The calls of a Swarm manager. Each has a time limit; none decides anything.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use docker_api::opts::{NodeListOpts, ServiceFilter, ServiceListOpts};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::context::{self, SwarmContext};
use super::observed::{ObservedState, Service, Task};
use super::template;
use crate::runtime::Launch;
use crate::runtime::engine::{CallError, Engine, Spec, labels, naming};

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

    /// Lists the services and live tasks of the pool.
    pub(super) async fn observe(&mut self) -> Result<ObservedState, CallError> {
        let docker = self.engine.docker();
        let label = format!("{}={}", labels::POOL, self.spec.pool);
        let options = ServiceListOpts::builder().filter([ServiceFilter::Label(label.clone())]).build();
        let services = self.engine.call(docker.services().list(&options)).await?;
        // 'remove' is the desired state of tasks whose service is gone. Tasks with other desired states
        // have ended, or are about to be started as the running one.
        let filter = serde_json::json!({ "label": [label], "desired-state": ["running", "remove"] });
        let path = format!("/tasks?filters={}", utf8_percent_encode(&filter.to_string(), NON_ALPHANUMERIC));
        let tasks = self.engine.get(&path).await?;
        let tasks = tasks.as_array().map(Vec::as_slice).unwrap_or_default();
        self.look_up_nodes(tasks).await?;
        Ok(ObservedState {
            services: services.into_iter().filter_map(Service::read).collect(),
            tasks: tasks.iter().filter_map(|task| Task::read(task, &self.nodes)).collect(),
        })
    }

    /// Looks up the names of nodes if a task is on an unknown one.
    async fn look_up_nodes(&mut self, tasks: &[Value]) -> Result<(), CallError> {
        let mut ids = tasks.iter().filter_map(|task| task["NodeID"].as_str()).filter(|id| !id.is_empty());
        if ids.all(|id| self.nodes.contains_key(id)) {
            return Ok(());
        }
        let docker = self.engine.docker();
        let listed = self.engine.call(docker.nodes().list(&NodeListOpts::default())).await?;
        self.nodes =
            listed.into_iter().filter_map(|node| Some((node.id?, node.description?.hostname?))).collect();
        Ok(())
    }

    /// Creates the service of `launch`.
    pub(super) async fn create(&mut self, launch: &Launch, token: &str) -> Result<CreateOutcome, CallError> {
        let context = match &self.context {
            Some(context) => context,
            None => match context::look_up(&self.engine, &self.spec).await {
                Ok(context) => self.context.insert(context),
                Err(CallError::Refused { message, .. }) => {
                    return Ok(CreateOutcome::Refused(format!(
                        "cannot find out where it is to run: {message}"
                    )));
                }
                Err(error) => return Err(error),
            },
        };
        let options = match template::service(&self.spec, context, launch, token) {
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
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.set_label(service, None, labels::LEAVING, &now.to_string()).await
    }

    /// Sets one label of a service and nothing else, so that its task keeps running. Refused if the
    /// service was changed at the same moment, or removed.
    ///
    /// Writes back the JSON that was read, so that fields which `docker-api` does not know are kept: a
    /// change of the task template would restart the task.
    async fn set_label(
        &self,
        service: &str,
        expected: Option<u64>,
        key: &str,
        value: &str,
    ) -> Result<(), CallError> {
        let mut found = self.engine.get(&format!("/services/{service}")).await?;
        let current = found["Version"]["Index"].as_u64().unwrap_or_default();
        let mut spec = found["Spec"].take();
        spec["Labels"][key] = Value::from(value);
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

    /// Why a task does not run any more, in words.
    pub(super) async fn exit_reason(&self, task: &str) -> Result<String, CallError> {
        let short = naming::short(task);
        let found = match self.engine.call(self.engine.docker().tasks().get(task).inspect()).await {
            Ok(found) => found,
            Err(CallError::Refused { .. }) => return Ok(format!("its task {short} is gone")),
            Err(error) => return Err(error),
        };
        let status = found.status.as_ref();
        if let Some(error) = status.and_then(|status| status.err.as_deref()).filter(|error| !error.is_empty())
        {
            return Ok(format!("its task {short} failed: {}", error.trim_start_matches("task: ")));
        }
        let node = found.node_id.unwrap_or_default();
        let name = self.nodes.get(&node).unwrap_or(&node);
        let state = match self.engine.call(self.engine.docker().nodes().get(node.as_str()).inspect()).await {
            Ok(node) => node.status.and_then(|status| status.state),
            Err(CallError::Refused { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(match state.as_deref() {
            Some("down" | "disconnected") => format!("its node {name} is down"),
            _ => format!("the Swarm ended its task {short} on {name}"),
        })
    }
}
