//! One connection that requests share.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::HeaderMap;
use hyper_util::rt::TokioIo;

use super::MAX_STREAMS;
use crate::proxy::PoolConfig;
use crate::proxy::timeline::Millis;
use crate::proxy::transport::Connecting;

/// Bytes of one response that may be on their way, or wait here for its client.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same of all responses of a connection: more than all its streams together, because clients that do
/// not read must not hold up the others. Half of it is also what h2 allows of small frames before it takes
/// them for a flood.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Bytes of one request's body that wait for its replica's window.
const MAX_SEND_BUFFER: usize = 64 * 1024;

/// Streams that were taken back, of which frames may still come for a second.
const MAX_RESET: usize = 1024;

/// The limits on the head of a response. h2 is told of twice as many bytes: what is beyond its own limit it
/// takes for malformed, and nobody could say what is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    bytes: usize,
    fields: usize,
}

impl HeadLimits {
    /// Whether a head is beyond them, measured as over HTTP/1.
    pub(super) fn are_passed(self, headers: &HeaderMap) -> bool {
        let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
        headers.len() > self.fields || lines.sum::<usize>() > self.bytes
    }
}

/// What a connection is opened with.
#[derive(Debug)]
pub(super) struct Opened {
    builder: Builder,
    is_tls: bool,
    limits: HeadLimits,
    host: Arc<str>,
}

/// An open connection. It closes when it is dropped and its last stream has ended.
pub(super) struct SharedConnection {
    sender: SendRequest<Bytes>,
    pub(super) is_tls: bool,
    pub(super) limits: HeadLimits,
    /// What the replica is called where a request does not say.
    pub(super) host: Arc<str>,
    streams: Cell<usize>,
    /// Whether it takes no more streams.
    retired: Cell<bool>,
    /// Whether it has ended.
    ended: Rc<Cell<bool>>,
    /// Whether it had a stream before.
    used: Cell<bool>,
    /// When it was first seen without a stream.
    idle_since: Cell<Option<Millis>>,
}

impl std::fmt::Debug for SharedConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedConnection").field("streams", &self.streams).finish_non_exhaustive()
    }
}

impl Opened {
    pub(super) fn new(config: &PoolConfig, is_tls: bool, host: &Arc<str>) -> Self {
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(MAX_STREAMS)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(MAX_SEND_BUFFER)
            .max_concurrent_reset_streams(MAX_RESET)
            .max_header_list_size(u32::try_from(2 * config.max_response_header_bytes).unwrap_or(u32::MAX));
        let limits =
            HeadLimits { bytes: config.max_response_header_bytes, fields: config.max_response_headers };
        Self { builder, is_tls, limits, host: Arc::clone(host) }
    }

    /// Opens one.
    pub(super) async fn over(self, connecting: Connecting) -> io::Result<Rc<SharedConnection>> {
        let transport = connecting.await?;
        let handshake = self.builder.handshake::<_, Bytes>(TokioIo::new(transport)).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        let ended = Rc::new(Cell::new(false));
        let at_end = Rc::clone(&ended);
        tokio::task::spawn_local(async move {
            // Its errors reach the requests that are on it.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection of HTTP/2 to a replica ended");
            }
            at_end.set(true);
        });
        Ok(Rc::new(SharedConnection {
            sender,
            is_tls: self.is_tls,
            limits: self.limits,
            host: self.host,
            streams: Cell::new(0),
            retired: Cell::new(false),
            ended,
            used: Cell::new(false),
            idle_since: Cell::new(None),
        }))
    }
}

impl SharedConnection {
    /// Whether it takes streams, as far as is known: it is open, and its replica has not said GOAWAY.
    pub(super) fn is_usable(&self) -> bool {
        !self.retired.get() && !self.ended.get() && self.sender().is_some()
    }

    /// What a request is sent with; `None` where the connection takes none any more.
    pub(super) fn sender(&self) -> Option<SendRequest<Bytes>> {
        let mut sender = self.sender.clone();
        let ready = sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        // A new handle waits for no stream of its own.
        matches!(ready, std::task::Poll::Ready(Ok(()))).then_some(sender)
    }

    fn max_streams(&self) -> usize {
        self.sender.current_max_send_streams().min(MAX_STREAMS)
    }

    /// Whether another connection will be needed soon: at 80 % of the streams.
    pub(super) fn is_crowded(&self) -> bool {
        self.streams.get() * 5 >= self.max_streams() * 4
    }

    /// Counts a stream, if there is room for it; and whether there was one before.
    pub(super) fn enter(&self) -> Option<bool> {
        if self.streams.get() >= self.max_streams() {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        self.idle_since.set(None);
        Some(self.used.replace(true))
    }

    /// A stream of it has ended.
    pub(super) fn leave(&self) {
        self.streams.set(self.streams.get() - 1);
    }

    /// Has it take no more streams: it may be dead, or about to end.
    pub(super) fn retire(&self) {
        self.retired.set(true);
    }

    /// Whether it has had no streams for longer than `keep`, as seen by who asks every now and then.
    pub(super) fn is_idle_for(&self, keep: Millis, now: Millis) -> bool {
        if self.streams.get() > 0 {
            return false;
        }
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        now.saturating_sub(since) > keep
    }
}
