//! What replicas write: the last lines of each, for readers that come while it runs or after its end.
//!
//! Kept by the name of a replica, in any of its spellings. Another replica of the same name continues where the
//! one before it ended. While a replica runs whose output others keep, they are asked for it ([`LogSource`]): only
//! its last lines are kept here. Knows nothing of how the lines are read, or of who shows them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Fuse};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;

use crate::names::FoldedName;

/// Most lines that are kept of a replica.
pub const MAX_LINES: usize = 200;

/// Most bytes that are kept of a replica, without line endings. A longer line loses its end.
pub const MAX_BYTES: usize = 64 * 1024;

/// Longest line, in bytes; the rest of a longer one is dropped.
pub const MAX_LINE_BYTES: usize = 4096;

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

/// Keeps the output of replicas that run, and is asked for it.
pub trait LogSource: fmt::Debug + Send + Sync {
    /// The last `lines` (at least 1) of the replica that it knows by `key`, within a limit of time; if it is to
    /// `follow`, then all lines that come until its end.
    fn open(&self, key: &str, lines: usize, follow: bool) -> BoxFuture<'static, Result<Lines, Unread>>;
}

/// Lines of an output, without line endings.
pub type Lines = BoxStream<'static, Arc<str>>;

/// Why an output is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Nothing is known of it.
    Unknown,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// Who keeps it does not answer now; in words.
    Unavailable(String),
}

/// Where the output of a replica that runs is asked for.
#[derive(Clone, Debug)]
struct Asked {
    source: Arc<dyn LogSource>,
    key: String,
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
    /// Who is asked for the output of each of them; the last one is that of the one that began last.
    asked: Vec<Asked>,
}

/// Lines that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// How many lines before them are not kept any more, of those that were asked for.
    pub dropped: u64,
    /// How many are left out because they would be more than [`MAX_BYTES`]. Who keeps the output has them.
    pub left_out: u64,
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
    /// What a source knows it by, if it is asked.
    key: Option<String>,
    /// Whether its last lines were kept.
    is_kept: Arc<AtomicBool>,
}

/// Adds lines to an output. Clones add to the same.
#[derive(Clone, Debug)]
pub struct Writer(Arc<watch::Sender<Output>>);

/// Takes the last lines of a run whose output others keep. Clones take them together, once.
#[derive(Clone, Debug)]
pub struct LastLines {
    output: Arc<watch::Sender<Output>>,
    key: String,
    is_kept: Arc<AtomicBool>,
}

/// Reads an output to its end.
pub struct Reader(Reading);

enum Reading {
    /// What is kept here.
    Kept(KeptReader),
    /// What a source sends, and how many lines of it were read.
    Asked(Fuse<Lines>, u64),
}

/// Reads an output that is kept here.
#[derive(Debug)]
struct KeptReader {
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

    /// A replica of this name begins to run, whose lines are written here.
    pub fn begin(&self, name: &str) -> Run {
        self.begin_run(name, None)
    }

    /// A replica of this name begins to run, for whose output `source` is asked. It knows it by `key`, which is unique.
    pub fn begin_at(&self, name: &str, source: Arc<dyn LogSource>, key: &str) -> Run {
        self.begin_run(name, Some(Asked { source, key: key.to_owned() }))
    }

    fn begin_run(&self, name: &str, asked: Option<Asked>) -> Run {
        let name = FoldedName::of(name);
        let key = asked.as_ref().map(|asked| asked.key.clone());
        let mut known = self.lock();
        known.ended.retain(|ended| *ended != name);
        let output = Arc::clone(known.outputs.entry(name.clone()).or_default());
        output.send_modify(|output| {
            output.runs += 1;
            output.asked.extend(asked);
        });
        drop(known);
        Run { outputs: self.clone(), name, output, key, is_kept: Arc::default() }
    }

    /// The last `count` lines (at least 1) of the replica of this name.
    ///
    /// # Errors
    /// See [`Unread`].
    pub async fn tail(&self, name: &str, count: usize) -> Result<Excerpt, Unread> {
        match self.open(name, count, false).await?.0 {
            Reading::Kept(mut reader) => Ok(reader.look().0),
            Reading::Asked(mut lines, _) => {
                let mut output = Output::default();
                while let Some(line) = lines.next().await {
                    output.push(&line);
                }
                let excerpt = output.after(output.last.saturating_sub(count as u64));
                Ok(Excerpt { left_out: excerpt.dropped, dropped: 0, ..excerpt })
            }
        }
    }

    /// A reader of the last `count` lines (at least 1) of the replica of this name, and of all that follow.
    ///
    /// # Errors
    /// See [`Unread`].
    pub async fn follow(&self, name: &str, count: usize) -> Result<Reader, Unread> {
        self.open(name, count, true).await
    }

