//! `GET /replicas/NAME/log`: what a replica writes, as text or, for a client that follows it, as a stream of
//! server-sent events.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::error::{Reason, Refusal};
use super::pools::PoolHandle;
use super::response::{self, AdminResponse};
use super::response_body::{Events, Source};
use crate::names::FoldedName;
use crate::runtime::output::{Excerpt, MAX_BYTES, MAX_LINES, Reader, Unread};

/// Lines that a client gets that does not say how many.
const DEFAULT_LINES: usize = 50;

/// Most clients that follow a replica at a time.
const MAX_FOLLOWERS: usize = 64;

/// Room for those that follow. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Followers(Arc<Semaphore>);

impl Default for Followers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_FOLLOWERS)))
    }
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    lines: usize,
    follow: bool,
}

impl Followers {
    /// The response with the output of the replica of this name; one that is followed ends with `end`, if not
    /// before.
    pub(super) async fn respond(
        &self,
        pool: &PoolHandle,
        name: &str,
        query: Option<&str>,
        end: &CancellationToken,
    ) -> Result<AdminResponse, Refusal> {
        let wanted = Wanted::parse(query)?;
        let refusal = |unread| refusal(pool, name, unread);
        if !wanted.follow {
            let lines = pool.outputs.tail(name, wanted.lines).await.map_err(refusal)?;
            return Ok(response::with_type("text/plain; charset=utf-8", text(&lines)));
        }
        let permit = Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            let many = format!("{MAX_FOLLOWERS} clients follow replicas already, which is the limit");
            Refusal::new(Reason::Busy, many)
        })?;
        let reader = pool.outputs.follow(name, wanted.lines).await.map_err(refusal)?;
        let followed = Followed { reader, _permit: permit };
        Ok(response::stream(Events::of(": the output of a replica\n\n", followed, end.clone())))
    }
}

impl Wanted {
    fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let (mut lines, mut follow) = (None, None);
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let is_new = match key {
                "lines" => {
                    let number = value.parse().ok().filter(|lines| (1..=MAX_LINES).contains(lines));
                    lines.replace(number.ok_or_else(bad_query)?).is_none()
                }
                "follow" => follow.replace(value.parse().map_err(|_| bad_query())?).is_none(),
                _ => false,
            };
            if !is_new {
                return Err(bad_query());
            }
        }
        Ok(Self { lines: lines.unwrap_or(DEFAULT_LINES), follow: follow.unwrap_or(false) })
    }
}

fn bad_query() -> Refusal {
    let understood = format!(
        "the queries understood here are lines=NUMBER (1 to {MAX_LINES}) and follow=true or false, each once"
    );
    Refusal::new(Reason::BadRequest, understood)
}

/// The output of the replica of this name is not read.
fn refusal(pool: &PoolHandle, name: &str, unread: Unread) -> Refusal {
    let folded = FoldedName::of(name);
    let view = pool.control.view();
    let replica = view.replicas.iter().find(|replica| FoldedName::of(&replica.name) == folded);
    // How an operator finds it, such as `container 0123456789ab`.
    let instance = replica.and_then(|replica| replica.instance.as_ref());
    let instance = instance.map_or_else(String::new, |found| format!(" ({found})"));
    let (reason, what) = match unread {
        Unread::Unknown if replica.is_some() => {
            let why = pool.outputs.missing();
            (Reason::NotFound, format!("the output of '{name}'{instance} is not kept: {why}"))
        }
        Unread::Unknown => {
            (Reason::NotFound, format!("there is no replica '{name}', and no output of one that has ended"))
        }
        Unread::Unreadable(why) => {
            (Reason::NotFound, format!("the output of '{name}'{instance} is not shown: {why}"))
        }
        Unread::Unavailable(why) => (Reason::RuntimeUnavailable, why),
    };
    Refusal::new(reason, what)
}

/// A line each, and before them how many are missing.
fn text(excerpt: &Excerpt) -> String {
    let mut text = String::new();
    if excerpt.dropped > 0 {
        let _ = writeln!(text, "({} lines before these are not kept any more)", excerpt.dropped);
    }
    if excerpt.left_out > 0 {
        let (left_out, limit) = (excerpt.left_out, MAX_BYTES / 1024);
        let _ = writeln!(
            text,
            "({left_out} lines before these are left out: no more than {limit} KiB are shown)"
        );
    }
    for line in &excerpt.lines {
        push_printable(&mut text, line);
        text.push('\n');
    }
    text
}

/// A client that follows a replica.
struct Followed {
    reader: Reader,
    _permit: OwnedSemaphorePermit,
}

impl Source for Followed {
    async fn next(&mut self) -> Option<Bytes> {
        self.reader.next().await.map(|excerpt| Bytes::from(events(&excerpt)))
    }
}

/// An event for each line, and before them one that says how many are missing.
fn events(excerpt: &Excerpt) -> String {
    let mut text = String::new();
    if excerpt.dropped > 0 {
        let _ = write!(text, "event: dropped\ndata: {}\n\n", excerpt.dropped);
    }
    for (number, line) in (excerpt.first..).zip(&excerpt.lines) {
        let _ = write!(text, "id: {number}\nevent: line\ndata: ");
        push_printable(&mut text, line);
        text.push_str("\n\n");
    }
    text
}

/// Adds a line with what a terminal would obey escaped: control characters other than tabs, and characters that
/// change the direction of text.
fn push_printable(text: &mut String, line: &str) {
    for c in line.chars() {
        let turns = matches!(
            c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        if (c.is_control() && c != '\t') || turns {
            text.extend(c.escape_unicode());
        } else {
            text.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_how_many_lines_and_whether_to_follow() {
        for (query, lines, follow) in [
            (None, 50, false),
            (Some(""), 50, false),
            (Some("lines=1"), 1, false),
            (Some("lines=200&follow"), 200, true),
            (Some("follow=true"), 50, true),
            (Some("follow=false&lines=7"), 7, false),
        ] {
            assert_eq!(Wanted::parse(query), Ok(Wanted { lines, follow }), "{query:?}");
        }
        for bad in
            ["lines", "lines=0", "lines=201", "lines=-1", "lines=1&lines=1", "follow=1", "follow&follow", "x"]
        {
            let refusal = Wanted::parse(Some(bad)).map_err(|refusal| refusal.reason);
            assert_eq!(refusal, Err(Reason::BadRequest), "{bad}");
        }
    }

    #[test]
    fn lines_are_shown_as_they_came_but_nothing_moves_the_cursor() {
        let lines = ["a\tü", "", "\u{1b}[2Jx\r\u{202e}"].map(Into::into).to_vec();
        let excerpt = Excerpt { first: 7, lines, ..Excerpt::default() };
        assert_eq!(text(&excerpt), "a\tü\n\n\\u{1b}[2Jx\\u{d}\\u{202e}\n");
        let left_out = Excerpt { left_out: 3, first: 4, lines: vec!["x".into()], ..Excerpt::default() };
        assert_eq!(
            text(&left_out),
            "(3 lines before these are left out: no more than 64 KiB are shown)\nx\n"
        );
        let gap = Excerpt { dropped: 3, left_out: 0, ..left_out };
        assert_eq!(text(&gap), "(3 lines before these are not kept any more)\nx\n");
        assert_eq!(events(&gap), "event: dropped\ndata: 3\n\nid: 4\nevent: line\ndata: x\n\n");
    }
}
