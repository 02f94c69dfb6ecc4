//! What tasks write. The nodes keep it, and a manager reads it from them when somebody asks; the last lines of a task
//! that has ended are kept here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use super::observed::ObservedState;
use crate::runtime::engine::{EngineLogs, Host, logs};
use crate::runtime::output::{LogSource, MAX_LINES, Outputs, Run};

/// Of how many tasks at a time it is asked what they wrote and why they ended.
pub(super) const AT_A_TIME: usize = 16;

/// How long the removal of services may wait for what their tasks wrote. Meanwhile nothing else is done, and others
/// take a balancer for dead that does nothing for a minute.
const KEEP_ALL_LIMIT: Duration = Duration::from_secs(10);

/// The output of the tasks of a pool.
#[derive(Debug)]
pub(super) struct TaskOutputs {
    outputs: Outputs,
    host: Host,
    source: Arc<dyn LogSource>,
    /// The id of its service and the output of each task, by its id.
    runs: HashMap<String, (String, Run)>,
}

impl TaskOutputs {
    /// Those that the manager at `host` knows.
    pub(super) fn new(outputs: Outputs, host: Host) -> Self {
        let source = Arc::new(EngineLogs::new(host.clone()));
        Self { outputs, host, source, runs: HashMap::new() }
    }

    /// The output of this task is that of a replica, unless that is known.
    pub(super) fn begin(&mut self, replica: &str, service: &str, task: &str) {
        if !self.runs.contains_key(task) {
            let run = self.outputs.begin_at(replica, Arc::clone(&self.source), &path_of(task));
            self.runs.insert(task.to_owned(), (service.to_owned(), run));
        }
    }

    /// These tasks are there. The output of one begins when it runs, and ends when it is gone.
    pub(super) fn follow(&mut self, observed: &ObservedState) {
        let there: HashSet<_> = observed.tasks.iter().map(|task| task.id.as_str()).collect();
        self.runs.retain(|task, _| there.contains(task.as_str()));
        for task in observed.tasks.iter().filter(|task| task.runs()) {
            if let Some(service) = observed.service(&task.service) {
                self.begin(&service.replica, &service.id, &task.id);
            }
        }
    }

    /// Keeps the last lines of a task that has ended. Returns the last one, shortened, if there is any.
    pub(super) async fn keep(&self, task: &str) -> Option<String> {
        let (_, run) = self.runs.get(task)?;
        self.keep_of(run).await
    }

    async fn keep_of(&self, run: &Run) -> Option<String> {
        let last = run.last_lines()?;
        let tail = logs::tail(&self.host, last.key(), MAX_LINES);
        let lines = tail.await.ok()?;
        last.keep(lines.iter().map(|line| &**line));
        logs::last_words(&lines)
    }

    /// Keeps the last lines of the tasks of services that are about to be deleted, of several at a time, as far as there
    /// is time: a node may not answer.
    pub(super) async fn keep_all(&self, services: &[String]) {
        let runs = self.runs.values().filter(|(service, _)| services.contains(service));
        let kept: Vec<_> = runs.map(|(_, run)| self.keep_of(run)).collect();
        let kept = stream::iter(kept).buffer_unordered(AT_A_TIME).for_each(|_| std::future::ready(()));
        let _ = tokio::time::timeout(KEEP_ALL_LIMIT, kept).await;
    }
}

/// The path of a task at the engine.
fn path_of(task: &str) -> String {
    format!("tasks/{task}")
}
