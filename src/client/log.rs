//! `GET /replicas/NAME/log?follow`: what a replica writes, as it comes.

use super::Error;
use super::messages::Messages;
use super::sse::Message;

/// The output of a replica.
#[derive(Debug)]
pub struct Log(Messages);

/// What comes next of the output of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPiece {
    /// A line, without its line ending. It may have control characters.
    Line(String),
    /// So many lines were lost here, as they came faster than they were read.
    Dropped(u64),
}

impl Log {
    pub(super) fn new(messages: Messages) -> Self {
        Self(messages)
    }

    /// Waits for the next piece; `None` at the end of the replica or the balancer. Cancel-safe.
    ///
    /// # Errors
    /// The stream broke off, or was silent for too long.
    pub async fn next(&mut self) -> Result<Option<LogPiece>, Error> {
        // Kinds of a later version are passed over.
        while let Some(message) = self.0.next().await? {
            if let Some(piece) = LogPiece::of(message) {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

impl LogPiece {
    fn of(message: Message) -> Option<Self> {
        match message.event.as_str() {
            "line" => Some(Self::Line(message.data)),
            "dropped" => message.data.parse().ok().map(Self::Dropped),
            _ => None,
        }
    }
}
