//! The life of one child process: spawned, reporting, running, stopped, waited for.

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::End;
use super::command::{Prepared, Recipe, address_of};
use super::exit;
use super::group::Group;
use super::output::Lines;
use super::ports::Lease;
use crate::replica::report::Report;
use crate::runtime::{Launch, RuntimeEvent, RuntimeEvents};

/// Time a child has to report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// One replica, not spawned yet.
#[derive(Debug)]
pub(super) struct Child {
    launch: Launch,
    recipe: Arc<Recipe>,
    stop_timeout: Duration,
    events: RuntimeEvents,
}

/// A spawned one. Dropping it kills its process group.
#[derive(Debug)]
struct Running {
    // Fields drop in this order: the group is killed while the child is not waited for yet.
    group: Group,
    child: tokio::process::Child,
    lines: Option<Lines<ChildStdout>>,
    /// Open for as long as the balancer lives; its end is the child's.
    _stdin: Option<ChildStdin>,
    port: Option<Lease>,
}

/// Where a child takes requests, and the process id an operator may look for.
#[derive(Debug)]
struct Located {
    address: SocketAddr,
    pid: u32,
}

impl Child {
    pub(super) fn new(
        launch: Launch,
        recipe: Arc<Recipe>,
        stop_timeout: Duration,
        events: RuntimeEvents,
    ) -> Self {
        Self { launch, recipe, stop_timeout, events }
    }

    /// From spawn to end, with an event for each. Dropping the future kills the child.
    pub(super) async fn live(self, mut end: oneshot::Receiver<End>) {
        let id = self.launch.id;
        let event = match self.run(&mut end).await {
            Ok(reason) => RuntimeEvent::Exited { id, reason },
            Err(reason) => RuntimeEvent::StartFailed { id, reason },
        };
        self.tell(event);
    }

    /// How it ended, or why it could not be started.
    async fn run(&self, end: &mut oneshot::Receiver<End>) -> Result<String, String> {
        let mut running = self.spawn()?;
        match unless_told(running.located(), end).await {
            Ok(Ok(Located { address, pid })) => {
                let instance = format!("pid {pid}");
                self.tell(RuntimeEvent::Started { id: self.launch.id, address, instance });
            }
            Ok(Err(reason)) => {
                running.kill().await;
                return Err(reason);
            }
            Err(how) => return Ok(self.end(&mut running, how).await),
        }
        match unless_told(running.ended(&self.launch.name), end).await {
            Ok(reason) => Ok(reason),
            Err(how) => Ok(self.end(&mut running, how).await),
        }
    }

    async fn end(&self, running: &mut Running, how: End) -> String {
        match how {
            End::Stop => self.stop(running).await,
            End::Kill => running.kill().await,
        }
    }

    /// SIGTERM, then SIGKILL if that does not help in time.
    async fn stop(&self, running: &mut Running) -> String {
        running.group.ask_leader();
        match timeout(self.stop_timeout, running.ended(&self.launch.name)).await {
            Ok(reason) => reason,
            Err(_) => running.kill().await,
        }
    }

    fn spawn(&self) -> Result<Running, String> {
        let Prepared { mut command, port } = self.recipe.prepare(&self.launch).map_err(|error| {
            format!("found no free port on 127.0.0.1: {error}; check the limit of open files")
        })?;
        let child = command.spawn().map_err(|error| {
            let program = self.recipe.program().display();
            format!("cannot run '{program}': {error}; check the file and the limits of processes and files")
        })?;
        Ok(Running::new(child, port, &self.launch.name))
    }

    fn tell(&self, event: RuntimeEvent) {
        // Without a receiver the balancer is ending, and nobody needs to know.
        let _ = self.events.send(event);
    }
}

/// What `future` yields, or how the child is to end if that is told before. A runtime that is gone
/// asks for a stop.
async fn unless_told<T>(future: impl Future<Output = T>, end: &mut oneshot::Receiver<End>) -> Result<T, End> {
    tokio::select! {
        value = future => Ok(value),
        how = end => Err(how.unwrap_or(End::Stop)),
    }
}

impl Running {
    fn new(mut child: tokio::process::Child, port: Option<Lease>, name: &str) -> Self {
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log_errors(name.to_owned(), Lines::new(stderr)));
        }
        Self {
            group: Group::led_by(&child),
            lines: child.stdout.take().map(Lines::new),
            _stdin: child.stdin.take(),
            child,
            port,
        }
    }

    /// Waits for the report.
    async fn located(&mut self) -> Result<Located, String> {
        let report = timeout(REPORT_TIMEOUT, self.report()).await;
        let report = report.map_err(|_| {
            let seconds = REPORT_TIMEOUT.as_secs();
            format!("its process did not report within {seconds} s that it runs; it was killed")
        })?;
        match (report?, &self.port) {
            (Report::Listening(address), None) => {
                Ok(Located { address, pid: self.child.id().unwrap_or_default() })
            }
            (Report::Running(pid), Some(port)) => Ok(Located { address: address_of(port), pid }),
            (Report::Failed(reason), _) => Err(reason),
            (report, _) => Err(format!("its process reported '{report}', which does not fit its command")),
        }
    }

    /// Reads the report. The end of output without one is taken for the end of the child.
    async fn report(&mut self) -> Result<Report, String> {
        let line = match &mut self.lines {
            Some(lines) => lines.next().await,
            None => None,
        };
        match line {
            Some(line) => Report::parse(&line).map_err(|_| {
                format!("its process printed '{}' instead of where it listens", shortened(&line))
            }),
            None => Err(format!("its process ended before it took requests: {}", self.wait().await)),
        }
    }

    /// Waits for the end, logging output meanwhile.
    async fn ended(&mut self, name: &str) -> String {
        while let Some(lines) = &mut self.lines {
            tokio::select! {
                line = lines.next() => match line {
                    Some(line) => tracing::info!(replica = name, line, "replica output"),
                    None => self.lines = None,
                },
                status = self.child.wait() => return self.reaped(status),
            }
        }
        self.wait().await
    }

    /// SIGKILL to the whole group, and the end of it.
    async fn kill(&mut self) -> String {
        self.group.kill();
        self.wait().await
    }

    async fn wait(&mut self) -> String {
        let status = self.child.wait().await;
        self.reaped(status)
    }

    /// The leader is gone; ends what it may have left behind.
    fn reaped(&mut self, status: std::io::Result<ExitStatus>) -> String {
        self.group.kill();
        self.group.forget();
        match status {
            Ok(status) => exit::in_words(status, self.port.is_some()),
            Err(error) => format!("its end could not be observed: {error}"),
        }
    }
}

/// Puts what a child writes to standard error into the log, to its end. Not left to the child:
/// its lines would stand between those of the log, and could look like them.
async fn log_errors(name: String, mut lines: Lines<ChildStderr>) {
    while let Some(line) = lines.next().await {
        tracing::info!(replica = name, line, "replica output");
    }
}

/// Enough of a line for an error message.
fn shortened(line: &str) -> String {
    line.chars().take(80).collect()
}
