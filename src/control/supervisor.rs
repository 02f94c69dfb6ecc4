//! Runs a pool: waits for what happens, performs what the pool decides. The single
//! writer of its part of the cluster. Each pool has a supervisor of its own, all on one thread: what one of them
//! does holds up none of the others.
//!
//! Nothing slow happens in its loop: heartbeats are tasks, rings are built on another thread,
//! runtimes answer by events. Events that are there at once are taken in one after the other, and
//! shown and published together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::health::Checker;
use super::observer::Published;
use super::pool::{Action, Event, Pool, RuntimeFacts, Ticket};
use super::request::{Call, Reply};
use super::writer::{Build, Built, Writer};
use super::{Control, ControlConfig, ControlError, Observer, Reach, Request, View};
use crate::cluster::{FailureKind, Outcome, OutcomeReader, Readers, RoutePublisher, cluster};
use crate::ring::BuildError;
use crate::runtime::{ReplicaId, Runtime, RuntimeEvent};

/// Requests that may wait; more are refused as [`ControlError::Busy`].
const CALLS_WAITING: usize = 64;

/// Events that are taken in before what they changed is shown; others may want the thread too.
const MOST_AT_ONCE: usize = 256;

/// How often what requests meet with is looked at in a deploy. A revision that fails all requests fails those of so
/// long before it is taken back.
const JUDGE_POLL: Duration = Duration::from_millis(100);

/// How often replicas that drain are looked at; never while none does.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// The control plane of one pool: a task, run by [`Supervisor::run`].
pub struct Supervisor {
    pool: Pool,
    runtime: Box<dyn Runtime>,
    writer: Writer,
    events: UnboundedReceiver<RuntimeEvent>,
    outcomes: OutcomeReader,
    calls: mpsc::Receiver<Call>,
    /// Every [`Control`] is gone: nobody can request a stop any more, so it stops.
    abandoned: bool,
    replies: HashMap<Ticket, Reply>,
    last_ticket: u64,
    checker: Checker,
    /// The ring that is being built, if one is.
    builds: JoinSet<Result<Built, BuildError>>,
    /// When success rates are compared next.
    compare_at: Instant,
    /// When a deploy is judged next, if one is under way.
    judge_at: Instant,
    /// Whether the pool has asked for a publication that was not looked at yet.
    publication_wanted: bool,
    /// Whether something was published that the view does not show yet.
    published: bool,
    /// Responses that go out when the view shows what was done.
    answers: Vec<(Ticket, Result<(), ControlError>)>,
    view: watch::Sender<Arc<View>>,
    observer: Observer,
}

/// Something that happened outside the pool.
enum Happened {
    Event(Event),
    Call(Option<Call>),
    Outcome(Outcome),
    /// The time has come to compare success rates.
    Window,
    /// The time has come to judge a deploy.
    Judgement,
    Built(Result<Built, BuildError>),
}

/// What the supervisor of a pool is made of.
pub struct PoolParts {
    /// Its configuration.
    pub config: ControlConfig,
    /// What runs its replicas: `config.replicas` of them at the start.
    pub runtime: Box<dyn Runtime>,
    /// What that reports.
    pub events: UnboundedReceiver<RuntimeEvent>,
    /// What requests report of its replicas.
    pub outcomes: OutcomeReader,
    /// Where its replicas are (`host:port`), where they are not ours to start.
    pub endpoints: Vec<String>,
}

/// The supervisors of pools, and what belongs to them.
pub struct Supervisors {
    /// With a handle on each, by the index of the pool.
    pub pools: Vec<(Control, Supervisor)>,
    /// Where the routes to the pools are published. There are none at first.
    pub routes: RoutePublisher,
    /// Where the snapshots that they publish are read.
    pub readers: Readers,
}

/// The supervisors of pools. Nothing is started before they are run.
///
/// # Errors
/// A configuration that cannot be: more replicas than `max_replicas` or than the ring holds, bad
/// endpoints.
pub fn supervisors(parts: Vec<PoolParts>) -> Result<Supervisors, ControlError> {
    let mut begun = Vec::with_capacity(parts.len());
    for PoolParts { config, runtime, events, outcomes, endpoints } in parts {
        let facts = RuntimeFacts {
            kind: runtime.kind(),
            owner: runtime.owner(),
            lists: runtime.lists(),
            prepares: runtime.prepares(),
        };
        let pool = Pool::new(config, facts, endpoints, fastrand::u64(..), now())?;
        let first = Writer::first(&pool.publication())?;
        begun.push((pool, first, runtime, events, outcomes));
    }
    let (publisher, readers) = cluster(begun.iter().map(|(_, first, ..)| first.clone()).collect());
    let (routes, publishers) = publisher.split();
    let pools = std::iter::zip(begun, publishers).map(|(begun, publisher)| {
        let (pool, first, runtime, events, outcomes) = begun;
        let writer = Writer::new(pool.publication(), &first, publisher);
        Supervisor::begin(pool, writer, runtime, events, outcomes)
    });
    Ok(Supervisors { pools: pools.collect(), routes, readers })
}

