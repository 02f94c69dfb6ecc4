//! Load: keep-alive connections that send requests and note what became of each.
//!
//! Either as fast as the connections allow (a closed loop: each waits for its answer), or at a
//! fixed rate (an open loop: requests have times at which they are due, whatever became of those
//! before). Knows no experiment.

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

/// Losses that are told in words.
const TOLD: usize = 5;

/// Connections that are refused in a row before it is clear that nobody is there.
const HOPELESS: u32 = 20;

/// Descriptors that this process has too few of, in words.
const TOO_MANY_FILES: &str =
    "this machine allows no further open files; raise the limit (ulimit -n), or lower --concurrency";

/// What to send, where, and when.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Host and port.
    pub(super) address: String,
    pub(super) keys: Rc<[Key]>,
    /// Requests in all; keys are used again from the first when there are fewer.
    pub(super) requests: u32,
    pub(super) connections: u32,
    /// Requests a second, or as many as go.
    pub(super) rate: Option<u32>,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its place in the plan, from 0.
    pub(super) index: u32,
    /// Since the beginning of the load: when it was due; in a closed loop, when it was sent.
    pub(super) due: Duration,
    /// When it was sent.
    pub(super) sent: Duration,
    /// When its answer had come, or it was lost.
    pub(super) done: Duration,
    pub(super) outcome: Outcome,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Answered by the replica of this index in [`Records::names`].
    By(usize),
    /// Answered by a replica that does not say its name.
    Unnamed,
    /// Not answered, or with a 4xx or 5xx.
    Lost,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) all: Vec<Record>,
    /// The replicas that answered.
    pub(super) names: Vec<String>,
    /// Requests that got no answer, or a 4xx or 5xx.
    pub(super) lost: u64,
    /// The first few reasons.
    pub(super) reasons: Vec<String>,
    /// Why it ended before all was sent, if it did.
    pub(super) ended: Option<String>,
    /// Time from the first request to the last answer.
    pub(super) took: Duration,
}

/// A load that is running; it ends when this is dropped.
pub(super) struct Running {
    shared: Rc<Shared>,
    workers: JoinSet<()>,
}

/// What the connections share.
struct Shared {
    plan: Plan,
    began: Instant,
    next: Cell<u32>,
    /// One permit for each request that is due; closed to end early.
    due: Arc<Semaphore>,
    seen: RefCell<Records>,
    /// Connections that came to nothing since one was made.
    refused: Cell<u32>,
    /// Requests that nobody answered in time since one was answered.
    stalled: Cell<u32>,
    /// Whether this process may open no further files.
    full: Cell<bool>,
    progress: ProgressBar,
}

/// Sends all of `plan` and waits for the answers.
pub(super) async fn run(plan: Plan, progress: &ProgressBar) -> std::io::Result<Records> {
    start(plan, progress)?.finished().await
}

/// Begins to send.
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
    /// Time since it began.
    pub(super) fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// Takes no further request, and waits for the answers of those on their way.
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
    /// One connection's work: the next request that is due, until there are none.
    async fn work(self: Rc<Self>) {
        let mut connection = Connection::new(self.plan.address.clone());
        while let Some((index, due)) = self.next().await {
            let sent = self.began.elapsed();
            let key = &self.plan.keys[index as usize % self.plan.keys.len()];
            let answer = connection.ask(key).await;
            let done = self.began.elapsed();
            let outcome = self.note(answer);
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
            // Wakes the connections that wait for more.
            self.due.close();
        }
        Some((index, self.plan.rate.map(|rate| pacer::due(index, rate))))
    }

    fn note(&self, answer: Result<Option<String>, Lost>) -> Outcome {
        let mut seen = self.seen.borrow_mut();
        self.judge(&mut seen, answer.as_ref().err());
        let lost = match answer {
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

    /// Ends the load where it is clear that no further request will be answered.
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
