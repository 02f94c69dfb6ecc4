//! The one that owns what is known of the engine and its containers: takes orders of the pool
//! and reports of tasks, one at a time, and never waits for the engine itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::DockerConfig;
use super::guests::Guests;
use super::place::Place;
use super::replica::Replica;
use super::report::{Report, Reporter};
use super::rivals::Rivals;
use super::survey::Offer;
use super::task::link;
use crate::runtime::engine::raw::CallError;
use crate::runtime::remote::Order;
use crate::runtime::{ReplicaId, RuntimeEvent, RuntimeEvents};

/// First pause before the engine is looked for again; doubles up to [`MAX_PAUSE`].
pub(super) const MIN_PAUSE: Duration = Duration::from_millis(100);
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Time for which the engine must have answered before it is looked for as quickly again: what
/// fails at once each time must not be tried ten times a second.
pub(super) const STEADY: Duration = Duration::from_secs(5);

/// Whether the engine can be talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It does not answer, or has not been heard of yet.
    Down,
    /// It answers; what happened to these meanwhile is being found out.
    Recovering(HashSet<ReplicaId>),
    /// It answers.
    Up,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) config: Arc<DockerConfig>,
    pub(super) events: RuntimeEvents,
    pub(super) phase: Phase,
    /// Found on the first contact.
    pub(super) place: Option<Arc<Place>>,
    /// Replicas that this balancer keeps.
    pub(super) replicas: BTreeMap<ReplicaId, Replica>,
    /// Containers of an earlier life that nobody has taken over yet, by id.
    pub(super) offers: HashMap<String, Offer>,
    /// Containers of nobody that are being removed.
    pub(super) swept: HashSet<String>,
    /// Containers that another balancer under our name has made.
    pub(super) rivals: Rivals,
    pub(super) guests: Guests,
    /// Whether a list has been asked for, and whether another has to follow it.
    pub(super) listing: bool,
    pub(super) list_again: bool,
    /// Whether the pool has been told that the engine is away.
    pub(super) told_unavailable: bool,
    pub(super) pause: Duration,
    /// When the engine was found the last time.
    pub(super) connected: Option<Instant>,
    /// Number of the connection; a task of an earlier one is not listened to.
    epoch: u64,
    sender: UnboundedSender<(u64, Report)>,
    inbox: UnboundedReceiver<(u64, Report)>,
    tasks: JoinSet<()>,
}

impl Actor {
    pub(super) fn new(config: DockerConfig, events: RuntimeEvents) -> Self {
        let (sender, inbox) = unbounded_channel();
        Self {
            config: Arc::new(config),
            events,
            phase: Phase::Down,
            place: None,
            replicas: BTreeMap::new(),
            offers: HashMap::new(),
            swept: HashSet::new(),
            rivals: Rivals::default(),
            guests: Guests::default(),
            listing: false,
            list_again: false,
            told_unavailable: false,
            pause: MIN_PAUSE,
            connected: None,
            epoch: 0,
            sender,
            inbox,
            tasks: JoinSet::new(),
        }
    }

    /// Runs until the runtime is dropped; then all tasks end where they are.
    pub(super) async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        self.connect_after(Duration::ZERO);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Start(launch)) => self.start(launch),
                    Some(Order::Retire(id)) => self.retire(id),
                    Some(Order::Stop(id)) => self.stop(id),
                    Some(Order::Kill(id)) => self.kill(id),
                    None => return,
                },
                Some((epoch, report)) = self.inbox.recv() => {
                    if epoch == self.epoch {
                        self.take(report);
                    }
                }
                Some(ended) = self.tasks.join_next() => self.task_ended(ended),
            }
        }
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Connected(place, listing) => self.connected(place, listing),
            Report::Lost(reason) => self.lost(reason),
            Report::Listed(listing) => self.listed(listing),
            Report::ListDue => self.list(),
            Report::Hint(hint) => self.hinted(&hint),
            Report::Made { id, container } => self.made(id, container),
            // The task that asks may have been ended.
            Report::Wanted { id, reply } => drop(reply.send(self.wants(id))),
            Report::MayMove { holder, reply } => drop(reply.send(self.may_move(&holder))),
            Report::Idle { reply } => drop(reply.send(self.is_idle())),
            Report::Up { id, running } => self.is_up(id, running),
            Report::Failed { id, reason } => self.failed(id, reason),
            Report::Ended { id, reason } => self.ended(id, reason),
            Report::Died { id, reason } => self.died(id, reason),
            Report::NetworkGone(id) => self.take_leave(id),
            Report::Alive(id) => self.alive(id),
            Report::Swept(container) => {
                self.swept.remove(&container);
            }
        }
    }

    /// Runs a task. Whatever it cannot do because the engine is away ends the connection.
    pub(super) fn spawn<F, T>(&mut self, task: impl FnOnce(Arc<Place>, Reporter) -> F)
    where
        F: Future<Output = Result<T, CallError>> + Send + 'static,
        T: Send + 'static,
    {
        // Without a place nothing is known, and so nothing is to be done.
        let Some(place) = self.place.clone() else { return };
        let reporter = self.reporter();
        let task = task(place, reporter.clone());
        self.tasks.spawn(async move {
            if let Err(error) = task.await {
                reporter.send(Report::Lost(error.to_string()));
            }
        });
    }

    /// Looks for the engine, some time from now.
    pub(super) fn connect_after(&mut self, pause: Duration) {
        let link = link::run(Arc::clone(&self.config), self.place.clone(), self.reporter());
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            link.await;
        });
    }

    /// Ends all tasks, and takes no report of theirs any more.
    pub(super) fn disconnect(&mut self) {
        self.epoch += 1;
        self.tasks = JoinSet::new();
    }

    fn reporter(&self) -> Reporter {
        Reporter { epoch: self.epoch, reports: self.sender.clone() }
    }

    /// A task that panicked will not report; starting over from a list loses nothing.
    fn task_ended(&mut self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a task of the docker runtime failed; this is a defect");
            self.lost(format!("a call failed in an unexpected way: {error}"));
        }
    }

    pub(super) fn tell(&self, event: RuntimeEvent) {
        // Without a receiver the balancer is ending, and nobody needs to know.
        let _ = self.events.send(event);
    }

    /// How many tasks there are.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.tasks.len()
    }

    /// Which replica a container is.
    pub(super) fn replica_of(&self, container: &str) -> Option<ReplicaId> {
        self.replicas.iter().find(|(_, replica)| replica.has(container)).map(|(id, _)| *id)
    }
}