    async fn open(&self, name: &str, count: usize, follow: bool) -> Result<Reader, Unread> {
        let (kept, asked) = self.find(name, count).ok_or(Unread::Unknown)?;
        let Some(Asked { source, key }) = asked else { return Ok(Reader(Reading::Kept(kept))) };
        match source.open(&key, count, follow).await {
            Ok(lines) => Ok(Reader(Reading::Asked(lines.fuse(), 0))),
            // It has just ended. Then its last lines are here.
            Err(Unread::Unknown) => match self.find(name, count) {
                Some((kept, None)) => Ok(Reader(Reading::Kept(kept))),
                _ => Err(Unread::Unknown),
            },
            Err(unread) => Err(unread),
        }
    }

    /// A reader of what is kept, and who is asked instead; `None` if nothing is known of it.
    fn find(&self, name: &str, count: usize) -> Option<(KeptReader, Option<Asked>)> {
        let output = self.lock().outputs.get(&FoldedName::of(name))?.subscribe();
        let (last, asked) = {
            let output = output.borrow();
            (output.last, output.asked.last().cloned())
        };
        Some((KeptReader { output, seen: last.saturating_sub(count as u64) }, asked))
    }

    fn end(&self, Run { name, output, key, .. }: &Run) {
        let mut known = self.lock();
        output.send_modify(|output| {
            output.runs -= 1;
            if let Some(key) = key {
                output.ask_no_more(key);
            }
        });
        if output.borrow().runs > 0 {
            return;
        }
        if key.is_some() && output.borrow().last == 0 {
            // Nobody has read what it wrote, and now it is gone.
            known.outputs.remove(name);
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

    /// Takes its last lines when it ends; `None` where its lines are written here.
    pub fn last_lines(&self) -> Option<LastLines> {
        let key = self.key.clone()?;
        Some(LastLines { output: Arc::clone(&self.output), key, is_kept: Arc::clone(&self.is_kept) })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.outputs.end(self);
    }
}

impl LastLines {
    /// What the source knows the run by.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Keeps these. From now on nobody is asked for its output. The second time does nothing.
    pub fn keep<'a>(&self, lines: impl IntoIterator<Item = &'a str>) {
        if self.is_kept.swap(true, Ordering::Relaxed) {
            return;
        }
        self.output.send_modify(|output| {
            lines.into_iter().for_each(|line| output.push(line));
            output.ask_no_more(&self.key);
        });
    }
}

impl Writer {
    /// Adds a line, which has no line ending.
    pub fn line(&self, line: &str) {
        self.0.send_modify(|output| output.push(line));
    }
}

impl Reader {
    /// Waits for lines that were not read yet; `None` when the replica has ended, or its output was forgotten.
    /// Where its lines are kept here, that is when no replica of its name runs any more, and a slow reader misses
    /// lines, and is told how many. Cancel safe.
    pub async fn next(&mut self) -> Option<Excerpt> {
        match &mut self.0 {
            Reading::Kept(reader) => reader.next().await,
            Reading::Asked(lines, read) => {
                let excerpt = next_of(lines, *read + 1).await?;
                *read += excerpt.lines.len() as u64;
                Some(excerpt)
            }
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reading::Kept(reader) => f.debug_tuple("Kept").field(reader).finish(),
            Reading::Asked(_, read) => f.debug_tuple("Asked").field(read).finish(),
        }
    }
}

/// Waits for the next line, and takes with it those that are there already, up to [`MAX_LINES`] and about [`MAX_BYTES`].
/// The first of them has the number `first`.
async fn next_of(lines: &mut Fuse<Lines>, first: u64) -> Option<Excerpt> {
    let line = lines.next().await?;
    let (mut bytes, mut found) = (line.len(), vec![line]);
    while found.len() < MAX_LINES && bytes < MAX_BYTES {
        let Some(Some(line)) = lines.next().now_or_never() else { break };
        bytes += line.len();
        found.push(line);
    }
    Some(Excerpt { first, lines: found, ..Excerpt::default() })
}

impl KeptReader {
    /// What there is and was not read yet, and whether a replica of this name runs: at one moment, so that the last
    /// lines are not missed.
    fn look(&mut self) -> (Excerpt, bool) {
        let (excerpt, runs) = {
            let output = self.output.borrow_and_update();
            (output.after(self.seen), output.runs > 0)
        };
        self.seen += excerpt.dropped + excerpt.lines.len() as u64;
        (excerpt, runs)
    }

    async fn next(&mut self) -> Option<Excerpt> {
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

    /// A run has ended; another one of its name may be there.
    fn ask_no_more(&mut self, key: &str) {
        self.asked.retain(|asked| asked.key != key);
    }

    /// The lines with numbers above `seen`.
    fn after(&self, seen: u64) -> Excerpt {
        let kept_from = self.last + 1 - self.lines.len() as u64;
        let first = (seen + 1).max(kept_from);
        let lines = self.lines.iter().skip((first - kept_from) as usize).cloned().collect();
        Excerpt { dropped: first - (seen + 1), first, lines, left_out: 0 }
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
        outputs.tail(name, count).now_or_never().expect("what is kept is there").ok()
    }

    fn follow(outputs: &Outputs, name: &str, count: usize) -> Option<Reader> {
        outputs.follow(name, count).now_or_never().expect("what is kept is there").ok()
    }

    /// Has these lines of `c1`, and nothing of others.
    #[derive(Debug)]
    struct Source(Result<Vec<&'static str>, Unread>);

    impl LogSource for Source {
        fn open(&self, key: &str, lines: usize, _follow: bool) -> BoxFuture<'static, Result<Lines, Unread>> {
            let found = if key == "c1" { self.0.clone() } else { Err(Unread::Unknown) };
            let last = |found: Vec<&'static str>| {
                let last = found[found.len().saturating_sub(lines)..].to_vec();
                futures_util::stream::iter(last).map(Arc::from).boxed()
            };
            std::future::ready(found.map(last)).boxed()
        }
    }

