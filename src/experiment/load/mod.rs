//! Generates load: keep-alive connections send requests and record the outcome of each.
//!
//! Either as fast as the connections allow (a closed loop: each connection waits for its response), or
//! at a fixed rate (an open loop: the time of each request does not depend on earlier ones). Knows no
//! experiment.

mod connection;
mod pacer;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::connection::{Connection, Kind, Lost};
use super::keys::Key;

/// Number of reasons for losses that are kept.
const TOLD: usize = 5;

/// Number of refused connections in a row after which the load ends.
const HOPELESS: u32 = 20;

/// The reason if this process has too few file descriptors.
const TOO_MANY_FILES: &str =
    "this machine allows no further open files; raise the limit (ulimit -n), or lower --concurrency";

/// The load to generate.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Host and port to connect to.
    pub(super) address: String,
    pub(super) keys: Rc<[Key]>,
    /// Number of requests; with fewer keys, these are repeated.
    pub(super) requests: u32,
    pub(super) connections: u32,
    /// Requests per second; `None` for a closed loop.
    pub(super) rate: Option<u32>,
}

/// The record of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Index of the request, from 0.
    pub(super) index: u32,
    /// When it was due, since the start of the load; in a closed loop, when it was sent.
    pub(super) due: Duration,
    /// When it was sent, since the start of the load.
    pub(super) sent: Duration,
    /// When the response was complete or the request lost, since the start of the load.
    pub(super) done: Duration,
    pub(super) outcome: Outcome,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Handled by the replica with this index in [`Records::names`].
    By(usize),
    /// Handled by a replica whose response does not have its name.
    Unnamed,
    /// No response, or a 4xx or 5xx.
    Lost,
}

/// The records of a load.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) all: Vec<Record>,
    /// Names of the replicas.
    pub(super) names: Vec<String>,
    /// Number of lost requests.
    pub(super) lost: u64,
    /// The first reasons for losses.
    pub(super) reasons: Vec<String>,
    /// Why the load ended early, if it did.
    pub(super) ended: Option<String>,
    /// Time from the first request to the last response.
    pub(super) took: Duration,
}

/// A load that is running. Dropping it ends it.
pub(super) struct Running {
    shared: Rc<Shared>,
    workers: JoinSet<()>,
}

/// The state that the connections share.
struct Shared {
    plan: Plan,
    began: Instant,
    next: Cell<u32>,
    /// A permit for each request that is due; closed to end early.
    due: Arc<Semaphore>,
    seen: RefCell<Records>,
    /// Number of failed connections since the last successful one.
    refused: Cell<u32>,
    /// Number of timeouts since the last response.
    stalled: Cell<u32>,
    /// Whether this process has no more file descriptors.
    full: Cell<bool>,
    progress: ProgressBar,
}

/// Sends all requests of `plan`, and waits for the responses.
pub(super) async fn run(plan: Plan, progress: &ProgressBar) -> std::io::Result<Records> {
    start(plan, progress)?.finished().await
}

/// Starts to send.
pub(super) fn start(plan: Plan, progress: &ProgressBar) -> std::io::Result<Running> {
    let due = Arc::new(Semaphore::new(0));
    let began = Instant::now();
    match plan.rate {
        Some(rate) => pacer::start(Arc::clone(&due), began, plan.requests, rate)?,
        None => due.add_permits(plan.requests as usize),
    }
    let connections = plan.connections.min(plan.requests);
    let shared = Rc::new(Shared {
        plan,
        began,
        next: Cell::new(0),
        due,
        seen: RefCell::default(),
        refused: Cell::new(0),
        stalled: Cell::new(0),
        full: Cell::new(false),
        progress: progress.clone(),
    });
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        workers.spawn_local(Rc::clone(&shared).work());
    }
    Ok(Running { shared, workers })
}

impl Running {
    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// Sends no more requests, and waits for the responses of those in flight.
    pub(super) async fn stop(self) -> std::io::Result<Records> {
        self.shared.due.close();
        self.finished().await
    }

    async fn finished(mut self) -> std::io::Result<Records> {
        while let Some(ended) = self.workers.join_next().await {
            ended.map_err(std::io::Error::other)?;
        }
        let mut records = self.shared.seen.take();
        if self.shared.full.get() {
            return Err(std::io::Error::other(TOO_MANY_FILES));
        }
        records.took = self.shared.began.elapsed();
        records.all.sort_unstable_by_key(|record| record.index);
        Ok(records)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.due.close();
    }
}

