//! One child process: spawned, waited for until it reports, watched, stopped.

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::StopMode;
use super::command::{CommandTemplate, PreparedCommand, addresses_of};
use super::group::ProcessGroup;
use super::orphans::{Registration, spawn_own};
use super::output::Lines;
use super::ports::PortLease;
use crate::replica::StopSignal;
use crate::replica::report::Report;
use crate::runtime::output::{Run, Writer};
use crate::runtime::{Launch, RuntimeEvent, RuntimeEvents, exit};

/// Time within which a child has to report that it runs.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time to read the last output of a child that has ended.
const LAST_OUTPUT: Duration = Duration::from_millis(200);

/// A replica whose process has not been spawned yet.
#[derive(Debug)]
pub(super) struct Child {
    launch: Launch,
    template: Arc<CommandTemplate>,
    stop_timeout: Duration,
    events: RuntimeEvents,
    /// It has ended when this is dropped, and with it its output.
    output: Run,
}

/// A spawned child. Dropping it kills its process group.
#[derive(Debug)]
pub(super) struct RunningChild {
    // Fields drop in this order: the group is killed before the child is reaped.
    group: ProcessGroup,
    child: tokio::process::Child,
    _registration: Registration,
    lines: Option<Lines<ChildStdout>>,
    sink: Sink,
    /// Takes what it writes to standard error; ends when nobody can write there any more.
    errors: Option<JoinHandle<()>>,
    /// The child ends when this closes, which it does when the balancer ends.
    _stdin: Option<ChildStdin>,
    port: Option<PortLease>,
}

