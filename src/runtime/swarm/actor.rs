//! The task that looks at the Swarm, tells the pool, and does what is to be done, one thing after
//! another. Decides nothing but when to look.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use super::book::{Book, Deed, Todo};
use super::calls::{Calls, Made};
use super::hints;
use super::refusals::Refusals;
use crate::runtime::engine::Spec;
use crate::runtime::engine::raw::CallError;
use crate::runtime::remote::Order;
use crate::runtime::{RuntimeEvent, RuntimeEvents};

/// Between two looks, when nothing is on its way: managers tell of services when they change, but
/// not of tasks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The same while something is.
const SHORT_INTERVAL: Duration = Duration::from_millis(250);

/// The least between two looks for the sake of hints.
const PAUSE: Duration = Duration::from_millis(50);

/// How long looks stay that frequent after the last change: a task that cannot be placed may wait
/// for days.
const HURRY: Duration = Duration::from_secs(30);

/// Waits of one that is away, from the first to the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Looks in a row, each of which found something to do. What is left then is for the next round.
const PASSES: u32 = 8;

/// All that the task holds.
#[derive(Debug)]
pub(super) struct Actor {
    spec: Spec,
    events: RuntimeEvents,
    book: Book,
    refusals: Refusals,
    /// Since when the engine has been away: the next wait.
    away: Option<Duration>,
    /// When something last changed.
    changed: Instant,
    /// When something was last said to have changed.
    hinted: Option<Instant>,
}

impl Actor {
    pub(super) fn new(spec: Spec, events: RuntimeEvents) -> Self {
        let book = Book::new(spec.port, spec.stop_timeout);
        let refusals = Refusals::default();
        Self { spec, events, book, refusals, away: None, changed: Instant::now(), hinted: None }
    }

