//! One child process: spawned, waited for until it reports, watched, stopped.

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::StopMode;
use super::command::{CommandTemplate, PreparedCommand, address_of};
use super::group::ProcessGroup;
use super::output::Lines;
use super::ports::PortLease;
use crate::replica::report::Report;
use crate::runtime::{Launch, RuntimeEvent, RuntimeEvents, exit};

/// Time within which a child has to report that it runs.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// A replica whose process has not been spawned yet.
#[derive(Debug)]
pub(super) struct Child {
    launch: Launch,
    template: Arc<CommandTemplate>,
    stop_timeout: Duration,
    events: RuntimeEvents,
}

/// A spawned child. Dropping it kills its process group.
#[derive(Debug)]
struct RunningChild {
    // Fields drop in this order: the group is killed before the child is reaped.
    group: ProcessGroup,
    child: tokio::process::Child,
    lines: Option<Lines<ChildStdout>>,
    /// The child ends when this closes, which it does when the balancer ends.
    _stdin: Option<ChildStdin>,
    port: Option<PortLease>,
}

/// What a child reports: where it takes requests, and its process id.
#[derive(Debug)]
struct Reported {
    address: SocketAddr,
    pid: u32,
}

impl Child {
    pub(super) fn new(
        launch: Launch,
        template: Arc<CommandTemplate>,
        stop_timeout: Duration,
        events: RuntimeEvents,
    ) -> Self {
        Self { launch, template, stop_timeout, events }
    }

    /// Runs the child from spawn to end, and reports both. Dropping the future kills the child.
    pub(super) async fn run(self, mut end: oneshot::Receiver<StopMode>) {
        let id = self.launch.id;
        let event = match self.run_to_end(&mut end).await {
            Ok(reason) => RuntimeEvent::Exited { id, reason },
            Err(reason) => RuntimeEvent::StartFailed { id, reason },
        };
        self.report(event);
    }

    /// Returns how it ended, or why it could not be started.
    async fn run_to_end(&self, end: &mut oneshot::Receiver<StopMode>) -> Result<String, String> {
        let mut running = self.spawn()?;
        match unless_stopped(running.reported(), end).await {
            Ok(Ok(Reported { address, pid })) => {
                let instance = format!("pid {pid}");
                self.report(RuntimeEvent::Started { id: self.launch.id, address, instance });
            }
            Ok(Err(reason)) => {
                running.kill().await;
                return Err(reason);
            }
            Err(how) => return Ok(self.end(&mut running, how).await),
        }
        match unless_stopped(running.ended(&self.launch.name), end).await {
            Ok(reason) => Ok(reason),
            Err(how) => Ok(self.end(&mut running, how).await),
        }
    }

    async fn end(&self, running: &mut RunningChild, how: StopMode) -> String {
        match how {
            StopMode::Stop => self.stop(running).await,
            StopMode::Kill => running.kill().await,
        }
    }

    /// Sends SIGTERM, then SIGKILL if the child has not ended in time.
    async fn stop(&self, running: &mut RunningChild) -> String {
        running.group.terminate_leader();
        match timeout(self.stop_timeout, running.ended(&self.launch.name)).await {
            Ok(reason) => reason,
            Err(_) => running.kill().await,
        }
    }

    fn spawn(&self) -> Result<RunningChild, String> {
        let PreparedCommand { mut command, port } = self.template.prepare(&self.launch).map_err(|error| {
            format!("found no free port on 127.0.0.1: {error}; check the limit of open files")
        })?;
        let child = command.spawn().map_err(|error| {
            let program = self.template.program().display();
            format!("cannot run '{program}': {error}; check the file and the limits of processes and files")
        })?;
        Ok(RunningChild::new(child, port, &self.launch.name))
    }

    fn report(&self, event: RuntimeEvent) {
        // Without a receiver the balancer is ending, and nobody needs to know.
        let _ = self.events.send(event);
    }
}

/// Awaits `future`, or the command to end the child, whichever comes first. A runtime that is gone
/// counts as a stop.
async fn unless_stopped<T>(
    future: impl Future<Output = T>,
    end: &mut oneshot::Receiver<StopMode>,
) -> Result<T, StopMode> {
    tokio::select! {
        value = future => Ok(value),
        how = end => Err(how.unwrap_or(StopMode::Stop)),
    }
}

impl RunningChild {
    fn new(mut child: tokio::process::Child, port: Option<PortLease>, name: &str) -> Self {
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log_errors(name.to_owned(), Lines::new(stderr)));
        }
        Self {
            group: ProcessGroup::led_by(&child),
            lines: child.stdout.take().map(Lines::new),
            _stdin: child.stdin.take(),
            child,
            port,
        }
    }

    /// Waits for the report.
    async fn reported(&mut self) -> Result<Reported, String> {
        let report = timeout(REPORT_TIMEOUT, self.read_report()).await;
        let report = report.map_err(|_| {
            let seconds = REPORT_TIMEOUT.as_secs();
            format!("its process did not report within {seconds} s that it runs; it was killed")
        })?;
        match (report?, &self.port) {
            (Report::Listening(address), None) => {
                Ok(Reported { address, pid: self.child.id().unwrap_or_default() })
            }
            (Report::Running(pid), Some(port)) => Ok(Reported { address: address_of(port), pid }),
            (Report::Failed(reason), _) => Err(reason),
            (report, _) => Err(format!("its process reported '{report}', which does not fit its command")),
        }
    }

    /// Reads the report. If the output ends without one, waits for the child to end.
    async fn read_report(&mut self) -> Result<Report, String> {
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

    /// Waits for the child's end, and logs its output meanwhile.
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

    /// Sends SIGKILL to the whole group, and waits for the child's end.
    async fn kill(&mut self) -> String {
        self.group.kill();
        self.wait().await
    }

    async fn wait(&mut self) -> String {
        let status = self.child.wait().await;
        self.reaped(status)
    }

    /// The child was reaped: kills processes of its group that it left behind, and describes its end.
    fn reaped(&mut self, status: std::io::Result<ExitStatus>) -> String {
        self.group.kill();
        self.group.forget();
        match status {
            Ok(status) => exit::describe(status, self.port.is_some()),
            Err(error) => format!("its end could not be observed: {error}"),
        }
    }
}

/// Logs what a child writes to standard error. The child does not inherit our standard error, because
/// its lines could be mistaken for lines of the log.
async fn log_errors(name: String, mut lines: Lines<ChildStderr>) {
    while let Some(line) = lines.next().await {
        tracing::info!(replica = name, line, "replica output");
    }
}

/// The first 80 characters of a line, for an error message.
fn shortened(line: &str) -> String {
    line.chars().take(80).collect()
}
