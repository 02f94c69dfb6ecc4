//! The shell around the pool: waits for what happens, performs what the pool decides. The single
//! writer of the cluster.
//!
//! Nothing slow is awaited in its loop: heartbeats are tasks, runtimes answer by events.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::command::{Command, Reply};
use super::health::{self, Bad};
use super::pool::{Action, Event, Pool, Probe, RuntimeFacts, Ticket};
use super::writer::Writer;
use super::{Control, ControlConfig, ControlError, Observer, View};
use crate::cluster::{OutcomeReader, Readers};
use crate::runtime::{Runtime, RuntimeEvent};

/// Commands that may wait; more are refused as [`ControlError::Busy`].
const COMMANDS_WAITING: usize = 64;

/// How often replicas that drain are looked at; never while none does.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// The control plane: one task, run by [`Supervisor::run`].
pub struct Supervisor {
    pool: Pool,
    runtime: Box<dyn Runtime>,
    writer: Writer,
    events: UnboundedReceiver<RuntimeEvent>,
    outcomes: OutcomeReader,
    commands: mpsc::Receiver<Command>,
    /// Every [`Control`] is gone: nobody can ask for the end any more, so it has come.
    abandoned: bool,
    replies: HashMap<Ticket, Reply>,
    last_ticket: u64,
    /// Heartbeats under way. Dropping it ends them.
    checks: JoinSet<Event>,
    view: watch::Sender<Arc<View>>,
    observer: Observer,
}

/// A supervisor of `config.replicas` replicas of `runtime`, which reports on `events`; where
/// replicas are not ours to start, of those at `endpoints` (`host:port`). Starts nothing before
/// it is run.
///
/// # Errors
/// A configuration that cannot be: more replicas than `max_replicas` or than the ring holds, bad
/// endpoints.
pub fn supervisor(
    config: ControlConfig,
    runtime: Box<dyn Runtime>,
    events: UnboundedReceiver<RuntimeEvent>,
    outcomes: OutcomeReader,
    endpoints: Vec<String>,
) -> Result<(Control, Readers, Supervisor), ControlError> {
    let facts = RuntimeFacts { kind: runtime.kind(), owner: runtime.owner(), lists: runtime.lists() };
    let pool = Pool::new(config, facts, endpoints, fastrand::u64(..), now())?;
    let (writer, readers) = Writer::new(pool.publication())?;
    let (view, view_reader) = watch::channel(Arc::new(writer.view(&pool)));
    let (sender, commands) = mpsc::channel(COMMANDS_WAITING);
    let supervisor = Supervisor {
        pool,
        runtime,
        writer,
        events,
        outcomes,
        commands,
        abandoned: false,
        replies: HashMap::new(),
        last_ticket: 0,
        checks: JoinSet::new(),
        view,
        observer: Observer::default(),
    };
    Ok((Control::new(sender, view_reader), readers, supervisor))
}

impl Supervisor {
    /// The same, telling `observer` what happens.
    #[must_use]
    pub fn observed_by(mut self, observer: Observer) -> Self {
        self.observer = observer;
        self
    }

    /// Keeps the cluster as it is wanted until [`Control::stop`] was answered. When every
    /// [`Control`] is dropped it stops by itself. Has to run on a tokio runtime with I/O and
    /// time.
    pub async fn run(mut self) {
        self.step(Event::Tick);
        while !self.pool.is_stopped() {
            let event = self.next_event().await;
            self.step(event);
        }
    }