impl Shared {
    /// The loop of one connection: sends the next request that is due, until there is none.
    async fn work(self: Rc<Self>) {
        let mut connection = Connection::new(self.plan.address.clone());
        while let Some((index, due)) = self.next().await {
            let sent = self.began.elapsed();
            let key = &self.plan.keys[index as usize % self.plan.keys.len()];
            let response = connection.ask(key).await;
            let done = self.began.elapsed();
            let outcome = self.note(response);
            let due = due.unwrap_or(sent);
            self.seen.borrow_mut().all.push(Record { index, due, sent, done, outcome });
            self.progress.inc(1);
        }
    }

    async fn next(&self) -> Option<(u32, Option<Duration>)> {
        self.due.acquire().await.ok()?.forget();
        let index = self.next.get();
        self.next.set(index + 1);
        if index + 1 == self.plan.requests {
            // Wakes the connections that wait for a permit.
            self.due.close();
        }
        Some((index, self.plan.rate.map(|rate| pacer::due(index, rate))))
    }

    fn note(&self, response: Result<Option<String>, Lost>) -> Outcome {
        let mut seen = self.seen.borrow_mut();
        self.judge(&mut seen, response.as_ref().err());
        let lost = match response {
            Ok(None) => return Outcome::Unnamed,
            Ok(Some(name)) => {
                let known = seen.names.iter().position(|known| *known == name);
                return Outcome::By(known.unwrap_or_else(|| {
                    seen.names.push(name);
                    seen.names.len() - 1
                }));
            }
            Err(lost) => lost,
        };
        seen.lost += 1;
        if seen.reasons.len() < TOLD && !seen.reasons.contains(&lost.why) {
            seen.reasons.push(lost.why);
        }
        Outcome::Lost
    }

    /// Ends the load if no further request can get a response.
    fn judge(&self, seen: &mut Records, lost: Option<&Lost>) {
        let kind = lost.map(|lost| lost.kind);
        let in_a_row = |before: &Cell<u32>, again: bool, anew: bool| {
            before.set(if again {
                before.get() + 1
            } else if anew {
                0
            } else {
                before.get()
            });
            before.get()
        };
        let refused = in_a_row(&self.refused, kind == Some(Kind::Unconnected), kind != Some(Kind::Full));
        let answered = matches!(kind, None | Some(Kind::Refusal));
        let stalled = in_a_row(&self.stalled, kind == Some(Kind::Late), answered);
        self.full.set(self.full.get() || kind == Some(Kind::Full));
        if self.full.get() || refused >= HOPELESS || stalled >= self.plan.connections {
            if seen.ended.is_none() {
                seen.ended = lost.map(|lost| lost.why.clone());
            }
            self.due.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(connections: u32) -> Shared {
        let plan =
            Plan { address: String::new(), keys: Rc::new([]), requests: 1_000, connections, rate: None };
        Shared {
            plan,
            began: Instant::now(),
            next: Cell::new(0),
            due: Arc::new(Semaphore::new(0)),
            seen: RefCell::default(),
            refused: Cell::new(0),
            stalled: Cell::new(0),
            full: Cell::new(false),
            progress: ProgressBar::hidden(),
        }
    }

    fn lose(shared: &Shared, kind: Kind, times: u32) {
        for _ in 0..times {
            shared.note(Err(Lost { why: format!("{kind:?}"), kind }));
        }
    }

    #[test]
    fn a_load_ends_when_nobody_is_there_and_not_when_somebody_answers_in_between() {
        for (kind, limit) in [(Kind::Unconnected, HOPELESS), (Kind::Late, 8)] {
            let shared = shared(8);
            lose(&shared, Kind::Broken, 2);
            lose(&shared, kind, limit - 1);
            assert_eq!(shared.note(Ok(None)), Outcome::Unnamed);
            lose(&shared, kind, limit - 1);
            assert!(!shared.due.is_closed(), "{kind:?}");
            lose(&shared, kind, 1);
            assert!(shared.due.is_closed(), "{kind:?}");
            let seen = shared.seen.take();
            assert_eq!(seen.ended.as_deref(), Some(&*format!("{kind:?}")), "the last reason is told");
            assert_eq!(seen.lost, u64::from(2 + 2 * limit - 1));
        }
    }
}
