//! A stream of server-sent events, from a connection on which it arrives.

use std::collections::VecDeque;
use std::time::Duration;

use super::sse::{Message, Parser};
use super::transport::{MAX_RESPONSE, PendingResponse};
use super::{Error, Url};

/// Time after which a silent stream counts as broken; the balancer sends a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// The messages of a stream.
pub(super) struct Messages {
    url: Url,
    response: PendingResponse,
    parser: Parser,
    waiting: VecDeque<Message>,
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Messages {
    /// The messages in the body of `response`.
    pub(super) fn new(url: Url, response: PendingResponse) -> Self {
        Self { url, response, parser: Parser::new(MAX_RESPONSE), waiting: VecDeque::new() }
    }

    /// Waits for the next message; `None` if the balancer has ended the stream. Cancel-safe.
    ///
    /// # Errors
    /// The stream broke off, was silent for too long, or has a message that is too long.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, Error> {
        while self.waiting.is_empty() {
            let piece = tokio::time::timeout(SILENCE, self.response.piece()).await;
            let piece = piece.map_err(|_| self.broken(&"it is silent"))?;
            let Some(piece) = piece else { return Ok(None) };
            let piece = piece.map_err(|error| self.broken(&error))?;
            let pushed = self.parser.push(&piece, |message| self.waiting.push_back(message));
            pushed.map_err(|error| Error::BadResponse(self.url.clone(), error.to_string()))?;
        }
        Ok(self.waiting.pop_front())
    }

    fn broken(&self, why: &dyn std::fmt::Display) -> Error {
        Error::Unreachable(self.url.clone(), format!("the stream of events broke off: {why}"))
    }
}
