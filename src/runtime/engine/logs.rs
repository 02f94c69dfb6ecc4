//! Reads the logs of containers and of Swarm tasks: their last lines, and what follows until their end. An object is
//! named by its path at the engine, such as `containers/ID` or `tasks/ID`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use http::StatusCode;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::call_stats::counted;
use super::log_lines::{LogLine, LogLines};
use super::{CALL_TIMEOUT, CallError, Host, raw};
use crate::runtime::output::{Lines, LogSource, Unread};

/// What the path of a container begins with.
const CONTAINERS: &str = "containers/";

/// Longest line of a log that is quoted, in characters.
const MAX_QUOTE: usize = 200;

/// Most logs whose last lines are read at a time; more wait.
const MAX_TAILS: usize = 8;

/// Pause before a log that broke off is read on; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The logs that an engine keeps: they are read when somebody asks.
#[derive(Debug)]
pub struct EngineLogs {
    host: Host,
    tails: Arc<Semaphore>,
}

impl EngineLogs {
    /// Those of the engine at `host`.
    pub fn new(host: Host) -> Self {
        Self { host, tails: Arc::new(Semaphore::new(MAX_TAILS)) }
    }
}

impl LogSource for EngineLogs {
    fn open(&self, object: &str, lines: usize, follow: bool) -> BoxFuture<'static, Result<Lines, Unread>> {
        let (host, object) = (self.host.clone(), object.to_owned());
        let tails = Arc::clone(&self.tails);
        async move {
            let opened = if follow {
                Following::open(&host, &object, lines).await.map(Following::lines)
            } else {
                let Ok(_permit) = timeout(CALL_TIMEOUT, tails.acquire_owned()).await else {
                    let busy = format!("the engine is asked for the output of {MAX_TAILS} replicas already");
                    return Err(Unread::Unavailable(busy));
                };
                tail(&host, &object, lines).await.map(|lines| stream::iter(lines).boxed())
            };
            match opened {
                Ok(lines) => Ok(lines),
                Err(error) => Err(unread(&host, &object, error).await),
            }
        }
        .boxed()
    }
}

/// The last `count` lines of a log, within [`CALL_TIMEOUT`].
///
/// # Errors
/// See [`CallError`].
pub async fn tail(host: &Host, object: &str, count: usize) -> Result<Vec<Arc<str>>, CallError> {
    let began = Instant::now();
    let read = async {
        let mut log = Log::open(host, object, &From::Last(count), false).await?;
        let mut lines = Vec::new();
        // A message of the engine may come beside those that were asked for.
        while lines.len() <= count
            && let Some(line) = log.next().await?
        {
            lines.push(line.text.into());
        }
        Ok(lines)
    };
    counted(began, timeout(CALL_TIMEOUT, read).await.unwrap_or_else(|_| Err(timed_out(host))))
}

/// The last line that is not empty, shortened.
pub fn last_words(lines: &[Arc<str>]) -> Option<String> {
    let line = lines.iter().map(|line| line.trim()).rfind(|line| !line.is_empty())?;
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    Some(line.chars().take(MAX_QUOTE).map(printable).collect())
}

fn timed_out(host: &Host) -> CallError {
    let limit = humantime::format_duration(CALL_TIMEOUT);
    CallError::unreachable(host, &format_args!("no answer within {limit}"))
}

/// Why a log is not read, for those who asked.
async fn unread(host: &Host, object: &str, error: CallError) -> Unread {
    match error {
        // It is gone, or is being removed.
        error if error.is_not_found() || error.is_conflict() => Unread::Unknown,
        CallError::Unreachable(why) => Unread::Unavailable(why),
        CallError::Refused { status: StatusCode::NOT_IMPLEMENTED, message } => {
            let inspected = inspect(host, object).await.unwrap_or_default();
            // A task does not say which one its node has.
            let driver = inspected["HostConfig"]["LogConfig"]["Type"].as_str();
            let driver = driver.map_or_else(String::new, |driver| format!(" '{driver}'"));
            Unread::Unreadable(format!(
                "its log driver{driver} cannot be read: {message}; let the engine have another (log-driver in its \
                 daemon.json), such as local"
            ))
        }
        error => Unread::Unreadable(error.to_string()),
    }
}

async fn inspect(host: &Host, object: &str) -> Result<Value, CallError> {
    // Only that of a container has a name of its own.
    let json = if object.starts_with(CONTAINERS) { "/json" } else { "" };
    let (began, path) = (Instant::now(), format!("/{object}{json}"));
    let inspected = timeout(CALL_TIMEOUT, raw::get(host, &path)).await;
    counted(began, inspected.unwrap_or_else(|_| Err(timed_out(host))))
}

/// From where on a log is read.
enum From {
    /// The last lines, so many.
    Last(usize),
    /// What was written at this time, since the Unix epoch, or later.
    Time(Duration),
}

/// A log that is being read.
struct Log {
    host: Host,
    response: raw::Stream,
    lines: LogLines,
    has_ended: bool,
}

impl Log {
    async fn open(host: &Host, object: &str, from: &From, follow: bool) -> Result<Self, CallError> {
        let from = match from {
            From::Last(lines) => format!("tail={lines}"),
            From::Time(time) => format!("since={}.{:09}", time.as_secs(), time.subsec_nanos()),
        };
        let path = format!("/{object}/logs?stdout=1&stderr=1&timestamps=1&{from}&follow={follow}");
        let response = raw::open(host, &path).await?;
        Ok(Self { host: host.clone(), response, lines: LogLines::default(), has_ended: false })
    }

