//! The loop of the runtime: observes the Swarm, reconciles, reports to the pool and performs the
//! operations, one after the other. Decides only when the next round is due.

use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::client::{CreateOutcome, SwarmClient, UpdateOutcome};
use super::events;
use super::output::{self, TaskOutputs};
use super::reconciler::{Exit, Operation, Plan, Reconciler};
use super::refusals::Refusals;
use crate::runtime::engine::{CallError, Spec};
use crate::runtime::handle::RuntimeCommand;
use crate::runtime::output::Outputs;
use crate::runtime::{Launch, ReplicaId, RuntimeEvent, RuntimeEvents};

/// Time between rounds while nothing changes. Events cannot replace rounds: managers send none about
/// tasks on other nodes.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time between rounds while a change is under way.
const SHORT_INTERVAL: Duration = Duration::from_millis(250);

/// Least time between two rounds that are caused by events.
const EVENT_INTERVAL: Duration = Duration::from_millis(50);

/// How long rounds stay at [`SHORT_INTERVAL`] after the last change: a task that cannot be placed may
/// wait for days.
const CONVERGENCE_LIMIT: Duration = Duration::from_secs(30);

/// First and longest wait while the engine is unavailable; the wait doubles in between.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Limit of passes in one round. What is left then is for the next round.
const PASSES: u32 = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Actor {
    spec: Spec,
    events: RuntimeEvents,
    reconciler: Reconciler,
    refusals: Refusals,
    outputs: TaskOutputs,
    /// The wait before the next round while the engine is unavailable.
    unavailable: Option<Duration>,
    /// When something last changed.
    changed_at: Instant,
    /// When the last event came.
    event_at: Option<Instant>,
}

impl Actor {
    pub(super) fn new(spec: Spec, events: RuntimeEvents, outputs: Outputs) -> Self {
        let reconciler = Reconciler::new(spec.port, spec.stop_timeout);
        let outputs = TaskOutputs::new(outputs, spec.host.clone());
        let (refusals, changed_at) = (Refusals::default(), Instant::now());
        Self { spec, events, reconciler, refusals, outputs, unavailable: None, changed_at, event_at: None }
    }

