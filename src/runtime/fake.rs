//! A runtime for tests: its replicas are tasks that answer heartbeats on a port of the kernel's
//! choice, and do what the test tells them to.

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::AbortHandle;

use super::{Launch, Owner, ReplicaId, Runtime, RuntimeEvent, RuntimeEvents};

/// How one ends that was killed.
const KILLED: &str = "killed by signal 9";

/// What becomes of one start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// It runs and is well.
    Run,
    /// It runs and is not well.
    RunSick,
    /// It cannot be started, for this reason.
    Fail(String),
    /// Nothing is heard of it.
    Hang,
}

/// How a replica answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    /// 200 to everything.
    Well,
    /// 503 to everything.
    Sick,
    /// Nothing.
    Silent,
}

/// The runtime, and at the same time the test's handle on it.
#[derive(Clone, Debug)]
pub struct Fake {
    owner: Owner,
    events: RuntimeEvents,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    scripts: VecDeque<Script>,
    alive: BTreeMap<ReplicaId, Alive>,
    started: Vec<Launch>,
    stopped: Vec<ReplicaId>,
}

#[derive(Debug)]
struct Alive {
    name: String,
    mood: Arc<AtomicU8>,
    /// `None` for one that hangs before it runs.
    task: Option<AbortHandle>,
}

impl Fake {
    /// A runtime, and the events it reports.
    pub fn new(owner: Owner) -> (Self, UnboundedReceiver<RuntimeEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        (Self { owner, events, shared: Arc::default() }, receiver)
    }

    /// What becomes of the next starts, in order; those after them run.
    pub fn next_starts(&self, scripts: impl IntoIterator<Item = Script>) {
        self.lock().scripts.extend(scripts);
    }

    /// Ends the replica called `name`, as `kill -9` would. Returns whether there was one.
    pub fn kill(&self, name: &str) -> bool {
        let Some(id) = self.id_of(name) else { return false };
        self.end(id, KILLED);
        true
    }

    /// Changes how the replica called `name` answers. Returns whether there is one.
    pub fn set_mood(&self, name: &str, mood: Mood) -> bool {
        let shared = self.lock();
        let alive = shared.alive.values().find(|alive| alive.name == name);
        alive.map(|alive| alive.mood.store(mood as u8, Ordering::Relaxed)).is_some()
    }

    /// Names of those that live, in the order they were started.
    pub fn alive(&self) -> Vec<String> {
        self.lock().alive.values().map(|alive| alive.name.clone()).collect()
    }

    /// All that was ever started.
    pub fn started(&self) -> Vec<Launch> {
        self.lock().started.clone()
    }

    /// All that was ever asked to stop.
    pub fn stopped(&self) -> Vec<ReplicaId> {
        self.lock().stopped.clone()
    }

    fn id_of(&self, name: &str) -> Option<ReplicaId> {
        self.lock().alive.iter().find(|(_, alive)| alive.name == name).map(|(&id, _)| id)
    }

    fn end(&self, id: ReplicaId, reason: &str) {
        let Some(alive) = self.lock().alive.remove(&id) else { return };
        if let Some(task) = alive.task {
            task.abort();
        }
        self.report(RuntimeEvent::Exited { id, reason: reason.to_owned() });
    }

    fn run(&self, launch: &Launch, mood: Mood) -> std::io::Result<SocketAddr> {
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let mood = Arc::new(AtomicU8::new(mood as u8));
        let task = tokio::spawn(serve(listener, Arc::clone(&mood)));
        let alive = Alive { name: launch.name.clone(), mood, task: Some(task.abort_handle()) };
        self.lock().alive.insert(launch.id, alive);
        Ok(address)
    }

    fn report(&self, event: RuntimeEvent) {
        // A supervisor that has ended hears nothing more.
        let _ = self.events.send(event);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime for Fake {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn owner(&self) -> Owner {
        self.owner
    }

    fn start(&self, launch: Launch) {
        let id = launch.id;
        let script = {
            let mut shared = self.lock();
            shared.started.push(launch.clone());
            shared.scripts.pop_front().unwrap_or(Script::Run)
        };
        let mood = match script {
            Script::Run => Mood::Well,
            Script::RunSick => Mood::Sick,
            Script::Fail(reason) => return self.report(RuntimeEvent::StartFailed { id, reason }),
            Script::Hang => {
                let alive = Alive { name: launch.name, mood: Arc::default(), task: None };
                self.lock().alive.insert(id, alive);
                return;
            }
        };
        self.report(match self.run(&launch, mood) {
            Ok(address) => RuntimeEvent::Started { id, address, instance: format!("task {id}") },
            Err(error) => RuntimeEvent::StartFailed { id, reason: error.to_string() },
        });
    }

    fn stop(&self, id: ReplicaId) {
        self.lock().stopped.push(id);
        self.end(id, "stopped");
    }

    fn kill(&self, id: ReplicaId) {
        self.end(id, KILLED);
    }
}

async fn serve(listener: TcpListener, mood: Arc<AtomicU8>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, Arc::clone(&mood)));
    }
}

/// One request, one answer. A client that goes away ends it.
async fn answer(mut stream: TcpStream, mood: Arc<AtomicU8>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let mood = mood.load(Ordering::Relaxed);
    if mood == Mood::Silent as u8 {
        // Until the client gives up.
        return stream.read_u8().await.map(drop);
    }
    let status = if mood == Mood::Well as u8 { "200 OK" } else { "503 Service Unavailable" };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await
}
