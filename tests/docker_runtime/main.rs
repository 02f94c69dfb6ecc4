//! The Docker runtime against a real engine.

#[path = "../engine/mod.rs"]
mod engine;
#[path = "../processes/mod.rs"]
mod processes;

mod adoption;
mod conflicts;
mod discovered;
mod errors;
mod lifecycle;
mod names;
mod ordinary;
mod outage;
mod output;
mod prepare;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::{Pool, docker, gate::Gate, image, socket};
use processes::{bounded, get};
use ringherd::runtime::docker::{self, DockerConfig};
use ringherd::runtime::engine::{Host, Spec};
use ringherd::runtime::output::Outputs;
use ringherd::runtime::{Found, Launch, ReplicaId, Runtime, RuntimeEvent, RuntimeHandle};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A runtime and its events.
struct Bench {
    runtime: RuntimeHandle,
    outputs: Outputs,
    events: UnboundedReceiver<RuntimeEvent>,
}

/// How replicas of a test are made.
fn config(pool: &Pool) -> DockerConfig {
    let spec = Spec {
        host: Host::Unix(socket()),
        pool: pool.name.clone(),
        image: Some(image().to_owned()),
        stop_timeout: Duration::from_secs(5),
        ..Spec::default()
    };
    DockerConfig { spec, instance: "here:1".to_owned(), discover: None }
}

/// What its containers are labelled with.
fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    format!("here:1@{}", host.trim())
}

/// The same behind a gate.
fn gated(pool: &Pool, gate: &Gate) -> DockerConfig {
    let mut config = config(pool);
    config.spec.host = Host::Unix(gate.path().to_owned());
    config
}

fn launch(id: u64, name: &str, existing: Option<&str>) -> Launch {
    let existing = existing.map(str::to_owned);
    Launch {
        id: ReplicaId(id),
        name: name.to_owned(),
        number: id as u32,
        existing,
        revision: std::sync::Arc::default(),
        replaces: None,
    }
}

impl Bench {
    fn new(config: DockerConfig) -> Self {
        let (sender, events) = unbounded_channel();
        let outputs = Outputs::default();
        Self { runtime: docker::start(config, sender, outputs.clone()), outputs, events }
    }

    /// One that has found the engine, and what it found.
    async fn ready(config: DockerConfig) -> (Self, Vec<Found>) {
        let mut bench = Self::new(config);
        let found = bench.inventory().await;
        (bench, found)
    }

    async fn next(&mut self) -> RuntimeEvent {
        bounded(self.events.recv()).await.expect("the runtime holds a sender")
    }

    async fn inventory(&mut self) -> Vec<Found> {
        match self.next().await {
            RuntimeEvent::Inventory(found) => found,
            other => panic!("no inventory: {other:?}"),
        }
    }

    async fn started(&mut self, id: u64) -> SocketAddr {
        match self.next().await {
            RuntimeEvent::Started { id: ReplicaId(started), address, instance } if started == id => {
                assert!(instance.starts_with("container "), "{instance}");
                address
            }
            other => panic!("not started: {other:?}"),
        }
    }

    async fn start_failed(&mut self, id: u64) -> String {
        match self.next().await {
            RuntimeEvent::StartFailed { id: ReplicaId(failed), reason } if failed == id => reason,
            other => panic!("not failed: {other:?}"),
        }
    }

    async fn ending(&mut self, id: u64) -> String {
        match self.next().await {
            RuntimeEvent::Ending { id: ReplicaId(ending), reason } if ending == id => reason,
            other => panic!("not ending: {other:?}"),
        }
    }

    async fn exited(&mut self, id: u64) -> String {
        match self.next().await {
            RuntimeEvent::Exited { id: ReplicaId(exited), reason } if exited == id => reason,
            other => panic!("not exited: {other:?}"),
        }
    }

    async fn unavailable(&mut self) -> String {
        match self.next().await {
            RuntimeEvent::Unavailable { reason } => reason,
            other => panic!("not unavailable: {other:?}"),
        }
    }

    /// Starts one and waits until it answers.
    async fn up(&mut self, id: u64, name: &str) -> SocketAddr {
        self.runtime.start(launch(id, name, None));
        let address = self.started(id).await;
        home(address).await;
        address
    }
}

/// Asks until the replica listens: a container is started before its program is.
async fn home(address: SocketAddr) -> String {
    let answer = async {
        loop {
            match get(address, "/home").await {
                Ok(answer) => return answer,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    bounded(answer).await
}

/// Waits until the gate has refused so many requests with this text in their first lines.
async fn until_refused(gate: &Gate, text: &str, count: usize) {
    let refused = async {
        while gate.refused(text) < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    bounded(refused).await;
}

/// Waits until a filter of `docker ps -a` matches this many containers.
async fn until_count(filter: &str, count: usize) {
    until_listed(&["ps", "-aq", "--filter", filter], count).await;
}

/// Waits until a filter of `docker ps` matches this many containers.
async fn until_running(filter: &str, count: usize) {
    until_listed(&["ps", "-q", "--filter", filter], count).await;
}

async fn until_listed(args: &[&str], count: usize) {
    let counted = async {
        while docker(args).await.split_whitespace().count() != count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    bounded(counted).await;
}