/// Where the output of a child goes: to the log, and to what is kept of it.
#[derive(Clone, Debug)]
struct Sink {
    name: String,
    kept: Writer,
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
        output: Run,
    ) -> Self {
        Self { launch, template, stop_timeout, events, output }
    }

    /// Runs the child from spawn to end, and reports both. Dropping the future kills the child. Returns
    /// what is left of it if its program has ended and others of the process group have not.
    pub(super) async fn run(&self, mut end: oneshot::Receiver<StopMode>) -> Option<RunningChild> {
        let id = self.launch.id;
        let mut running = match self.spawn() {
            Ok(running) => running,
            Err(reason) => {
                self.report(RuntimeEvent::StartFailed { id, reason });
                return None;
            }
        };
        let origin = CommandTemplate::origin(&self.launch);
        let reason = match unless_stopped(running.reported(&origin), &mut end).await {
            Ok(Ok(Reported { address, pid })) => {
                self.report(RuntimeEvent::Started { id, address, instance: format!("pid {pid}") });
                if let Some(port) = &running.port {
                    // It does not say where it listens, and `localhost` is one or the other.
                    self.report(RuntimeEvent::Located { id, addresses: addresses_of(port).to_vec() });
                }
                match unless_stopped(running.ended(), &mut end).await {
                    Ok(reason) => reason,
                    Err(how) => self.end(&mut running, how).await,
                }
            }
            Ok(Err(reason)) => {
                running.kill().await;
                // So that who is told that it failed can read what it wrote.
                running.last_output().await;
                self.report(RuntimeEvent::StartFailed { id, reason });
                return None;
            }
            Err(how) => self.end(&mut running, how).await,
        };
        self.report(RuntimeEvent::Exited { id, reason });
        if running.group.exists() {
            return Some(running);
        }
        running.last_output().await;
        None
    }

    /// Waits for the end of what [`Child::run`] has left, which was told to by the shim.
    pub(super) async fn clear_up(&self, mut left: RunningChild) {
        self.wait_or_kill(&mut left).await;
        left.last_output().await;
    }

    /// Returns how it ended.
    async fn end(&self, running: &mut RunningChild, how: StopMode) -> String {
        match how {
            StopMode::Stop => {
                running.group.terminate_leader();
                let reason = self.wait_or_kill(running).await;
                running.last_output().await;
                reason
            }
            StopMode::Kill => running.kill().await,
        }
    }

    /// Waits for the end of a child that was told to; sends SIGKILL if that takes too long.
    async fn wait_or_kill(&self, running: &mut RunningChild) -> String {
        if let Ok(reason) = timeout(self.stop_timeout, running.gone()).await {
            return reason;
        }
        let stop_timeout = humantime::format_duration(self.stop_timeout);
        let signal = if running.port.is_some() { self.template.stop_signal() } else { StopSignal::Term };
        tracing::warn!(
            replica = self.launch.name,
            %stop_timeout,
            "killed with SIGKILL: it had not ended in time after {}; if it needs longer, raise --stop-timeout",
            signal.name()
        );
        running.kill().await
    }

    fn spawn(&self) -> Result<RunningChild, String> {
        let PreparedCommand { mut command, port } = self.template.prepare(&self.launch).map_err(|error| {
            format!("found no free port on 127.0.0.1: {error}; check the limit of open files")
        })?;
        let (child, registration) = spawn_own(&mut command).map_err(|error| self.template.explain(&error))?;
        let sink = Sink { name: self.launch.name.clone(), kept: self.output.writer() };
        Ok(RunningChild::new(child, registration, port, sink))
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
    fn new(
        mut child: tokio::process::Child,
        registration: Registration,
        port: Option<PortLease>,
        sink: Sink,
    ) -> Self {
        let log = |stderr| tokio::spawn(take_errors(sink.clone(), Lines::new(stderr)));
        Self {
            group: ProcessGroup::led_by(&child),
            errors: child.stderr.take().map(log),
            lines: child.stdout.take().map(Lines::new),
            sink,
            _stdin: child.stdin.take(),
            child,
            _registration: registration,
            port,
        }
    }

    /// Waits for the report. `origin` says where the command of another program is configured.
    async fn reported(&mut self, origin: &str) -> Result<Reported, String> {
        let report = timeout(REPORT_TIMEOUT, self.read_report()).await;
        let report = report.map_err(|_| {
            let seconds = REPORT_TIMEOUT.as_secs();
            format!("its process did not report within {seconds} s that it runs; it was killed")
        })?;
        match (report?, &self.port) {
            (Report::Listening(address), None) => {
                Ok(Reported { address, pid: self.child.id().unwrap_or_default() })
            }
            (Report::Running(pid), Some(port)) => {
                let [address, _] = addresses_of(port);
                Ok(Reported { address, pid })
            }
            (Report::Failed(reason), None) => Err(reason),
            (Report::Failed(reason), Some(_)) => Err(format!("{reason}; check {origin}")),
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

    /// Waits until the child, or the program of a shim, has ended, and takes its output meanwhile.
    async fn ended(&mut self) -> String {
        loop {
            match self.line_or_end().await {
                Ok(line) => match Report::parse(&line) {
                    Ok(Report::Ended(code)) if self.port.is_some() => return exit::of_shim(code),
                    _ => self.sink.take(&line),
                },
                Err(reason) => return reason,
            }
        }
    }

    /// Waits until the child has ended, and with it its group; takes its output meanwhile.
    async fn gone(&mut self) -> String {
        loop {
            match self.line_or_end().await {
                Ok(line) if self.port.is_none() => self.sink.take(&line),
                Ok(_) => {}
                Err(reason) => return reason,
            }
        }
    }

    /// The next line of output, or how it ended. Cancel-safe.
    async fn line_or_end(&mut self) -> Result<String, String> {
        while let Some(lines) = &mut self.lines {
            tokio::select! {
                line = lines.next() => match line {
                    Some(line) => return Ok(line),
                    None => self.lines = None,
                },
                status = self.child.wait() => return Err(self.reaped(status)),
            }
        }
        Err(self.wait().await)
    }

    /// Waits until its last output is taken. Only a process that it left behind can write for longer.
    async fn last_output(&mut self) {
        if let Some(errors) = self.errors.take() {
            let _ = timeout(LAST_OUTPUT, errors).await;
        }
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

/// Takes what a child writes to standard error. The child does not inherit our standard error, because
/// its lines could be mistaken for lines of the log.
async fn take_errors(sink: Sink, mut lines: Lines<ChildStderr>) {
    while let Some(line) = lines.next().await {
        sink.take(&line);
    }
}

impl Sink {
    fn take(&self, line: &str) {
        tracing::info!(replica = self.name, line, "replica output");
        self.kept.line(line);
    }
}

/// The first 80 characters of a line, for an error message.
fn shortened(line: &str) -> String {
    line.chars().take(80).collect()
}