    #[tokio::test]
    async fn a_source_is_asked_while_a_replica_runs_and_its_last_lines_are_kept() {
        let outputs = Outputs::default();
        let source: Arc<dyn LogSource> = Arc::new(Source(Ok(vec!["a", "b", "c"])));
        let run = outputs.begin_at("S 1", Arc::clone(&source), "c1");
        let two = tail(&outputs, "s-1", 2).unwrap();
        assert_eq!((two.dropped, two.first, texts(&two)), (0, 1, vec!["b", "c"]));
        let mut reader = follow(&outputs, "S 1", 9).unwrap();
        assert_eq!(texts(&reader.next().await.unwrap()), ["a", "b", "c"]);
        assert_eq!(reader.next().await, None);
        let last = run.last_lines().unwrap();
        assert_eq!(last.key(), "c1");
        for _ in 0..2 {
            last.keep(["y", "z"]);
        }
        assert_eq!(texts(&tail(&outputs, "S 1", 9).unwrap()), ["y", "z"]);
        let mut reader = follow(&outputs, "S 1", 1).unwrap();
        assert_eq!(texts(&reader.next().await.unwrap()), ["z"]);
        drop(run);
        assert_eq!(reader.next().await, None);
        assert_eq!(texts(&tail(&outputs, "S 1", 9).unwrap()), ["y", "z"]);
    }

    #[test]
    fn a_successor_of_the_same_name_is_asked_whatever_becomes_of_the_one_before_it() {
        let outputs = Outputs::default();
        let source: Arc<dyn LogSource> = Arc::new(Source(Ok(vec!["new"])));
        let before = outputs.begin_at("S", Arc::clone(&source), "c0");
        let run = outputs.begin_at("S", source, "c1");
        before.last_lines().unwrap().keep(["old"]);
        drop(before);
        assert_eq!(texts(&tail(&outputs, "S", 9).unwrap()), ["new"]);
        run.last_lines().unwrap().keep(["new"]);
        drop(run);
        assert_eq!(texts(&tail(&outputs, "S", 9).unwrap()), ["old", "new"]);
    }

    #[test]
    fn one_that_runs_is_asked_when_a_younger_one_of_its_name_has_ended() {
        let outputs = Outputs::default();
        let source: Arc<dyn LogSource> = Arc::new(Source(Ok(vec!["still there"])));
        let _older = outputs.begin_at("S", Arc::clone(&source), "c1");
        for is_read in [false, true] {
            let younger = outputs.begin_at("S", Arc::clone(&source), "c2");
            if is_read {
                younger.last_lines().unwrap().keep(["gone"]);
            }
            drop(younger);
            assert_eq!(texts(&tail(&outputs, "S", 9).unwrap()), ["still there"]);
        }
    }

    #[test]
    fn what_cannot_be_asked_for_says_why_and_what_was_never_read_is_not_known() {
        let no = Unread::Unreadable("no".to_owned());
        for unread in [no, Unread::Unavailable("away".to_owned()), Unread::Unknown] {
            let outputs = Outputs::default();
            let run = outputs.begin_at("S", Arc::new(Source(Err(unread.clone()))), "c1");
            assert_eq!(outputs.tail("S", 1).now_or_never(), Some(Err(unread.clone())));
            drop(run);
            assert_eq!(outputs.tail("S", 1).now_or_never(), Some(Err(Unread::Unknown)));
        }
    }

    #[test]
    fn what_a_source_sends_is_limited_as_what_is_kept() {
        let outputs = Outputs::default();
        let long: &'static str = "x".repeat(MAX_BYTES / 2 + 1).leak();
        let _run = outputs.begin_at("S", Arc::new(Source(Ok(vec![long, long, "y"]))), "c1");
        let excerpt = tail(&outputs, "S", 3).unwrap();
        assert_eq!((excerpt.left_out, excerpt.dropped, excerpt.lines.len()), (1, 0, 2), "the source has it");
        let mut reader = follow(&outputs, "S", 3).unwrap();
        let pieces = std::iter::from_fn(|| reader.next().now_or_never().flatten());
        let sizes: Vec<_> = pieces.map(|piece| (piece.first, piece.lines.len())).collect();
        assert_eq!(sizes, [(1, 2), (3, 1)]);
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
        let mut reader = follow(&outputs, "S", 50).unwrap();
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
            reader = reader.or_else(|| follow(&outputs, "S0", 1));
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