impl Supervisor {
    fn begin(
        mut pool: Pool,
        mut writer: Writer,
        runtime: Box<dyn Runtime>,
        events: UnboundedReceiver<RuntimeEvent>,
        outcomes: OutcomeReader,
    ) -> (Control, Self) {
        let changed = pool.take_changed().unwrap_or_default();
        let (view, view_reader) = watch::channel(Arc::new(writer.view(&pool, &changed)));
        let (sender, calls) = mpsc::channel(CALLS_WAITING);
        let supervisor = Self {
            pool,
            runtime,
            writer,
            events,
            outcomes,
            calls,
            abandoned: false,
            replies: HashMap::new(),
            last_ticket: 0,
            checker: Checker::default(),
            builds: JoinSet::new(),
            compare_at: now(),
            judge_at: now(),
            publication_wanted: false,
            published: false,
            answers: Vec::new(),
            view,
            observer: Observer::default(),
        };
        (Control::new(sender, view_reader), supervisor)
    }

    /// The same, telling `observer` what happens.
    #[must_use]
    pub fn observed_by(mut self, observer: Observer) -> Self {
        self.observer = observer;
        self
    }

    /// The same, whose heartbeats speak to replicas like this.
    #[must_use]
    pub fn reaching(mut self, reach: Reach) -> Self {
        self.checker.set_reach(reach);
        self
    }

    /// Keeps the cluster as it is wanted until [`Request::Stop`] was answered. When every
    /// [`Control`] is dropped it stops by itself. Has to run on a tokio runtime with I/O and
    /// time. It does not wait for a ring that is being built when the end has come.
    pub async fn run(mut self) {
        self.step(Event::Tick);
        self.settle();
        while !self.pool.is_stopped() {
            let mut next = Some(self.next().await);
            for _ in 0..MOST_AT_ONCE {
                let Some(happened) = next else { break };
                self.take_in(happened);
                next = self.try_next();
            }
            if let Some(happened) = next {
                self.take_in(happened);
            }
            self.settle();
        }
    }

    /// Waits for something to happen.
    async fn next(&mut self) -> Happened {
        if let Some(id) = self.writer.drains.poll() {
            return Happened::Event(Event::Drained(id));
        }
        let deadline = self.pool.next_deadline();
        let draining = !self.writer.drains.is_empty();
        let compares = self.pool.config().outliers.stdev_factor > 0.0;
        tokio::select! {
            call = self.calls.recv(), if !self.abandoned => Happened::Call(call),
            Some(event) = self.events.recv() => Happened::Event(Event::Runtime(event)),
            outcome = self.outcomes.next() => Happened::Outcome(outcome),
            (id, verdict) = self.checker.next() => Happened::Event(Event::Heartbeat(id, verdict)),
            Some(built) = self.builds.join_next() => Happened::Built(finished(built)),
            () = until(deadline) => Happened::Event(Event::Tick),
            () = until(Some(self.compare_at)), if compares => Happened::Window,
            () = until(Some(self.judge_at)), if self.pool.wants_deploy_samples() => Happened::Judgement,
            () = tokio::time::sleep(DRAIN_POLL), if draining => Happened::Event(Event::Tick),
        }
    }

    /// Something that has happened already.
    fn try_next(&mut self) -> Option<Happened> {
        if let Ok(call) = self.calls.try_recv() {
            return Some(Happened::Call(Some(call)));
        }
        if let Ok(event) = self.events.try_recv() {
            return Some(Happened::Event(Event::Runtime(event)));
        }
        if let Some((id, verdict)) = self.checker.try_next() {
            return Some(Happened::Event(Event::Heartbeat(id, verdict)));
        }
        self.builds.try_join_next().map(|built| Happened::Built(finished(built)))
    }

    fn take_in(&mut self, happened: Happened) {
        match happened {
            Happened::Event(event) => self.step(event),
            Happened::Call(call) => self.take_call(call),
            Happened::Outcome(outcome) => {
                if let Some(id) = self.writer.replica_of(outcome.endpoint) {
                    self.take_outcome(id, outcome);
                }
            }
            Happened::Window => {
                let samples = self.writer.samples();
                self.compare_at = now() + self.pool.config().outliers.interval;
                if samples.len() >= self.pool.config().outliers.min_replicas as usize {
                    self.step(Event::SuccessRates(samples));
                }
            }
            Happened::Judgement => {
                self.judge_at = now() + JUDGE_POLL;
                let samples = self.writer.deploy_samples();
                self.step(Event::DeploySamples(samples));
                self.writer.measure(self.pool.wants_deploy_samples());
            }
            Happened::Built(built) => {
                let published = self.writer.built(built, &self.pool);
                self.publication_wanted = true;
                self.tell_published(published);
            }
        }
    }

