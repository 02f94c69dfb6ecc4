//! Connections to replicas over HTTP/2, which requests share: each has a stream of its own on one.
//!
//! [`SharedConnections`] are those of one worker. A connection takes streams as far as its replica lets it,
//! and at most [`MAX_STREAMS`]. When the last one fills up, another is dialled while it still has room. All
//! who wait for a connection wait for the same one. What happens on one stream is in [`exchange`].

mod body;
mod connection;
mod exchange;
mod head;
mod pump;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashSet;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use fxhash::FxHashMap;
use tokio::sync::Notify;

use super::pool::{Pool, PoolConfig};
use super::timeline::Millis;
use super::transport::Connecting;
use super::upstream::ConnectError;
use crate::cluster::{Endpoint, PoolSnapshot};
use crate::listen;
pub(crate) use body::StreamBody;
use connection::{Opened, SharedConnection};
pub(crate) use exchange::{Sending, Stream};

/// Most streams of one connection, however many its replica allows.
const MAX_STREAMS: usize = 100;

/// Connections dialled for one request, all of which may turn out full or closed.
const MAX_DIALS: usize = 3;

/// The connections of one worker, by endpoint id.
#[derive(Debug)]
pub(crate) struct SharedConnections {
    /// Whether there is TLS below them.
    is_tls: bool,
    by_endpoint: RefCell<FxHashMap<u64, ToEndpoint>>,
    /// How long one is kept after its last use.
    keep: Cell<Millis>,
}

/// The connections to one endpoint.
#[derive(Debug, Default)]
struct ToEndpoint {
    /// The first ones are filled first, so that the last ones become idle.
    open: Vec<Rc<SharedConnection>>,
    dialling: Option<Rc<Dial>>,
}

/// A connection that is being made.
#[derive(Debug, Default)]
struct Dial {
    /// Set once it is there, or cannot be.
    outcome: OnceCell<Result<(), NotDialled>>,
    over: Notify,
}

#[derive(Debug)]
struct NotDialled {
    kind: io::ErrorKind,
    why: String,
    is_exhaustion: bool,
}

impl Dial {
    async fn wait(&self) -> Result<(), ConnectError> {
        loop {
            let over = self.over.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome.as_ref().copied().map_err(|failed| {
                    let error = io::Error::new(failed.kind, failed.why.clone());
                    if failed.is_exhaustion {
                        ConnectError::Exhausted(error)
                    } else {
                        ConnectError::Failed(error)
                    }
                });
            }
            over.await;
        }
    }
}

impl ToEndpoint {
    /// A stream on the first connection that has room.
    fn stream(&mut self) -> Option<Stream> {
        self.open.retain(|connection| connection.is_usable());
        self.open.iter().find_map(Stream::on)
    }

    /// Whether all connections are so full that another one will be needed.
    fn is_crowded(&self) -> bool {
        self.open.iter().all(|connection| connection.is_crowded())
    }
}

impl SharedConnections {
    /// None yet, over TLS or not.
    pub(crate) fn new(is_tls: bool, config: &PoolConfig) -> Self {
        let shared = Self { is_tls, by_endpoint: RefCell::default(), keep: Cell::default() };
        shared.keep_for(config.upstream_keep_alive);
        shared
    }

    /// From now on keeps a connection for `keep` after its last use.
    pub(crate) fn keep_for(&self, keep: Duration) {
        self.keep.set(keep.as_millis().try_into().unwrap_or(Millis::MAX));
    }

    /// A stream to `endpoint`, and whether a connection was dialled for it. Waits for one if there is none
    /// with room. Has to be called on a thread that runs local tasks.
    pub(crate) async fn stream(
        self: &Rc<Self>,
        endpoint: &Endpoint,
        pool: &Pool,
    ) -> Result<(Stream, bool), ConnectError> {
        for dials in 0..=MAX_DIALS {
            let dial = {
                let mut by_endpoint = self.by_endpoint.borrow_mut();
                let to = by_endpoint.entry(endpoint.id).or_default();
                let stream = to.stream();
                if (stream.is_none() || to.is_crowded()) && to.dialling.is_none() {
                    let dial = Rc::<Dial>::default();
                    to.dialling = Some(Rc::clone(&dial));
                    let config = pool.config();
                    let opened = Opened::new(&config, self.is_tls, &endpoint.host);
                    // No client is told of: the connection is for many (`config::agree` sees to it).
                    let connecting = pool.connector.connect(endpoint, Vec::new());
                    let limit = config.connect_timeout;
                    let dialling = Rc::clone(self).dial(endpoint.id, connecting, opened, limit, dial);
                    tokio::task::spawn_local(dialling);
                }
                if let Some(stream) = stream {
                    return Ok((stream, dials > 0));
                }
                to.dialling.clone()
            };
            if let Some(dial) = dial {
                dial.wait().await?;
            }
        }
        Err(ConnectError::Failed(io::Error::other("each new connection is full or closed at once")))
    }

    /// Makes a connection, whoever waits for it or not.
    async fn dial(
        self: Rc<Self>,
        endpoint: u64,
        connecting: Connecting,
        opened: Opened,
        limit: Duration,
        dial: Rc<Dial>,
    ) {
        let outcome = match tokio::time::timeout(limit, opened.over(connecting)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")),
        };
        if let Some(to) = self.by_endpoint.borrow_mut().get_mut(&endpoint) {
            to.dialling = None;
            to.open.extend(outcome.as_ref().ok().cloned());
        }
        let outcome = outcome.map(drop).map_err(|error| NotDialled {
            kind: error.kind(),
            why: error.to_string(),
            is_exhaustion: listen::is_exhaustion(&error),
        });
        // Set here alone.
        let _ = dial.outcome.set(outcome);
        dial.over.notify_waiters();
    }

    /// Closes what has been idle for too long. Those to replicas that are no longer there take no more
    /// streams, and close behind the last one.
    pub(crate) fn sweep(&self, now: Millis, snapshot: &PoolSnapshot) {
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        if by_endpoint.is_empty() {
            return;
        }
        let present: HashSet<u64> = snapshot.members().iter().map(|member| member.endpoint.id).collect();
        by_endpoint.retain(|endpoint, to| {
            to.open
                .retain(|connection| connection.is_usable() && !connection.is_idle_for(self.keep.get(), now));
            present.contains(endpoint) && (!to.open.is_empty() || to.dialling.is_some())
        });
    }
}
