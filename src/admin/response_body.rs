//! The body of a response: a text, or a stream of server-sent events (HTML standard, section 9.2).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tokio_util::sync::CancellationToken;

use crate::telemetry::journal::{Entry, Reader};

/// Time after which a stream without events sends a comment, so that a lost connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The body of a response of the admin service.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    Text(Full<Bytes>),
    Events(Events),
}

impl Body {
    /// The text; empty for a stream.
    pub fn into_text(self) -> Full<Bytes> {
        match self.0 {
            Kind::Text(text) => text,
            Kind::Events(_) => Full::default(),
        }
    }
}

impl From<Bytes> for Body {
    fn from(text: Bytes) -> Self {
        Self(Kind::Text(Full::new(text)))
    }
}

impl From<Events> for Body {
    fn from(events: Events) -> Self {
        Self(Kind::Events(events))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.get_mut().0 {
            Kind::Text(text) => Pin::new(text).poll_frame(cx),
            Kind::Events(Events(stream)) => {
                stream.as_mut().poll_next(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Text(text) => text.is_end_stream(),
            Kind::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => text.size_hint(),
            Kind::Events(_) => SizeHint::default(),
        }
    }
}

/// A stream of server-sent events.
pub(super) struct Events(Pin<Box<dyn Stream<Item = Bytes> + Send>>);

/// What a stream of server-sent events is made of.
pub(super) trait Source: Send + 'static {
    /// The next events, as they are sent; `None` after the last. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

impl Source for Reader {
    async fn next(&mut self) -> Option<Bytes> {
        Self::next(self).await.map(|entry| event(&entry))
    }
}

impl Events {
    /// A stream of the entries of `reader`, until it falls behind or `end` is cancelled.
    pub(super) fn new(reader: Reader, end: CancellationToken) -> Self {
        Self::of(": the journal of ringherd\n\n", reader, end)
    }

    /// A stream of the events of `source`, until its last or until `end` is cancelled. It begins with `hello`, a
    /// comment, so that the client sees that it is connected.
    pub(super) fn of(hello: &'static str, source: impl Source, end: CancellationToken) -> Self {
        let hello = Bytes::from_static(hello.as_bytes());
        let pieces = stream::unfold((source, end, Some(hello)), |(mut source, end, first)| async move {
            let piece = match first {
                Some(first) => first,
                None => next(&mut source, &end).await?,
            };
            Some((piece, (source, end, None)))
        });
        Self(Box::pin(pieces))
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Events").finish()
    }
}

async fn next(source: &mut impl Source, end: &CancellationToken) -> Option<Bytes> {
    tokio::select! {
        events = source.next() => events,
        () = end.cancelled() => None,
        () = tokio::time::sleep(KEEP_ALIVE) => Some(Bytes::from_static(b": keep-alive\n\n")),
    }
}

fn event(Entry { number, kind, data }: &Entry) -> Bytes {
    let id = number.map_or_else(String::new, |number| format!("id: {number}\n"));
    Bytes::from(format!("{id}event: {kind}\ndata: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;
    use crate::telemetry::Journal;

    async fn piece(body: &mut Body) -> Option<String> {
        let frame = body.frame().await?.expect("it cannot fail");
        Some(String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_has_a_form_keeps_alive_and_ends() {
        let journal = Journal::default();
        let end = CancellationToken::new();
        let reader = journal.read(None).expect("room");
        let mut body = Body::from(Events::new(reader, end.clone()));
        assert_eq!(piece(&mut body).await.as_deref(), Some(": the journal of ringherd\n\n"));
        journal.record("test", &json!({"a": "two\nlines"}));
        let event = piece(&mut body).await.expect("an event");
        let (id, event) = event.split_once('\n').expect("a line");
        assert!(id.strip_prefix("id: ").is_some_and(|id| id.parse::<u64>().is_ok()), "{id}");
        assert!(event.starts_with("event: test\ndata: {\"time\":"), "{event}");
        assert!(event.ends_with(",\"a\":\"two\\nlines\"}\n\n"), "{event}");
        // The paused clock advances once every task waits.
        assert_eq!(piece(&mut body).await.as_deref(), Some(": keep-alive\n\n"));
        end.cancel();
        assert_eq!(piece(&mut body).await, None);
    }

    #[tokio::test]
    async fn a_stream_that_is_not_read_in_time_ends() {
        let journal = Journal::default();
        let end = CancellationToken::new();
        let mut body = Body::from(Events::new(journal.read(None).expect("room"), end.clone()));
        (0..1000).for_each(|_| journal.record("test", &json!({})));
        piece(&mut body).await.expect("the first piece");
        assert_eq!(piece(&mut body).await, None);
    }
}
