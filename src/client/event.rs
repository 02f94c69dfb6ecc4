//! `GET /events`: a stream of events.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Error;
use super::messages::Messages;
use super::sse::Message;

/// An event of the balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Number of the event; statistics have none.
    pub id: Option<u64>,
    /// When it happened, in milliseconds since the Unix epoch.
    pub time: u64,
    /// What happened.
    pub kind: EventKind,
}

/// The kind of an event, with its data.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// A replica changed its state.
    Replica(ReplicaChange),
    /// A snapshot was published.
    Publish(Publication),
    /// A client requested a change.
    Change {
        /// Address of the client.
        peer: String,
        /// Method and path of the request.
        request: String,
        /// The change as in the audit log; `None` if the request could not be parsed.
        change: Option<String>,
        /// `done`, `refused`, or that the client left before the response.
        outcome: String,
    },
    /// An outage of the runtime has begun or ended.
    Outage {
        /// Name of the pool; empty if the balancer does not tell.
        pool: String,
        /// Whether replicas can be started and stopped.
        available: bool,
        /// Why they cannot; empty if they can.
        reason: String,
    },
    /// The configuration was reloaded; the message says with what outcome.
    Config(String),
    /// Statistics of the last second.
    Stats(Stats),
    /// An event that this version does not know or cannot read: the name of its kind.
    Other(String),
}

/// A change of a replica's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaChange {
    /// Name of the pool; empty if the balancer does not tell.
    #[serde(default)]
    pub pool: String,
    /// Name of the replica.
    pub replica: String,
    /// Number on the ring, at least 1.
    pub number: u32,
    /// `starting`, `joined`, `left`, `ejected`, `recovered`, `died` or `stopped`.
    pub event: String,
    /// State after the change.
    #[serde(default)]
    pub state: String,
    /// Why it changed; may be empty.
    #[serde(default)]
    pub reason: String,
    /// Where it takes requests, once that is known.
    #[serde(default)]
    pub address: Option<SocketAddr>,
}

/// The publication of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publication {
    /// Name of the pool; empty if the balancer does not tell.
    #[serde(default)]
    pub pool: String,
    /// Version of the snapshot.
    pub version: u64,
    /// Number of replicas on the ring.
    pub replicas: u32,
    /// Number of slots with another owner than before; `None` if the rings cannot be compared.
    #[serde(default)]
    pub slots_moved: Option<u32>,
    /// Share of all slots that have another owner, 0 to 1; `None` as above.
    #[serde(default)]
    pub keys_moved: Option<f64>,
}

/// Statistics of one second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Version of the ring.
    pub version: u64,
    /// What was counted of all requests.
    #[serde(flatten)]
    pub rates: Rates,
    /// Number of open connections of clients.
    pub connections: u64,
    /// The replicas of all pools, by number.
    pub replicas: Vec<ReplicaStats>,
    /// The pools, of which the first is the one that paths without a pool are about.
    pub pools: Vec<PoolStats>,
}

/// What was counted of requests in one second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rates {
    /// Number of requests since the start of the balancer.
    pub requests: u64,
    /// Requests per second.
    pub requests_per_second: f64,
    /// Responses 5xx and failures per second.
    pub errors_per_second: f64,
    /// Retries per second.
    pub retries_per_second: f64,
    /// Requests per second that passed over a full replica.
    pub spills_per_second: f64,
    /// Median duration of requests, in milliseconds; `None` without requests.
    pub p50_ms: Option<f64>,
    /// 99th percentile of the durations, in milliseconds; `None` without requests.
    pub p99_ms: Option<f64>,
    /// Number of requests in flight.
    pub in_flight: u64,
}

/// Statistics of a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolStats {
    /// Its name.
    pub name: String,
    /// Version of its ring.
    pub version: u64,
    /// What was counted of its requests.
    #[serde(flatten)]
    pub rates: Rates,
}

/// Statistics of a replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplicaStats {
    /// Name of its pool; empty if the balancer does not tell.
    pub pool: String,
    /// Number on the ring.
    pub number: u32,
    /// Name as the user gave it.
    pub name: String,
    /// `starting`, `ready`, `ejected`, `draining` or `stopped`.
    pub state: String,
    /// Why it is not ready; empty if it is.
    pub note: String,
    /// Weight, 0 to 100.
    pub weight: u8,
    /// The weight it had when it was drained, to weight 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drained_from: Option<u8>,
    /// Number of slots it owns.
    pub slots: u32,
    /// Share of all slots that it owns, 0 to 1.
    pub share: f64,
    /// Number of requests in flight to it.
    pub in_flight: u64,
    /// Number of requests ever sent to it.
    pub requests: u64,
    /// Requests in this second.
    pub requests_per_second: f64,
}

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    messages: Messages,
    last: Option<u64>,
}

impl Events {
    pub(super) fn new(messages: Messages, last: Option<u64>) -> Self {
        Self { messages, last }
    }

    /// The number of the last event that was returned, to continue from after the end of the stream.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Waits for the next event; `None` if the balancer has ended the stream. Cancel-safe.
    ///
    /// # Errors
    /// The stream broke off, was silent for too long, or has an event that is too long.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        let Some(message) = self.messages.next().await? else { return Ok(None) };
        self.last = message.id.or(self.last);
        Ok(Some(Event::of(&message)))
    }
}

impl Event {
    /// The event of a message. One that cannot be read is [`EventKind::Other`], so that the stream goes
    /// on.
    fn of(message: &Message) -> Self {
        #[derive(Deserialize)]
        struct Time {
            time: u64,
        }
        let time = serde_json::from_str(&message.data).map_or(0, |Time { time }| time);
        let kind = EventKind::of(message).unwrap_or_else(|_| EventKind::Other(message.event.clone()));
        Self { id: message.id, time, kind }
    }
}

impl Stats {
    /// What they say of one pool: that of this name, or the first. Connections are those of all clients. Without
    /// that pool, and from a balancer that does not tell pools apart, they are as they were.
    #[must_use]
    pub fn of_pool(mut self, name: Option<&str>) -> Self {
        let is_wanted = |pool: &&PoolStats| name.is_none_or(|name| pool.name == name);
        let Some(pool) = self.pools.iter().find(is_wanted).cloned() else { return self };
        self.replicas.retain(|replica| replica.pool == pool.name);
        self.version = pool.version;
        // Those of a lone pool are those of all requests, also of such as reach none.
        if self.pools.len() > 1 {
            self.rates = pool.rates;
        }
        self
    }
}

impl EventKind {
    /// The pool that it is about, if it is about one and says which.
    pub fn pool(&self) -> Option<&str> {
        let pool = match self {
            Self::Replica(ReplicaChange { pool, .. })
            | Self::Publish(Publication { pool, .. })
            | Self::Outage { pool, .. } => pool,
            Self::Change { .. } | Self::Config(_) | Self::Stats(_) | Self::Other(_) => return None,
        };
        Some(pool.as_str()).filter(|pool| !pool.is_empty())
    }

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
            #[serde(default)]
            pool: String,
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
                let Outage { pool, available, reason } = read(message)?;
                Self::Outage { pool, available, reason }
            }
            "config" => Self::Config(read::<Reload>(message)?.message),
            "stats" => Self::Stats(read(message)?),
            other => Self::Other(other.to_owned()),
        })
    }
}
