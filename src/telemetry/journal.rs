//! The journal: what happened, as JSON, for whoever watches. The last entries are kept, so that
//! who comes late sees what led to the present.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::broadcast;

/// Entries that are kept.
pub const KEPT: usize = 256;

/// Entries that a reader may be behind before it is given up.
const BEHIND: usize = 512;

/// Most readers at a time.
pub const MAX_READERS: usize = 64;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Grows by one with each entry that is kept; `None` for one that is only told.
    pub number: Option<u64>,
    /// What kind of thing happened.
    pub kind: &'static str,
    /// The facts: a JSON object on one line.
    pub data: Arc<str>,
}

/// A handle on the journal; clones share it.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    live: broadcast::Sender<Entry>,
}

#[derive(Debug)]
struct Kept {
    last: u64,
    entries: VecDeque<Entry>,
}

/// What every entry has besides its own facts.
#[derive(Serialize)]
struct Timed<'a, T> {
    /// Milliseconds since the Unix epoch.
    time: u64,
    #[serde(flatten)]
    facts: &'a T,
}

impl Default for Journal {
    /// An empty journal. Its numbers go on from the time in milliseconds, so that they are above
    /// those of a journal before it: who asks for what came after a number of that one sees all of
    /// this.
    fn default() -> Self {
        let kept = Mutex::new(Kept { last: now(), entries: VecDeque::new() });
        Self(Arc::new(Shared { kept, live: broadcast::Sender::new(BEHIND) }))
    }
}

impl Journal {
    /// Enters something that happened. `facts` must serialize as an object.
    pub fn record(&self, kind: &'static str, facts: &impl Serialize) {
        let data = timed(facts);
        let mut kept = self.kept();
        kept.last += 1;
        let entry = Entry { number: Some(kept.last), kind, data };
        kept.entries.push_back(entry.clone());
        if kept.entries.len() > KEPT {
            kept.entries.pop_front();
        }
        // Below the lock, so that live entries come in the order of their numbers. An error means
        // that nobody reads.
        let _ = self.0.live.send(entry);
    }

    /// Tells those who read at this moment; nothing is kept.
    pub fn tell(&self, kind: &'static str, facts: &impl Serialize) {
        if self.has_readers() {
            let _ = self.0.live.send(Entry { number: None, kind, data: timed(facts) });
        }
    }

    /// Whether anybody reads.
    pub fn has_readers(&self) -> bool {
        self.0.live.receiver_count() > 0
    }

    /// A reader of what is kept and has a number above `after`, and of all that comes; `None` if
    /// there are too many already. A number from the future is that of a journal before this one:
    /// then all is read.
    pub fn read(&self, after: Option<u64>) -> Option<Reader> {
        let kept = self.kept();
        if self.0.live.receiver_count() >= MAX_READERS {
            return None;
        }
        let after = after.filter(|after| *after <= kept.last).unwrap_or(0);
        let backlog = kept.entries.iter().filter(|entry| entry.number > Some(after)).cloned().collect();
        Some(Reader { backlog, live: self.0.live.subscribe() })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is held.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn timed(facts: &impl Serialize) -> Arc<str> {
    let timed = Timed { time: now(), facts };
    serde_json::to_string(&timed).expect("facts are objects with string keys").into()
}

/// Reads the journal, from its backlog on.
#[derive(Debug)]
pub struct Reader {
    backlog: VecDeque<Entry>,
    live: broadcast::Receiver<Entry>,
}

impl Reader {
    /// The next entry; waits for it. `None` when this reader has fallen behind too far. Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<Entry> {
        match self.backlog.pop_front() {
            Some(entry) => Some(entry),
            None => self.live.recv().await.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Numbers, counted from `first`.
    fn numbers(entries: &[Entry], first: u64) -> Vec<Option<u64>> {
        entries.iter().map(|entry| entry.number.map(|number| number - first)).collect()
    }

    async fn take(reader: &mut Reader, count: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(reader.next().await.expect("an entry"));
        }
        entries
    }

    #[tokio::test]
    async fn who_comes_late_sees_the_last_entries_and_then_what_comes() {
        let journal = Journal::default();
        let first = journal.kept().last;
        for n in 0..KEPT + 10 {
            journal.record("test", &json!({ "n": n }));
        }
        let mut reader = journal.read(None).unwrap();
        let entries = take(&mut reader, KEPT).await;
        assert_eq!(entries[0].number, Some(first + 11));
        let data: serde_json::Value = serde_json::from_str(&entries[0].data).unwrap();
        assert_eq!(data["n"], 10);
        assert!(data["time"].as_u64().unwrap() > 1_600_000_000_000);
        journal.tell("stats", &json!({}));
        journal.record("test", &json!({}));
        assert_eq!(numbers(&take(&mut reader, 2).await, first), [None, Some(KEPT as u64 + 11)]);
    }

    #[tokio::test]
    async fn who_comes_back_goes_on_where_it_was() {
        let journal = Journal::default();
        let first = journal.kept().last;
        (0..5).for_each(|_| journal.record("test", &json!({})));
        let mut reader = journal.read(Some(first + 3)).unwrap();
        assert_eq!(numbers(&take(&mut reader, 2).await, first), [Some(4), Some(5)]);
        let mut stranger = journal.read(Some(u64::MAX)).unwrap();
        assert_eq!(numbers(&take(&mut stranger, 1).await, first), [Some(1)]);
        let mut from_before = journal.read(Some(9)).unwrap();
        assert_eq!(numbers(&take(&mut from_before, 1).await, first), [Some(1)]);
    }

    #[tokio::test]
    async fn who_is_too_slow_is_given_up_and_there_is_a_limit_of_readers() {
        let journal = Journal::default();
        let mut slow = journal.read(None).unwrap();
        (0..=BEHIND).for_each(|_| journal.record("test", &json!({})));
        assert_eq!(slow.next().await, None);
        let readers: Vec<_> = (1..MAX_READERS).map(|_| journal.read(None).expect("room")).collect();
        assert!(journal.read(None).is_none());
        drop(readers);
        assert!(journal.read(None).is_some());
    }
}