    /// The next line; `None` at the end of the log.
    async fn next(&mut self) -> Result<Option<LogLine>, CallError> {
        loop {
            if let Some(line) = self.lines.pop() {
                return Ok(Some(line));
            }
            if self.has_ended {
                return Ok(None);
            }
            if let Some(piece) = self.response.piece().await {
                self.lines.push(&piece.map_err(|error| CallError::unreachable(&self.host, &error))?);
            } else {
                self.has_ended = true;
                self.lines.finish();
            }
        }
    }
}

/// A log that is read until its container or task ends, also beyond a loss of the engine.
struct Following {
    host: Host,
    object: String,
    log: Option<Log>,
    place: Place,
    pause: Duration,
}

impl Following {
    async fn open(host: &Host, object: &str, lines: usize) -> Result<Self, CallError> {
        let (began, place) = (Instant::now(), Place::new(lines));
        let opened = timeout(CALL_TIMEOUT, Log::open(host, object, &place.next(), true)).await;
        let log = Some(counted(began, opened.unwrap_or_else(|_| Err(timed_out(host))))?);
        let (host, object) = (host.clone(), object.to_owned());
        Ok(Self { host, object, log, place, pause: FIRST_PAUSE })
    }

    fn lines(self) -> Lines {
        stream::unfold(self, |mut following| async move {
            following.next().await.map(|line| (Arc::from(line), following))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(log) = &mut self.log {
                match log.next().await {
                    Ok(Some(line)) => {
                        if self.place.is_new(&line) {
                            self.pause = FIRST_PAUSE;
                            return Some(line.text);
                        }
                        continue;
                    }
                    // An engine that ends closes it as well.
                    Ok(None) if self.has_ended().await => return None,
                    Ok(None) | Err(_) => self.log = None,
                }
            }
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            let (began, from) = (Instant::now(), self.place.next());
            let opened = timeout(CALL_TIMEOUT, Log::open(&self.host, &self.object, &from, true)).await;
            match counted(began, opened.unwrap_or_else(|_| Err(timed_out(&self.host)))) {
                Ok(log) => {
                    self.place.begin_again();
                    self.log = Some(log);
                }
                Err(error) if error.is_unreachable() => {}
                // It is gone.
                Err(error) => {
                    tracing::debug!(object = self.object, %error, "a log ends");
                    return None;
                }
            }
        }
    }

    /// Whether the container or task is known to have ended.
    async fn has_ended(&self) -> bool {
        match inspect(&self.host, &self.object).await {
            Ok(inspected) if self.object.starts_with(CONTAINERS) => inspected["State"]["Running"] != true,
            Ok(inspected) => inspected["Status"]["State"] != "running",
            Err(error) => error.is_not_found(),
        }
    }
}

/// How far a log was read. Pure.
#[derive(Debug)]
struct Place {
    /// Lines to begin with.
    lines: usize,
    /// The time of the last line, and how many lines of that time were read.
    last: Option<(Duration, usize)>,
    /// Lines of that time that come again and were read.
    again: usize,
}

impl Place {
    fn new(lines: usize) -> Self {
        Self { lines, last: None, again: 0 }
    }

    /// From where on the log is read next.
    fn next(&self) -> From {
        self.last.map_or(From::Last(self.lines), |(time, _)| From::Time(time))
    }

    /// The log is read from [`Self::next`] on.
    fn begin_again(&mut self) {
        self.again = self.last.map_or(0, |(_, count)| count);
    }

    /// Whether a line was not read yet; takes it as read.
    fn is_new(&mut self, line: &LogLine) -> bool {
        let Some(time) = line.time else { return true };
        match &mut self.last {
            Some((last, _)) if *last == time && self.again > 0 => {
                self.again -= 1;
                return false;
            }
            Some((last, count)) if *last == time => *count += 1,
            // Two streams may be written to the log in another order than that of their times.
            Some((last, _)) if *last > time => {}
            last => *last = Some((time, 1)),
        }
        self.again = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(time: u64) -> LogLine {
        LogLine { time: Some(Duration::from_secs(time)), text: String::new() }
    }

    #[test]
    fn a_log_is_read_on_from_the_time_of_its_last_line() {
        let mut place = Place::new(7);
        assert!(matches!(place.next(), From::Last(7)));
        place.begin_again();
        assert!(place.is_new(&LogLine::default()));
        assert!(matches!(place.next(), From::Last(7)), "it has no time");
        assert!(place.is_new(&line(3)) && place.is_new(&line(2)));
        assert!(matches!(place.next(), From::Time(time) if time.as_secs() == 3));
    }

    proptest! {
        /// Wherever a log breaks off, and however often: each line comes once.
        #[test]
        fn no_line_comes_twice_and_none_is_lost(
            mut times in prop::collection::vec(1_u64..9, 1..30),
            breaks in prop::collection::vec(0_usize..30, 0..8),
        ) {
            times.sort_unstable();
            let (mut place, mut read) = (Place::new(99), Vec::<u64>::new());
            for length in breaks.into_iter().chain([usize::MAX]) {
                place.begin_again();
                let from = match place.next() {
                    From::Last(_) => 0,
                    From::Time(time) => time.as_secs(),
                };
                let rest = times.iter().filter(|time| **time >= from).take(length);
                read.extend(rest.filter(|time| place.is_new(&line(**time))));
            }
            prop_assert_eq!(read, times);
        }
    }
}
