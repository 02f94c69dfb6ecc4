//! What replicas write: the last lines of each, for readers that come while it runs or after its end.
//!
//! Kept by the name of a replica, in any of its spellings. Another replica of the same name continues where the
//! one before it ended. Knows nothing of how the lines are read, or of who shows them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::names::FoldedName;

/// Most lines that are kept of a replica.
pub const MAX_LINES: usize = 200;

/// Most bytes that are kept of a replica, without line endings. A longer line loses its end.
pub const MAX_BYTES: usize = 64 * 1024;

/// Of how many replicas that have ended it is kept.
pub const MAX_ENDED: usize = 64;

/// The output of the replicas of a pool. Clones share it.
#[derive(Clone, Debug)]
pub struct Outputs {
    known: Arc<Mutex<Known>>,
    /// Why that of a replica may be missing.
    missing: &'static str,
}

#[derive(Debug, Default)]
struct Known {
    outputs: HashMap<FoldedName, Arc<watch::Sender<Output>>>,
    /// Those of replicas that have ended, the oldest first.
    ended: VecDeque<FoldedName>,
}

/// The output of one replica.
#[derive(Debug, Default)]
struct Output {
    /// The last lines.
    lines: VecDeque<Arc<str>>,
    /// Bytes in them.
    bytes: usize,
    /// Number of the last line; the first one has number 1.
    last: u64,
    /// Replicas of this name that run.
    runs: usize,
}

/// Lines that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// How many lines before them are not kept any more, of those that were asked for.
    pub dropped: u64,
    /// Number of the first of them. Lines are numbered from 1.
    pub first: u64,
    /// The lines, without line endings.
    pub lines: Vec<Arc<str>>,
}

/// A run of a replica. Its output counts as ended when this is dropped.
#[derive(Debug)]
pub struct Run {
    outputs: Outputs,
    name: FoldedName,
    output: Arc<watch::Sender<Output>>,
}

/// Adds lines to an output. Clones add to the same.
#[derive(Clone, Debug)]
pub struct Writer(Arc<watch::Sender<Output>>);

/// Reads an output to its end.
#[derive(Debug)]
pub struct Reader {
    output: watch::Receiver<Output>,
    /// Number of the last line that was read, or is not to be read.
    seen: u64,
}

impl Default for Outputs {
    /// Those of replicas that a balancer starts and listens to.
    fn default() -> Self {
        Self::missing_because("this balancer did not start it")
    }
}

impl Outputs {
    /// None yet. The text says, after "it is not kept: ", why that of a replica that runs may be missing.
    pub fn missing_because(missing: &'static str) -> Self {
        Self { known: Arc::default(), missing }
    }

    /// Why that of a replica that runs may be missing.
    pub fn missing(&self) -> &'static str {
        self.missing
    }

    /// A replica of this name begins to run.
    pub fn begin(&self, name: &str) -> Run {
        let name = FoldedName::of(name);
        let mut known = self.lock();
        known.ended.retain(|ended| *ended != name);
        let output = Arc::clone(known.outputs.entry(name.clone()).or_default());
        output.send_modify(|output| output.runs += 1);
        drop(known);
        Run { outputs: self.clone(), name, output }
    }

    /// A reader of the last `count` lines (at least 1) of the replica of this name, and of all that follow;
    /// `None` if nothing is known of it.
    pub fn read(&self, name: &str, count: usize) -> Option<Reader> {
        let output = self.lock().outputs.get(&FoldedName::of(name))?.subscribe();
        let seen = output.borrow().last.saturating_sub(count as u64);
        Some(Reader { output, seen })
    }

    fn end(&self, name: &FoldedName, output: &watch::Sender<Output>) {
        let mut known = self.lock();
        output.send_modify(|output| output.runs -= 1);
        if output.borrow().runs > 0 {
            return;
        }
        known.ended.push_back(name.clone());
        if known.ended.len() > MAX_ENDED
            && let Some(oldest) = known.ended.pop_front()
        {
            known.outputs.remove(&oldest);
        }
    }

    /// Nothing panics while it is locked.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    /// Adds lines to its output, also after the end of the run.
    pub fn writer(&self) -> Writer {
        Writer(Arc::clone(&self.output))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.outputs.end(&self.name, &self.output);
    }
}

impl Writer {
    /// Adds a line, which has no line ending.
    pub fn line(&self, line: &str) {
        self.0.send_modify(|output| output.push(line));
    }
}

impl Reader {
    /// What there is already, and was not read yet.
    pub fn present(&mut self) -> Excerpt {
        self.look().0
    }

    /// The same, and whether a replica of this name runs: at one moment, so that the last lines are not missed.
    fn look(&mut self) -> (Excerpt, bool) {
        let (excerpt, runs) = {
            let output = self.output.borrow_and_update();
            (output.after(self.seen), output.runs > 0)
        };
        self.seen += excerpt.dropped + excerpt.lines.len() as u64;
        (excerpt, runs)
    }

    /// Waits for lines that were not read yet; `None` when no replica of this name runs any more, or its output
    /// was forgotten. Cancel safe. A slow reader misses lines, and is told how many.
    pub async fn next(&mut self) -> Option<Excerpt> {
        loop {
            let (excerpt, runs) = self.look();
            if !excerpt.lines.is_empty() {
                return Some(excerpt);
            }
            if !runs {
                return None;
            }
            self.output.changed().await.ok()?;
        }
    }
}