    /// Runs until the runtime is dropped.
    pub(super) async fn run(mut self, mut commands: UnboundedReceiver<RuntimeCommand>) {
        let mut client = match SwarmClient::new(self.spec.clone()) {
            Ok(client) => client,
            // The configuration checks the address, but by other rules than the library.
            Err(error) => return self.report(RuntimeEvent::Unavailable { reason: error.to_string() }),
        };
        let (send, mut changes) = mpsc::channel(1);
        let watcher = events::watch(client.engine().clone(), self.spec.pool.clone(), send);
        let _watcher = AbortOnDropHandle::new(tokio::spawn(watcher));
        let (mut next, mut last) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                command = commands.recv() => {
                    let Some(command) = command else { return };
                    self.handle(command);
                    while let Ok(command) = commands.try_recv() {
                        self.handle(command);
                    }
                    // The backoff holds for commands as well.
                    if self.unavailable.is_none() {
                        next = Instant::now();
                    }
                }
                Some(()) = changes.recv(), if self.unavailable.is_none() => {
                    self.event_at = Some(Instant::now());
                    next = next.min(last + EVENT_INTERVAL);
                }
                () = sleep_until(next) => {
                    self.round(&mut client).await;
                    last = Instant::now();
                    next = last + self.interval();
                }
            }
        }
    }

    fn handle(&mut self, command: RuntimeCommand) {
        self.changed_at = Instant::now();
        let now = self.changed_at.into_std();
        match command {
            RuntimeCommand::Start(launch) => {
                self.reconciler.start(launch, format!("{:016x}", fastrand::u64(..)));
            }
            // The pool kills only replicas that the balancer itself keeps alive, and prepares nothing for others.
            RuntimeCommand::Kill(_) | RuntimeCommand::Prepare(..) | RuntimeCommand::CancelPreparation => {}
            RuntimeCommand::TakeNumber(id) => self.reconciler.take_number(id),
            RuntimeCommand::Vacate(id) => self.reconciler.vacate(id),
            RuntimeCommand::Forget(id) => self.reconciler.forget(id),
            RuntimeCommand::Retire(id) => self.reconciler.retire(id, now),
            RuntimeCommand::Stop(id) => {
                if let Some(event) = self.reconciler.stop(id, now) {
                    self.report(event);
                }
            }
        }
    }

    /// The time until the next round.
    fn interval(&self) -> Duration {
        let converging = self.reconciler.is_converging() && self.changed_at.elapsed() < CONVERGENCE_LIMIT;
        // The end of a container is known before that of its task.
        let had_event = self.event_at.is_some_and(|at| at.elapsed() < INTERVAL);
        match self.unavailable.or(self.refusals.wait()) {
            Some(wait) => wait,
            None if converging || had_event => SHORT_INTERVAL,
            None => INTERVAL,
        }
    }

    /// Makes passes until nothing is left that can be done.
    async fn round(&mut self, client: &mut SwarmClient) {
        match self.passes(client).await {
            Ok(()) => {
                if self.unavailable.take().is_some() {
                    self.report(RuntimeEvent::Available);
                }
            }
            Err(error) => {
                if let Some(wait) = &mut self.unavailable {
                    *wait = (*wait * 2).min(BACKOFF.1);
                    return;
                }
                self.unavailable = Some(BACKOFF.0);
                self.reconciler.interrupted();
                self.report(RuntimeEvent::Unavailable { reason: advice(&error, &self.spec) });
            }
        }
    }

    async fn passes(&mut self, client: &mut SwarmClient) -> Result<(), CallError> {
        for _ in 0..PASSES {
            let observed = client.observe(&self.reconciler.pending()).await?;
            let Plan { events, exits, operations } =
                self.reconciler.reconcile(&observed, Instant::now().into_std());
            // What holds up a replica may do so for days.
            let is_news = |event: &RuntimeEvent| !matches!(event, RuntimeEvent::Delayed { .. });
            let (mut changed, mut refused) = (events.iter().any(is_news) || !exits.is_empty(), false);
            let done = exits.is_empty() && operations.is_empty();
            for event in events {
                self.report(event);
            }
            self.report_exits(exits, client).await?;
            let to_delete = operations.iter().filter_map(Operation::deletes);
            let mut outputs_of: Vec<_> = to_delete.map(str::to_owned).collect();
            for operation in operations {
                if operation.deletes().is_some() {
                    // For all, before the first.
                    self.outputs.keep_all(&std::mem::take(&mut outputs_of)).await;
                }
                let accepted = self.perform(operation, client).await?;
                changed |= accepted;
                refused |= !accepted;
            }
            // After the operations, which may want the last lines of what is gone.
            self.outputs.follow(&observed);
            if changed {
                self.changed_at = Instant::now();
            }
            self.refusals.passed(refused);
            if done || refused {
                break;
            }
        }
        Ok(())
    }

    /// Finds out why tasks ended and what they wrote last, of several at a time, and reports it: a node may have had
    /// many.
    async fn report_exits(&mut self, exits: Vec<Exit>, client: &SwarmClient) -> Result<(), CallError> {
        // Nobody may have seen them run.
        for Exit { name, service, task, .. } in &exits {
            self.outputs.begin(name, service, task);
        }
        let outputs = &self.outputs;
        let explain = |Exit { id, task, .. }: Exit| async move {
            let (reason, is_kept) = client.exit_reason(&task).await?;
            let line = if is_kept { outputs.keep(&task).await } else { None };
            let line =
                line.map_or_else(String::new, |line| format!("; the last line of its log is '{line}'"));
            Ok::<_, CallError>((id, format!("{reason}{line}")))
        };
        let mut explained = pin!(stream::iter(exits).map(explain).buffer_unordered(output::AT_A_TIME));
        while let Some((id, reason)) = explained.try_next().await? {
            self.reconciler.exit_reported(id);
            self.report(RuntimeEvent::Exited { id, reason });
        }
        Ok(())
    }

    /// Performs an operation. `false` if it was refused; the next pass yields it again.
    async fn perform(&mut self, operation: Operation, client: &mut SwarmClient) -> Result<bool, CallError> {
        match operation {
            Operation::Create { launch, token, beside } => self.create(launch, &token, beside, client).await,
            Operation::SetNumber { service, version, number } => {
                let set = client.set_number(&service, version, number).await;
                let accepted = self.accepted(&service, "given another number", set)?;
                if accepted {
                    tracing::info!(service, number, "two replicas had one number; this one has a new one");
                }
                Ok(accepted)
            }
            Operation::SetPlace { service, version, claim } => {
                let set = client.set_place(&service, version, claim.as_ref()).await;
                let accepted = self.accepted(&service, "marked for a deploy", set)?;
                if accepted {
                    tracing::debug!(service, ?claim, "a service has another place, or keeps it");
                    self.reconciler.place_written(&service, Instant::now().into_std());
                }
                Ok(accepted)
            }
            Operation::Update { service, waits: true, .. } if client.is_ending(&service).await? => Ok(false),
            Operation::Update { service, version, launch, token, .. } => {
                let updated = match client.update(&service, version, &launch, &token).await {
                    Ok(UpdateOutcome::Updated) => Ok(()),
                    Ok(UpdateOutcome::Refused(reason)) => return Ok(self.start_failed(launch.id, reason)),
                    Err(error) => Err(error),
                };
                self.accepted(&service, "changed to another revision", updated)
            }
            Operation::MarkAbandoned { service, version } => {
                let marked = client.mark_version(&service, version).await;
                let accepted = self.accepted(&service, "marked as being removed", marked)?;
                if accepted {
                    tracing::warn!(service, "the balancer that made it for a deploy is gone; it is removed");
                }
                Ok(accepted)
            }
            Operation::Mark { service } => {
                let marked = client.mark(&service).await;
                let accepted = self.accepted(&service, "marked as being removed", marked)?;
                if accepted {
                    self.reconciler.marked(&service, Instant::now().into_std());
                }
                Ok(accepted)
            }
            Operation::Delete { service } => {
                let deleted = client.delete(&service).await;
                let accepted = self.accepted(&service, "deleted", deleted)?;
                if accepted {
                    self.reconciler.deleted(&service, Instant::now().into_std());
                }
                Ok(accepted)
            }
        }
    }

    /// Creates a service.
    async fn create(
        &mut self,
        launch: Launch,
        token: &str,
        beside: Option<String>,
        client: &mut SwarmClient,
    ) -> Result<bool, CallError> {
        self.reconciler.create_requested(launch.id);
        let reason = match client.create(&launch, token, beside).await? {
            CreateOutcome::Created => return Ok(true),
            CreateOutcome::NameTaken => {
                let observed = client.observe(&[]).await?;
                // Either by this launch, if the response to an earlier request was lost; or by
                // a service that is being removed. The next pass handles both.
                let own = observed.with_token(token).is_some();
                if own || self.reconciler.is_being_removed(&observed, &launch.name) {
                    return Ok(true);
                }
                let name = client.service_name(&launch.name);
                format!("service {name} exists already: another balancer has made it")
            }
            CreateOutcome::Refused(reason) => reason,
        };
        Ok(self.start_failed(launch.id, reason))
    }

    /// A replica cannot be started. Nothing is left to do, so this counts as done.
    fn start_failed(&mut self, id: ReplicaId, reason: String) -> bool {
        self.reconciler.start_refused(id);
        self.report(RuntimeEvent::StartFailed { id, reason });
        true
    }

    /// Whether a change of a service was accepted. A refusal is logged once.
    fn accepted(
        &mut self,
        service: &str,
        what: &str,
        result: Result<(), CallError>,
    ) -> Result<bool, CallError> {
        match result {
            Ok(()) => {
                self.refusals.clear(service);
                Ok(true)
            }
            Err(CallError::Refused { status, message }) => {
                if self.refusals.record(service, &message) {
                    tracing::warn!(service, %status, message, "a service cannot be {what}; tried again until it can");
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Reports to the pool.
    fn report(&self, event: RuntimeEvent) {
        // Without a receiver the balancer is ending, and nobody needs to know.
        let _ = self.events.send(event);
    }
}

/// The error with what an operator can do about it.
fn advice(error: &CallError, spec: &Spec) -> String {
    let message = error.to_string();
    if message.contains("not a swarm manager") {
        format!(
            "the engine at {} is not a Swarm manager: run 'docker swarm init' there, or place balancers on \
             managers (--constraint node.role==manager)",
            spec.host
        )
    } else if message.contains("does not have a leader") {
        format!(
            "the Swarm of the engine at {} has no leader: more than half of its managers must reach each other",
            spec.host
        )
    } else {
        message
    }
}
