//! Replicas as child processes: of our own binary, or of any other program.
//!
//! Each child leads a process group, so that Ctrl-C in the terminal reaches only the balancer, which
//! then stops its replicas in order. The child's standard input is a pipe whose other end only the
//! balancer has: however the balancer ends, the pipe closes, and the child ends with it.
//!
//! This module has the list of children; `command` makes the command of one, and `child` runs it.
//! Nothing here judges health or decides what is restarted.

mod child;
mod command;
mod group;
mod orphans;
mod output;
mod ports;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

pub use self::orphans::reap_orphans;

use self::child::Child;
use self::command::CommandTemplate;
use super::output::Outputs;
use super::{Launch, Owner, ReplicaId, Runtime, RuntimeEvents};
use crate::replica::StopSignal;

/// How replicas are run as child processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Program and arguments, with `{port}`, `{name}` and `{number}` replaced; empty for the built-in
    /// replica.
    pub command: Vec<String>,
    /// More of its environment, as `KEY=VALUE`.
    pub env: Vec<String>,
    /// Folder that it runs in; `None` for that of this process.
    pub dir: Option<PathBuf>,
    /// What tells a program to end; the built-in replica gets SIGTERM.
    pub stop_signal: StopSignal,
    /// Time between that signal and SIGKILL when a replica is stopped.
    pub stop_timeout: Duration,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            env: Vec::new(),
            dir: None,
            stop_signal: StopSignal::default(),
            stop_timeout: Duration::from_secs(5),
        }
    }
}

/// The process runtime. Dropping it kills the process groups of all children.
#[derive(Debug)]
pub struct Process {
    template: Arc<CommandTemplate>,
    stop_timeout: Duration,
    events: RuntimeEvents,
    outputs: Outputs,
    children: Children,
    tasks: TaskTracker,
}

/// The children, shared with their tasks: each task removes its entry when it ends.
type Children = Arc<Mutex<HashMap<ReplicaId, ChildHandle>>>;

/// The runtime's handle of one child.
#[derive(Debug)]
struct ChildHandle {
    /// Tells the child to end; `None` once it has been told.
    end: Option<oneshot::Sender<StopMode>>,
    /// The task of the child, whose end kills the child; `None` for the moment before it is spawned.
    task: Option<AbortHandle>,
}

/// How a child is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopMode {
    /// The stop signal, then SIGKILL.
    Stop,
    /// SIGKILL at once.
    Kill,
}

impl Process {
    /// A runtime without children, which reports to `events`.
    pub fn new(config: ProcessConfig, events: RuntimeEvents) -> Self {
        Self {
            stop_timeout: config.stop_timeout,
            template: Arc::new(CommandTemplate::new(config)),
            events,
            outputs: Outputs::default(),
            children: Children::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// The tasks of the children. Some may outlast `Exited`: where a program has ended and others of its
    /// process group have not, those are being ended.
    pub fn tasks(&self) -> TaskTracker {
        self.tasks.clone()
    }

    /// What the children write.
    pub fn outputs(&self) -> Outputs {
        self.outputs.clone()
    }

    /// Runs `program` in place of the binary of the current process, with the same arguments:
    /// for a balancer that is embedded in another program.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.template = Arc::new(self.template.with_program(program.into()));
        self
    }

    fn end(&self, id: ReplicaId, how: StopMode) {
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
        lock(&self.children).insert(id, ChildHandle { end: Some(end), task: None });
        let output = self.outputs.begin(&launch.name);
        let template = Arc::clone(&self.template);
        let child = Child::new(launch, template, self.stop_timeout, self.events.clone(), output);
        let children = Arc::clone(&self.children);
        let task = self.tasks.spawn(async move {
            let left = child.run(ended).await;
            // From here on the end of the runtime does not end it.
            lock(&children).remove(&id);
            if let Some(left) = left {
                child.clear_up(left).await;
            }
        });
        // The task may have ended and removed the entry already.
        if let Some(handle) = lock(&self.children).get_mut(&id) {
            handle.task = Some(task.abort_handle());
        }
    }

    fn stop(&self, id: ReplicaId) {
        self.end(id, StopMode::Stop);
    }

    fn kill(&self, id: ReplicaId) {
        self.end(id, StopMode::Kill);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for task in lock(&self.children).values().filter_map(|handle| handle.task.as_ref()) {
            task.abort();
        }
    }
}

/// Locks the list. If a thread panicked with the lock, the list would still be consistent.
fn lock(children: &Children) -> MutexGuard<'_, HashMap<ReplicaId, ChildHandle>> {
    children.lock().unwrap_or_else(PoisonError::into_inner)
}