    /// A failed connection leads to a heartbeat soon. What else failed says nothing of those.
    fn take_outcome(&mut self, id: ReplicaId, outcome: Outcome) {
        let streak = self.writer.take_streak(id);
        let Outcome { kind, is_trial, .. } = outcome;
        if kind.is_some_and(|kind| kind != FailureKind::Status) {
            self.checker.forget(id);
            self.step(Event::RequestFailed(id));
        }
        if is_trial {
            self.step(Event::TrialEnded { id, went_well: kind.is_none() });
        } else if let Some(kind) = kind.filter(|_| streak > 0) {
            self.step(Event::RequestsFailed { id, streak, last: kind.as_words() });
        }
    }

    fn take_call(&mut self, call: Option<Call>) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let request = if let Some(Call { request, reply }) = call {
            self.replies.insert(ticket, reply);
            request
        } else {
            self.abandoned = true;
            Request::Stop
        };
        self.step(Event::Request(ticket, request));
    }

    /// One event through the pool.
    fn step(&mut self, event: Event) {
        self.observer.event(&event);
        if let Event::Runtime(RuntimeEvent::Exited { id, .. } | RuntimeEvent::StartFailed { id, .. }) = &event
        {
            self.checker.forget(*id);
        }
        for action in self.pool.step(event, now()) {
            self.perform(action);
        }
    }

    /// Publishes and shows what has changed, then answers: so who gets an answer sees the change.
    fn settle(&mut self) {
        while std::mem::take(&mut self.publication_wanted) {
            if self.pool.is_stopping() || self.writer.in_force() == self.pool.asked() {
                break;
            }
            let (published, build) = self.writer.update(&self.pool);
            if let Some(build) = build {
                self.builds.spawn_blocking(|| Build::run(build));
            }
            self.tell_published(published);
        }
        let changed = self.pool.take_changed();
        if std::mem::take(&mut self.published) || changed.is_some() {
            let view = self.writer.view(&self.pool, &changed.unwrap_or_default());
            self.view.send_replace(Arc::new(view));
        }
        for (ticket, result) in std::mem::take(&mut self.answers) {
            if let Some(reply) = self.replies.remove(&ticket) {
                // Who asked may have gone; the change stays.
                let _ = reply.send(result.map(|()| Arc::clone(&self.view.borrow())));
            }
        }
    }

    /// A snapshot was published; the pool hears what is in force.
    fn tell_published(&mut self, published: Option<Published>) {
        if let Some(published) = published {
            self.published = true;
            self.observer.published(&published);
        }
        self.step(Event::Published(self.writer.in_force()));
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start(launch) => self.runtime.start(launch),
            Action::Prepare { deploy, revision } => self.runtime.prepare(deploy, revision),
            Action::CancelPreparation => self.runtime.cancel_preparation(),
            Action::Stop(id) => {
                self.writer.drains.forget(id);
                self.checker.forget(id);
                self.runtime.stop(id);
            }
            Action::Kill(id) => self.runtime.kill(id),
            Action::Check(probe) => self.checker.send(probe, &self.pool.config().health),
            Action::Locate(id) => self.runtime.locate(id),
            Action::SetUp(id, up) => self.writer.set_up(id, up, self.pool.config().slow_start),
            Action::SetStanding(id, standing) => {
                self.writer.set_standing(id, standing, self.pool.config().slow_start);
            }
            // Until a ring is built nothing else can be published, and what is wanted may be more by
            // then.
            Action::Publish { heals, .. } => {
                self.publication_wanted |= heals || self.builds.is_empty();
            }
            Action::Drain(id) => {
                self.writer.drain(id, now() + self.pool.config().drain_timeout);
                self.checker.forget(id);
            }
            Action::Retire(id) => self.runtime.retire(id),
            Action::Vacate(id) => self.runtime.vacate(id),
            Action::TakeNumber(id) => self.runtime.take_number(id),
            Action::Forget(id) => {
                self.writer.drains.forget(id);
                self.checker.forget(id);
                self.runtime.forget(id);
            }
            Action::Note(change) => self.observer.change(&change),
            Action::TellDeploy(deploy) => {
                self.writer.measure(!deploy.state.has_ended());
                self.observer.deploy(&deploy);
            }
            Action::Unserved => {
                let pool = self.observer.shown();
                tracing::warn!(
                    pool,
                    "no replica takes requests until the next one of this deploy is ready: the pool has no other \
                     (--deploy-order stop-first)"
                );
            }
            Action::Unready { name, reason } => {
                let pool = self.observer.shown();
                tracing::warn!(pool, replica = name, reason, "replica is not ready");
            }
            Action::EjectionRefused { name, reason, is_news } => {
                self.observer.ejection_refused(&name, &reason, is_news);
            }
            Action::Ignored { name, reason } => {
                let pool = self.observer.shown();
                tracing::warn!(pool, replica = name, reason, "a replica was found and is not taken over");
            }
            Action::Reply(ticket, result) => self.answers.push((ticket, result)),
        }
    }
}

/// A build is never cancelled while it is waited for, so an error is a panic: a defect.
fn finished<T>(ended: Result<T, tokio::task::JoinError>) -> T {
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
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
