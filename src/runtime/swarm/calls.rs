//! The calls that this runtime makes of a Swarm manager. Each ends in time; none decides anything.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use docker_api::opts::{NodeListOpts, ServiceFilter, ServiceListOpts};
use serde_json::Value;

use super::template::{self, Surroundings};
use super::world::{Service, Task, World};
use super::{LEAVING, home};
use crate::runtime::Launch;
use crate::runtime::engine::raw::CallError;
use crate::runtime::engine::{Engine, Spec, labels, naming};

/// A Swarm, as far as it concerns one pool.
#[derive(Debug)]
pub(super) struct Calls {
    engine: Engine,
    spec: Spec,
    /// Found out before the first service is made.
    around: Option<Surroundings>,
    /// Names of nodes by their ids.
    nodes: HashMap<String, String>,
}

/// What became of making a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// It is there.
    Created,
    /// Its name is taken.
    Taken,
    /// It was refused, and why.
    Refused(String),
}

impl Calls {
    pub(super) fn new(spec: Spec) -> Result<Self, CallError> {
        Ok(Self { engine: Engine::new(&spec.host)?, spec, around: None, nodes: HashMap::new() })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The services and live tasks of the pool.
    pub(super) async fn look(&mut self) -> Result<World, CallError> {
        let docker = self.engine.docker();
        let label = format!("{}={}", labels::POOL, self.spec.pool);
        let options = ServiceListOpts::builder().filter([ServiceFilter::Label(label.clone())]).build();
        let services = self.engine.call(docker.services().list(&options)).await?;
        // 'remove' is what tasks are meant to come to whose service is gone. All others are the
        // history of tasks that have ended, or will be the running one.
        let filter = serde_json::json!({ "label": [label], "desired-state": ["running", "remove"] });
        let path = format!("/tasks?filters={}", encoded(&filter.to_string()));
        let tasks = self.engine.get(&path).await?;
        let tasks = tasks.as_array().map(Vec::as_slice).unwrap_or_default();
        self.learn_nodes(tasks).await?;
        Ok(World {
            services: services.into_iter().filter_map(Service::read).collect(),
            tasks: tasks.iter().filter_map(|task| Task::read(task, &self.nodes)).collect(),
        })
    }

    /// Finds out the names of nodes that are new.
    async fn learn_nodes(&mut self, tasks: &[Value]) -> Result<(), CallError> {
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
    pub(super) async fn make(&mut self, launch: &Launch, token: &str) -> Result<Made, CallError> {
        let around = match &self.around {
            Some(around) => around,
            None => match home::find(&self.engine, &self.spec).await {
                Ok(around) => self.around.insert(around),
                Err(CallError::Refused { message, .. }) => {
                    return Ok(Made::Refused(format!("cannot find out where it is to run: {message}")));
                }
                Err(away) => return Err(away),
            },
        };
        let options = match template::service(&self.spec, around, launch, token) {
            Ok(options) => options,
            Err(reason) => return Ok(Made::Refused(reason)),
        };
        match self.engine.call(self.engine.docker().services().get("").create(&options)).await {
            Ok(_) => Ok(Made::Created),
            Err(error) if error.is_conflict() => Ok(Made::Taken),
            Err(CallError::Refused { message, .. }) => {
                // The network may be gone; it is looked for anew the next time.
                self.around = None;
                let name = self.service_name(&launch.name);
                Ok(Made::Refused(format!("the Swarm refused its service {name}: {message}")))
            }
            Err(away) => Err(away),
        }
    }

    /// The name that the service of a replica has.
    pub(super) fn service_name(&self, replica: &str) -> String {
        template::service_name(&self.spec.pool, replica)
    }

    /// Gives a service another number, if it is still as it was at `version`.
    pub(super) async fn renumber(&self, id: &str, version: u64, number: u32) -> Result<(), CallError> {
        self.set_label(id, Some(version), labels::NUMBER, &number.to_string()).await
    }

    /// Marks a service as being removed, now.
    pub(super) async fn mark(&self, service: &str) -> Result<(), CallError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.set_label(service, None, LEAVING, &now.to_string()).await
    }

    /// Sets one label, and nothing else: the task goes on. Refused if somebody else changed the
    /// service at the same moment, or removed it.
    ///
    /// Reads and writes the service's JSON as it is, so that nothing of it is lost that
    /// `docker-api` does not know: a difference in the task's part would restart the task.
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
        // The Swarm refuses a version that is not the current one.
        let path = format!("/services/{service}/update?version={}", expected.unwrap_or(current));
        self.engine.post(&path, &spec).await.map(|_| ())
    }

    /// Deletes a service; its task is told to end.
    pub(super) async fn delete(&self, service: &str) -> Result<(), CallError> {
        match self.engine.call(self.engine.docker().services().get(service).delete()).await {
            Err(error) if error.is_not_found() => Ok(()),
            deleted => deleted,
        }
    }

    /// Why a task takes no requests any more.
    pub(super) async fn explain(&self, task: &str) -> Result<String, CallError> {
        let short = naming::short(task);
        let found = match self.engine.call(self.engine.docker().tasks().get(task).inspect()).await {
            Ok(found) => found,
            Err(CallError::Refused { .. }) => return Ok(format!("its task {short} is gone")),
            Err(away) => return Err(away),
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
            Err(away) => return Err(away),
        };
        Ok(match state.as_deref() {
            Some("down" | "disconnected") => format!("its node {name} is down"),
            _ => format!("the Swarm ended its task {short} on {name}"),
        })
    }
}

/// Escaped for the query of a URL.
fn encoded(text: &str) -> String {
    use std::fmt::Write;

    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("a string takes what is written");
        }
        escaped
    })
}
