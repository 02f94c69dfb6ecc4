//! Replicas as child processes: of our own binary, or of any other program.
//!
//! Each child leads a process group, so that Ctrl-C in the terminal reaches the balancer alone,
//! which then stops its replicas in order. Its standard input is a pipe whose other end only
//! the balancer holds: however the balancer ends, the pipe closes, and the child ends with it.
//!
//! This module keeps the list of children; `command` says what is run and `child` how one
//! of them lives. None of them judges health or decides what is restarted.

mod child;
mod command;
pub(super) mod exit;
mod group;
mod output;
mod ports;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use self::child::Child;
use self::command::Recipe;
use super::{Launch, Owner, ReplicaId, Runtime, RuntimeEvents};

/// How replicas are run as child processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Program and arguments to run instead of `ringherd replica`; `{port}`, `{name}` and
    /// `{number}` in them are replaced. Empty: the built-in replica.
    pub command: Vec<String>,
    /// Time between SIGTERM and SIGKILL.
    pub stop_timeout: Duration,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self { command: Vec::new(), stop_timeout: Duration::from_secs(5) }
    }
}

/// The process runtime. Dropping it kills every child and whatever that has started.
#[derive(Debug)]
pub struct Process {
    recipe: Arc<Recipe>,
    stop_timeout: Duration,
    events: RuntimeEvents,
    children: Children,
}

/// The children there are, shared with their tasks, each of which removes itself at its end.
type Children = Arc<Mutex<HashMap<ReplicaId, Handle>>>;

/// What the runtime holds of one child.
#[derive(Debug)]
struct Handle {
    /// Asks it to end; `None` once used.
    end: Option<oneshot::Sender<End>>,
    /// Ends its task, which kills it; `None` for the moment before the task exists.
    task: Option<AbortHandle>,
}

/// How a child is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// SIGTERM first.
    Stop,
    /// SIGKILL.
    Kill,
}

impl Process {
    /// A runtime without children, which reports to `events`.
    pub fn new(config: ProcessConfig, events: RuntimeEvents) -> Self {
        Self {
            recipe: Arc::new(Recipe::new(config.command)),
            stop_timeout: config.stop_timeout,
            events,
            children: Children::default(),
        }
    }

    /// Runs `program` in place of the binary of the current process, with the same arguments:
    /// for a balancer that is embedded in another program.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.recipe = Arc::new(self.recipe.with_program(program.into()));
        self
    }

    fn end(&self, id: ReplicaId, how: End) {
        let end = lock(&self.children).get_mut(&id).and_then(|handle| handle.end.take());
        if let Some(end) = end {
            // The task may be at its end; then `Exited` is on its way.
            let _ = end.send(how);
        }
    }
}

impl Runtime for Process {
    fn kind(&self) -> &'static str {
        "process"
    }

    fn owner(&self) -> Owner {
        Owner::Balancer
    }

    /// # Panics
    /// Outside of a tokio runtime.
    fn start(&self, launch: Launch) {
        let (end, ended) = oneshot::channel();
        let id = launch.id;
        lock(&self.children).insert(id, Handle { end: Some(end), task: None });
        let child = Child::new(launch, Arc::clone(&self.recipe), self.stop_timeout, self.events.clone());
        let children = Arc::clone(&self.children);
        let task = tokio::spawn(async move {
            child.live(ended).await;
            lock(&children).remove(&id);
        });
        // The task may have ended and removed the entry already.
        if let Some(handle) = lock(&self.children).get_mut(&id) {
            handle.task = Some(task.abort_handle());
        }
    }

    fn stop(&self, id: ReplicaId) {
        self.end(id, End::Stop);
    }

    fn kill(&self, id: ReplicaId) {
        self.end(id, End::Kill);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for task in lock(&self.children).values().filter_map(|handle| handle.task.as_ref()) {
            task.abort();
        }
    }
}

/// Locks the list. Nothing panics while it is held; if something did, the list would still be one.
fn lock(children: &Children) -> MutexGuard<'_, HashMap<ReplicaId, Handle>> {
    children.lock().unwrap_or_else(PoisonError::into_inner)
}
