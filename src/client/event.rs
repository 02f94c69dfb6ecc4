//! `GET /events`: what happens, as it happens.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::sse::{Message, Parser};
use super::transport::{MAX_RESPONSE, PendingResponse};
use super::{Error, Url};

/// Longest silence of a stream that lives: a comment comes every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number; figures have none.
    pub id: Option<u64>,
    /// When, in milliseconds since the Unix epoch.
    pub time: u64,
    /// What.
    pub what: Known,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// To a replica.
    Replica(ReplicaChange),
    /// A new snapshot is in force.
    Publish(Publication),
    /// Somebody wanted a change.
    Change {
        /// Who.
        peer: String,
        /// Method and path of the request.
        request: String,
        /// What, in the words of the audit log; `None` where the request was not understood.
        change: Option<String>,
        /// `done` or `refused`.
        outcome: String,
    },
    /// Replicas can be started and stopped again, or no longer.
    Outage {
        /// Whether they can.
        available: bool,
        /// Why not.
        reason: String,
    },
    /// The configuration was read again.
    Config(String),
    /// The figures of the last second.
    Stats(Stats),
    /// Something that this version has no word for, or cannot read: its kind.
    Other(String),
}

/// What happened to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaChange {
    /// Its name.
    pub replica: String,
    /// Its number on the ring.
    pub number: u32,
    /// `starting`, `joined`, `left`, `ejected`, `recovered`, `died` or `stopped`.
    pub event: String,
    /// Its state now.
    #[serde(default)]
    pub state: String,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// Where it takes requests, once known.
    #[serde(default)]
    pub address: Option<SocketAddr>,
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publication {
    /// Its version.
    pub version: u64,
    /// Replicas on the ring.
    pub replicas: u32,
    /// Slots whose owner is another than before; `None` where the rings cannot be compared.
    #[serde(default)]
    pub slots_moved: Option<u32>,
    /// Their part of all slots, 0 to 1.
    #[serde(default)]
    pub keys_moved: Option<f64>,
}

/// The figures of a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Version of the ring.
    pub version: u64,
    /// Requests ever.
    pub requests: u64,
    /// Requests in this second.
    pub requests_per_second: f64,
    /// Answers 5xx and failures in this second.
    pub errors_per_second: f64,
    /// Attempts that were repeated.
    pub retries_per_second: f64,
    /// Requests that went past a full replica.
    pub spills_per_second: f64,
    /// Median of the durations, in milliseconds; `None` without requests.
    pub p50_ms: Option<f64>,
    /// Their 99th percentile.
    pub p99_ms: Option<f64>,
    /// Requests in flight.
    pub in_flight: u64,
    /// Connections of clients.
    pub connections: u64,
    /// The replicas in ascending number.
    pub replicas: Vec<Measured>,
}

/// A replica and its figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Number on the ring.
    pub number: u32,
    /// Name.
    pub name: String,
    /// State.
    pub state: String,
    /// Why it is not ready.
    pub note: String,
    /// 0 to 100.
    pub weight: u8,
    /// Slots it owns.
    pub slots: u32,
    /// Their part of all slots, 0 to 1.
    pub share: f64,
    /// Requests being forwarded to it.
    pub in_flight: u64,
    /// Requests ever forwarded to it.
    pub requests: u64,
    /// Requests in this second.
    pub requests_per_second: f64,
}

/// A stream of events.
pub struct Events {
    url: Url,
    answer: PendingResponse,
    parser: Parser,
    waiting: VecDeque<Message>,
    last: Option<u64>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("url", &self.url).field("last", &self.last).finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(url: Url, answer: PendingResponse, last: Option<u64>) -> Self {
        Self { url, answer, parser: Parser::new(MAX_RESPONSE), waiting: VecDeque::new(), last }
    }

    /// The number of the last event that was handed out: where to go on after an end.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Waits for the next event; `None` when the balancer has ended the stream. If it is dropped
    /// while it waits, nothing is lost.
    ///
    /// # Errors
    /// The stream broke off, was silent for too long, or holds an event without end.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        while self.waiting.is_empty() {
            let piece = tokio::time::timeout(SILENCE, self.answer.piece()).await;
            let piece = piece.map_err(|_| self.broken(&"it is silent"))?;
            let Some(piece) = piece else { return Ok(None) };
            let piece = piece.map_err(|error| self.broken(&error))?;
            let pushed = self.parser.push(&piece, |message| self.waiting.push_back(message));
            pushed.map_err(|error| Error::BadResponse(self.url.clone(), error.to_string()))?;
        }
        let Some(message) = self.waiting.pop_front() else { return Ok(None) };
        self.last = message.id.or(self.last);
        Ok(Some(Event::of(&message)))
    }

    fn broken(&self, why: &dyn std::fmt::Display) -> Error {
        Error::Unreachable(self.url.clone(), format!("the stream of events broke off: {why}"))
    }
}

impl Event {
    /// The event of a message. One that cannot be read is no reason to lose those behind it.
    fn of(message: &Message) -> Self {
        #[derive(Deserialize)]
        struct Time {
            time: u64,
        }
        let time = serde_json::from_str(&message.data).map_or(0, |Time { time }| time);
        let what = Known::of(message).unwrap_or_else(|_| Known::Other(message.event.clone()));
        Self { id: message.id, time, what }
    }
}

impl Known {
    fn of(message: &Message) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Attempt {
            peer: String,
            #[serde(default)]
            request: String,
            change: Option<String>,
            outcome: String,
        }
        #[derive(Deserialize)]
        struct Outage {
            available: bool,
            #[serde(default)]
            reason: String,
        }
        #[derive(Deserialize)]
        struct Reload {
            message: String,
        }
        fn read<T: DeserializeOwned>(message: &Message) -> serde_json::Result<T> {
            serde_json::from_str(&message.data)
        }
        Ok(match message.event.as_str() {
            "replica" => Self::Replica(read(message)?),
            "publish" => Self::Publish(read(message)?),
            "change" => {
                let Attempt { peer, request, change, outcome } = read(message)?;
                Self::Change { peer, request, change, outcome }
            }
            "outage" => {
                let Outage { available, reason } = read(message)?;
                Self::Outage { available, reason }
            }
            "config" => Self::Config(read::<Reload>(message)?.message),
            "stats" => Self::Stats(read(message)?),
            other => Self::Other(other.to_owned()),
        })
    }
}
