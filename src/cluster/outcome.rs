//! What requests report about replicas: a bounded lock-free queue that never blocks a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use tokio::sync::Notify;

/// How a request failed at its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The connection was refused, reset while connecting, or timed out.
    Connect,
    /// The connection ended before a response.
    Closed,
    /// The response did not come in time.
    Timeout,
    /// What came was not an HTTP response.
    BadResponse,
    /// The response has a status that says that nobody could serve the request: 502, 503 or 504.
    Status,
}

impl FailureKind {
    /// What went wrong, to stand behind "the last: ".
    pub fn as_words(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Closed => "connection closed",
            Self::Timeout => "no response in time",
            Self::BadResponse => "a bad response",
            Self::Status => "a response with 502, 503 or 504",
        }
    }
}

/// A request that failed, or one of a half-open trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// [`Endpoint::id`](super::Endpoint::id) of the replica.
    pub endpoint: u64,
    /// What went wrong; `None` if the request went well, which is told of trials alone.
    pub kind: Option<FailureKind>,
    /// Whether it was one of a half-open trial.
    pub is_trial: bool,
}

#[derive(Debug)]
struct Shared {
    queue: ArrayQueue<Outcome>,
    lost: AtomicU64,
    wake: Notify,
}

/// The end that workers report to.
#[derive(Clone, Debug)]
pub struct OutcomeQueue(Arc<Shared>);

/// The end that the supervisor reads. Not `Clone`: there is one reader.
#[derive(Debug)]
pub struct OutcomeReader(Arc<Shared>);

/// A queue for at most `capacity` unread outcomes.
pub fn outcomes(capacity: usize) -> (OutcomeQueue, OutcomeReader) {
    let shared = Arc::new(Shared {
        queue: ArrayQueue::new(capacity.max(1)),
        lost: AtomicU64::new(0),
        wake: Notify::new(),
    });
    (OutcomeQueue(Arc::clone(&shared)), OutcomeReader(shared))
}

impl OutcomeQueue {
    /// Reports; when the queue is full the outcome is only counted, because those before it
    /// already lead to a check of their replicas and the request must not wait. Returns whether it
    /// was taken in.
    pub fn report(&self, outcome: Outcome) -> bool {
        let taken = self.0.queue.push(outcome).is_ok();
        if !taken {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.0.wake.notify_one();
        taken
    }
}

impl OutcomeReader {
    /// Waits for the next outcome. Cancel safe.
    pub async fn next(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.0.queue.pop() {
                return outcome;
            }
            self.0.wake.notified().await;
        }
    }

    /// Outcomes that found the queue full.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_counts_what_it_drops() {
        let (queue, mut reader) = outcomes(2);
        for endpoint in 0..5 {
            queue.report(Outcome { endpoint, kind: Some(FailureKind::Connect), is_trial: false });
        }
        assert_eq!(reader.next().await.endpoint, 0);
        assert_eq!(reader.next().await.endpoint, 1);
        assert_eq!(reader.lost(), 3);
    }
}
