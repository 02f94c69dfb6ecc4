//! The Swarm runtime with a real Swarm of two nodes: what is made, shared, moved and removed.

#[path = "../lab/mod.rs"]
mod lab;

mod deploys;
mod output;
mod services;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lab::{IMAGE, Lab};
use ringherd::runtime::engine::{Host, Spec};
use ringherd::runtime::output::Outputs;
use ringherd::runtime::swarm::{self, SwarmConfig};
use ringherd::runtime::{Launch, Place, ReplicaId, Revision, Runtime, RuntimeEvent, RuntimeHandle};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Fails a test that would otherwise hang. A task takes about a second, a lost node a few.
const LIMIT: Duration = Duration::from_secs(60);

/// Labs are heavy: one at a time.
static ONE_LAB: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// One balancer's runtime, and what it has told.
struct Bench {
    runtime: RuntimeHandle,
    events: UnboundedReceiver<RuntimeEvent>,
    /// What was told while something else was waited for, but inventories.
    passed: Vec<RuntimeEvent>,
    /// Names and numbers of the last inventory.
    inventory: Vec<(String, u32)>,
    /// Names of those in it that stand beside others, or whose numbers nobody is to serve.
    beside: Vec<String>,
    vacant: Vec<String>,
    outputs: Outputs,
}

impl Bench {
    fn new(lab: &Lab, node: u32) -> Self {
        Self::with(lab, node, &[])
    }

    /// One whose replicas run this command.
    fn with(lab: &Lab, node: u32, command: &[&str]) -> Self {
        let spec = Spec {
            host: Host::Unix(lab.socket(node)),
            pool: "p".into(),
            image: Some(IMAGE.into()),
            stop_timeout: Duration::from_secs(1),
            command: command.iter().map(ToString::to_string).collect(),
            ..Spec::default()
        };
        let (told, events) = unbounded_channel();
        let outputs = Outputs::default();
        Self {
            runtime: swarm::start(SwarmConfig { spec }, told, outputs.clone()),
            outputs,
            events,
            passed: Vec::new(),
            inventory: Vec::new(),
            beside: Vec::new(),
            vacant: Vec::new(),
        }
    }

    /// One that has read its first inventory.
    async fn listed(lab: &Lab, node: u32) -> Self {
        let mut bench = Self::new(lab, node);
        bench.inventory().await;
        bench
    }

    fn start(&self, id: u64, name: &str, number: u32) {
        self.runtime.start(launch(id, name, number));
    }

    fn take_over(&self, id: u64, name: &str, number: u32) {
        self.runtime.start(Launch { existing: Some(name.to_owned()), ..launch(id, name, number) });
    }

    /// Starts a replica of number 1 that replaces another one, or changes one that exists.
    fn replace(&self, id: u64, name: &str, revision: &Revision, existing: Option<&str>) {
        self.runtime.start(Launch {
            existing: existing.map(str::to_owned),
            revision: Arc::new(revision.clone()),
            replaces: Some(Revision::BASE.to_owned()),
            ..launch(id, name, 1)
        });
    }

    async fn failed(&mut self, id: u64) -> String {
        self.until(&format!("the failure of {id}"), |event| match event {
            RuntimeEvent::StartFailed { id: failed, reason } if failed.0 == id => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// The next event that `wanted` takes; others wait for their turn.
    async fn until<T>(&mut self, what: &str, wanted: impl Fn(&RuntimeEvent) -> Option<T>) -> T {
        if let Some(at) = self.passed.iter().position(|event| wanted(event).is_some()) {
            return wanted(&self.passed.remove(at)).expect("the same event");
        }
        let began = Instant::now();
        while began.elapsed() < LIMIT {
            let Ok(event) = tokio::time::timeout(LIMIT, self.events.recv()).await else { break };
            let event = event.expect("the runtime lives");
            if let RuntimeEvent::Inventory(found) = &event {
                let told = found.iter().filter_map(|found| Some((found.name.clone(), found.number?)));
                self.inventory = told.collect();
                let at = |place| found.iter().filter(move |found| found.place == place);
                self.beside = at(Place::Beside).map(|found| found.name.clone()).collect();
                self.vacant = at(Place::Vacant).map(|found| found.name.clone()).collect();
            }
            if let Some(value) = wanted(&event) {
                return value;
            }
            if !matches!(event, RuntimeEvent::Inventory(_)) {
                self.passed.push(event);
            }
        }
        panic!("{what} does not come, but {:?}", self.passed);
    }

    async fn inventory(&mut self) {
        self.until("an inventory", |event| matches!(event, RuntimeEvent::Inventory(_)).then_some(())).await;
    }

    async fn started(&mut self, id: u64) -> (SocketAddr, String) {
        self.until(&format!("the start of {id}"), |event| match event {
            RuntimeEvent::Started { id: started, address, instance } if started.0 == id => {
                Some((*address, instance.clone()))
            }
            _ => None,
        })
        .await
    }

    async fn exited(&mut self, id: u64) -> String {
        self.until(&format!("the end of {id}"), |event| match event {
            RuntimeEvent::Exited { id: ended, reason } if ended.0 == id => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    async fn delayed(&mut self, id: u64) -> String {
        self.until(&format!("what holds up {id}"), |event| match event {
            RuntimeEvent::Delayed { id: delayed, reason } if delayed.0 == id => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until the inventory is this one, in the order of the numbers, and nothing of a deploy.
    async fn has(&mut self, expected: &[(&str, u32)]) {
        self.has_beside(expected, &[]).await;
    }

    /// Waits until these have numbers and no others, all of which are to be served, and these are beside them.
    async fn has_beside(&mut self, holders: &[(&str, u32)], beside: &[&str]) {
        let holders: Vec<_> = holders.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        while self.inventory != holders || self.beside != beside || !self.vacant.is_empty() {
            self.inventory().await;
        }
    }
}

fn launch(id: u64, name: &str, number: u32) -> Launch {
    Launch {
        id: ReplicaId(id),
        name: name.to_owned(),
        number,
        existing: None,
        revision: Arc::default(),
        replaces: None,
    }
}

/// The names of the services there are.
fn services(lab: &Lab) -> Vec<String> {
    let mut names: Vec<_> =
        lab.docker(1, &["service", "ls", "--format", "{{.Name}}"]).lines().map(str::to_owned).collect();
    names.sort();
    names
}

fn service(lab: &Lab, name: &str, format: &str) -> String {
    lab.docker(1, &["service", "inspect", "--format", format, name])
}

fn millis(since: Instant) -> String {
    format!("{} ms", since.elapsed().as_millis())
}