    async fn next_event(&mut self) -> Event {
        if let Some(id) = self.writer.drains.poll() {
            return Event::Drained(id);
        }
        let deadline = self.pool.next_deadline();
        let draining = !self.writer.drains.is_empty();
        tokio::select! {
            command = self.commands.recv(), if !self.abandoned => self.event_of(command),
            Some(event) = self.events.recv() => Event::Runtime(event),
            outcome = self.outcomes.next() => Event::RequestFailed(crate::runtime::ReplicaId(outcome.endpoint)),
            // None is ever cancelled, so an error is a panic: a defect, which must not leave a
            // replica without heartbeats for good.
            Some(answered) = self.checks.join_next() => answered.unwrap_or_else(|error| {
                std::panic::resume_unwind(error.into_panic())
            }),
            () = until(deadline) => Event::Tick,
            () = tokio::time::sleep(DRAIN_POLL), if draining => Event::Tick,
        }
    }

    fn event_of(&mut self, command: Option<Command>) -> Event {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let (event, reply) = match command {
            Some(Command::Add(add, reply)) => (Event::Add(ticket, add), reply),
            Some(Command::Remove(remove, reply)) => (Event::Remove(ticket, remove), reply),
            Some(Command::ChangeRing(change, reply)) => (Event::ChangeRing(ticket, change), reply),
            Some(Command::SetWeight(name, weight, reply)) => (Event::SetWeight(ticket, name, weight), reply),
            Some(Command::Kill(name, reply)) => (Event::Kill(ticket, name), reply),
            Some(Command::Reload(config, reply)) => (Event::Reload(ticket, config), reply),
            Some(Command::PrepareStop) => return Event::PrepareStop,
            Some(Command::Stop(reply)) => (Event::Stop(ticket), reply),
            None => {
                self.abandoned = true;
                return Event::Stop(ticket);
            }
        };
        self.replies.insert(ticket, reply);
        event
    }

    /// One event through the pool. Answers go out last, when the view shows what was done.
    fn step(&mut self, event: Event) {
        self.observer.event(&event);
        let mut answers = Vec::new();
        for action in self.pool.step(event, now()) {
            match action {
                Action::Reply(ticket, result) => answers.push((ticket, result)),
                other => self.perform(other),
            }
        }
        if self.pool.take_changed() {
            let view = self.writer.view(&self.pool);
            self.view.send_replace(Arc::new(view));
        }
        for (ticket, result) in answers {
            self.answer(ticket, result);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start(launch) => self.runtime.start(launch),
            Action::Stop(id) => {
                self.writer.drains.forget(id);
                self.runtime.stop(id);
            }
            Action::Kill(id) => self.runtime.kill(id),
            Action::Check(probe) => self.check(probe),
            Action::SetUp(id, up) => self.writer.set_up(id, up),
            Action::Publish(publication) => {
                if let Some(published) = self.writer.publish(publication) {
                    self.observer.published(&published);
                }
            }
            Action::Drain(id) => {
                self.writer.drain(id);
                self.runtime.retire(id);
            }
            Action::Note(change) => self.observer.change(&change),
            Action::Ignored { name, reason } => {
                tracing::warn!(replica = name, reason, "a replica was found and is not taken over");
            }
            Action::Reply(ticket, result) => self.answer(ticket, result),
        }
    }

    fn check(&mut self, Probe { id, address, host }: Probe) {
        let path = self.pool.config().health.path.clone();
        let timeout = self.pool.config().health.timeout;
        self.checks.spawn(async move {
            match health::check(address, &host, &path, timeout).await {
                Ok(()) => Event::HeartbeatGood(id),
                Err(Bad::Replica(reason)) => Event::HeartbeatBad { id, reason },
                Err(Bad::Machine(reason)) => {
                    tracing::warn!(%address, reason, "a heartbeat could not be sent");
                    Event::HeartbeatUnsent { id, reason }
                }
            }
        });
    }

    fn answer(&mut self, ticket: Ticket, result: Result<(), ControlError>) {
        if let Some(reply) = self.replies.remove(&ticket) {
            // Who asked may have gone; the change stays.
            let _ = reply.send(result.map(|()| Arc::clone(&self.view.borrow())));
        }
    }
}

fn now() -> Instant {
    // Not `Instant::now`: this one stands still with the clock of a test.
    tokio::time::Instant::now().into_std()
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