impl Output {
    fn push(&mut self, line: &str) {
        // 0 is always a boundary.
        let end = (0..=line.len().min(MAX_BYTES)).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0);
        let line = &line[..end];
        self.lines.push_back(line.into());
        self.bytes += line.len();
        self.last += 1;
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    /// The lines with numbers above `seen`.
    fn after(&self, seen: u64) -> Excerpt {
        let kept_from = self.last + 1 - self.lines.len() as u64;
        let first = (seen + 1).max(kept_from);
        let lines = self.lines.iter().skip((first - kept_from) as usize).cloned().collect();
        Excerpt { dropped: first - (seen + 1), first, lines }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(excerpt: &Excerpt) -> Vec<&str> {
        excerpt.lines.iter().map(|line| &**line).collect()
    }

    fn tail(outputs: &Outputs, name: &str, count: usize) -> Option<Excerpt> {
        outputs.read(name, count).map(|mut reader| reader.present())
    }

    #[test]
    fn the_last_lines_are_kept_by_name_and_numbered() {
        let outputs = Outputs::default();
        let run = outputs.begin("Server 1");
        assert_eq!(tail(&outputs, "server-1", 5).map(|excerpt| excerpt.lines.len()), Some(0));
        (1..=3).for_each(|n| run.writer().line(&format!("line {n}")));
        let two = tail(&outputs, "Server_1", 2).unwrap();
        assert_eq!((two.dropped, two.first, texts(&two)), (0, 2, vec!["line 2", "line 3"]));
        let all = tail(&outputs, "Server 1", 50).unwrap();
        assert_eq!((all.dropped, all.first, all.lines.len()), (0, 1, 3));
        assert_eq!(tail(&outputs, "Server 2", 5), None);
    }

    #[test]
    fn it_is_told_how_many_lines_are_gone() {
        let outputs = Outputs::default();
        let run = outputs.begin("S");
        (0..MAX_LINES + 7).for_each(|n| run.writer().line(&n.to_string()));
        let excerpt = tail(&outputs, "S", MAX_LINES + 3).unwrap();
        assert_eq!((excerpt.dropped, excerpt.first, texts(&excerpt)[0]), (3, 8, "7"));
        run.writer().line(&"ü".repeat(MAX_BYTES));
        let excerpt = tail(&outputs, "S", 10).unwrap();
        assert_eq!((excerpt.dropped, excerpt.lines.len(), excerpt.lines[0].len()), (9, 1, MAX_BYTES));
    }

    #[tokio::test]
    async fn a_reader_follows_until_the_last_run_of_the_name_ends() {
        let outputs = Outputs::default();
        let run = outputs.begin("S");
        run.writer().line("before");
        let mut reader = outputs.read("S", 50).unwrap();
        assert_eq!(texts(&reader.next().await.unwrap()), ["before"]);
        let more = outputs.begin("s");
        let writer = run.writer();
        drop(run);
        assert!(futures_util::FutureExt::now_or_never(reader.next()).is_none(), "another one runs");
        let task = tokio::spawn(async move { (reader.next().await, reader.next().await) });
        writer.line("last words");
        drop(more);
        let (line, end) = task.await.unwrap();
        assert_eq!((texts(&line.unwrap()), end), (vec!["last words"], None));
        assert_eq!(texts(&tail(&outputs, "S", 9).unwrap()), ["before", "last words"]);
    }

    #[tokio::test]
    async fn what_has_ended_is_kept_for_some_and_forgotten_for_the_oldest() {
        let outputs = Outputs::default();
        let mut reader = None;
        for n in 0..=MAX_ENDED {
            let run = outputs.begin(&format!("S{n}"));
            run.writer().line("x");
            reader = reader.or_else(|| outputs.read("S0", 1));
        }
        assert_eq!(tail(&outputs, "S0", 1), None);
        assert!(tail(&outputs, "S1", 1).is_some());
        let mut reader = reader.unwrap();
        assert_eq!(reader.next().await.map(|excerpt| excerpt.lines.len()), Some(1), "it has it");
        assert_eq!(reader.next().await, None);
        // One that runs again is not among those that have ended.
        let again = outputs.begin("S1");
        drop(outputs.begin("new"));
        assert!(tail(&outputs, "S1", 1).is_some() && tail(&outputs, "S2", 1).is_some());
        drop(again);
        assert_eq!(tail(&outputs, "S2", 1), None);
    }

    proptest! {
        #[test]
        fn an_output_has_its_bounds_and_loses_only_the_oldest(
            lengths in prop::collection::vec(prop_oneof![30 => 0_usize..40, 1 => 0..MAX_BYTES + 9], 0..400),
            asked in 1_usize..300,
        ) {
            let mut output = Output::default();
            for &length in &lengths {
                output.push(&"x".repeat(length));
                prop_assert!(output.lines.len() <= MAX_LINES);
                prop_assert!(output.bytes <= MAX_BYTES);
                prop_assert_eq!(output.bytes, output.lines.iter().map(|line| line.len()).sum::<usize>());
            }
            let seen = output.last.saturating_sub(asked as u64);
            let excerpt = output.after(seen);
            // All that was asked for is there or counted, and numbered in order.
            prop_assert_eq!(excerpt.first, seen + 1 + excerpt.dropped);
            prop_assert_eq!(excerpt.first + excerpt.lines.len() as u64, output.last + 1);
            prop_assert_eq!(output.last, lengths.len() as u64);
            prop_assert!(lengths.is_empty() || !excerpt.lines.is_empty());
        }
    }
}