    /// Until nobody can send orders any more.
    pub(super) async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        let mut calls = match Calls::new(self.spec.clone()) {
            Ok(calls) => calls,
            // Addresses are checked with the configuration, by other rules than the library's.
            Err(error) => return self.tell(RuntimeEvent::Unavailable { reason: error.to_string() }),
        };
        let (hints, mut hinted) = mpsc::channel(1);
        let listener = tokio::spawn(hints::listen(calls.engine().clone(), self.spec.pool.clone(), hints));
        let _ends_with_us = AbortOnDrop(listener.abort_handle());
        let (mut next, mut looked) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    self.take(order);
                    while let Ok(order) = orders.try_recv() {
                        self.take(order);
                    }
                    // One that is away is not asked any sooner.
                    if self.away.is_none() {
                        next = Instant::now();
                    }
                }
                Some(()) = hinted.recv(), if self.away.is_none() => {
                    self.hinted = Some(Instant::now());
                    next = next.min(looked + PAUSE);
                }
                () = sleep_until(next) => {
                    self.round(&mut calls).await;
                    looked = Instant::now();
                    next = looked + self.pause();
                }
            }
        }
    }

    fn take(&mut self, order: Order) {
        self.changed = Instant::now();
        let now = self.changed.into_std();
        match order {
            Order::Start(launch) => self.book.start(launch, format!("{:016x}", fastrand::u64(..))),
            // The pool kills only what the balancer itself keeps alive.
            Order::Kill(_) => {}
            Order::Retire(id) => self.book.retire(id, now),
            Order::Stop(id) => {
                if let Some(event) = self.book.stop(id, now) {
                    self.tell(event);
                }
            }
        }
    }

    fn pause(&self) -> Duration {
        match self.away.or(self.refusals.wait()) {
            Some(wait) => wait,
            None if self.book.is_waiting() && self.changed.elapsed() < HURRY => SHORT_INTERVAL,
            // The end of a container is known before that of its task.
            None if self.hinted.is_some_and(|hinted| hinted.elapsed() < INTERVAL) => SHORT_INTERVAL,
            None => INTERVAL,
        }
    }

    /// Looks and acts until there is nothing left that can be done.
    async fn round(&mut self, calls: &mut Calls) {
        match self.reconcile(calls).await {
            Ok(()) => {
                if self.away.take().is_some() {
                    self.tell(RuntimeEvent::Available);
                }
            }
            Err(error) => {
                if let Some(wait) = &mut self.away {
                    *wait = (*wait * 2).min(BACKOFF.1);
                    return;
                }
                self.away = Some(BACKOFF.0);
                self.book.retell();
                self.tell(RuntimeEvent::Unavailable { reason: in_words(&error, &self.spec) });
            }
        }
    }

    async fn reconcile(&mut self, calls: &mut Calls) -> Result<(), CallError> {
        for _ in 0..PASSES {
            let world = calls.look().await?;
            let Todo { events, deeds } = self.book.look(&world, Instant::now().into_std());
            let (mut changed, mut refused, done) = (!events.is_empty(), false, deeds.is_empty());
            for event in events {
                self.tell(event);
            }
            for deed in deeds {
                let taken = self.perform(deed, calls).await?;
                changed |= taken;
                refused |= !taken;
            }
            if changed {
                self.changed = Instant::now();
            }
            self.refusals.passed(refused);
            if done || refused {
                break;
            }
        }
        Ok(())
    }

    /// Returns whether it is done; if not, the next look asks for it again.
    async fn perform(&mut self, deed: Deed, calls: &mut Calls) -> Result<bool, CallError> {
        match deed {
            Deed::Explain { id, task } => {
                let reason = calls.explain(&task).await?;
                self.book.explained(id);
                self.tell(RuntimeEvent::Exited { id, reason });
                Ok(true)
            }
            Deed::Make { launch, token } => {
                self.book.making(launch.id);
                let reason = match calls.make(&launch, &token).await? {
                    Made::Created => return Ok(true),
                    Made::Taken => {
                        let world = calls.look().await?;
                        // By ourselves, if the answer to an earlier request was lost. Or only until
                        // a removal is done, which the next look will show as well.
                        if world.with_token(&token).is_some() || self.book.is_leaving(&world, &launch.name) {
                            return Ok(true);
                        }
                        let name = calls.service_name(&launch.name);
                        format!("service {name} exists already: another balancer has made it")
                    }
                    Made::Refused(reason) => reason,
                };
                self.book.refused(launch.id);
                self.tell(RuntimeEvent::StartFailed { id: launch.id, reason });
                Ok(true)
            }
            Deed::Renumber { service, version, number } => {
                let set = calls.renumber(&service, version, number).await;
                let taken = self.taken(&service, "given another number", set)?;
                if taken {
                    tracing::info!(service, number, "two replicas had one number; this one has a new one");
                }
                Ok(taken)
            }
            Deed::Mark { service } => {
                let marked = calls.mark(&service).await;
                let taken = self.taken(&service, "marked as being removed", marked)?;
                if taken {
                    self.book.marked(&service, Instant::now().into_std());
                }
                Ok(taken)
            }
            Deed::Delete { service } => {
                let deleted = calls.delete(&service).await;
                let taken = self.taken(&service, "deleted", deleted)?;
                if taken {
                    self.book.deleted(&service, Instant::now().into_std());
                }
                Ok(taken)
            }
        }
    }

    /// Whether a change of a service was taken. One that is refused is complained of once.
    fn taken(&mut self, service: &str, what: &str, result: Result<(), CallError>) -> Result<bool, CallError> {
        match result {
            Ok(()) => {
                self.refusals.forget(service);
                Ok(true)
            }
            Err(CallError::Refused { status, message }) => {
                if self.refusals.note(service, &message) {
                    tracing::warn!(service, %status, message, "a service cannot be {what}; tried again until it can");
                }
                Ok(false)
            }
            Err(away) => Err(away),
        }
    }

    fn tell(&self, event: RuntimeEvent) {
        // Without a receiver the balancer is ending, and nobody needs to know.
        let _ = self.events.send(event);
    }
}

/// Aborts a task when it is dropped.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What an operator can do about it.
fn in_words(error: &CallError, spec: &Spec) -> String {
    let said = error.to_string();
    if said.contains("not a swarm manager") {
        format!(
            "the engine at {} is not a Swarm manager: run 'docker swarm init' there, or place balancers on \
             managers (--constraint node.role==manager)",
            spec.host
        )
    } else if said.contains("does not have a leader") {
        format!(
            "the Swarm of the engine at {} has no leader: more than half of its managers must reach each other",
            spec.host
        )
    } else {
        said
    }
}
