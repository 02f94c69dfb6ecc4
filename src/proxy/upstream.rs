//! Connections to replicas: those that are idle, and new ones.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use fxhash::FxHashMap;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::clock::{Millis, Watch};
use super::stream::UpstreamStream;
use super::upload::RequestBody;
use crate::cluster::{Endpoint, Snapshot};
use crate::listen;

/// Idle connections kept per replica and worker; more than this are closed after use.
const MAX_IDLE: usize = 256;

/// A connection to a replica. Dropping it ends the connection, whatever is still under way on
/// it: a replica that answered early and does not read the rest of an upload must not keep it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) sender: SendRequest<RequestBody>,
    task: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Idle connections of one worker, by endpoint id; the one used last is used next.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: RefCell<FxHashMap<u64, Vec<Idle>>>,
    keep: Cell<Millis>,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Millis,
}

impl Pool {
    /// A pool that keeps a connection for `keep` after its last use.
    pub(crate) fn new(keep: Duration) -> Self {
        let pool = Self { idle: RefCell::default(), keep: Cell::default() };
        pool.keep_for(keep);
        pool
    }

    /// From now on keeps a connection for `keep` after its last use.
    pub(crate) fn keep_for(&self, keep: Duration) {
        self.keep.set(keep.as_millis() as Millis);
    }

    /// An idle connection that is open as far as we know.
    pub(crate) fn take(&self, endpoint: u64, now: Millis) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&endpoint)?;
        while let Some(Idle { link, since }) = kept.pop() {
            if now.saturating_sub(since) > self.keep.get() {
                // Those below it are older still.
                kept.clear();
                return None;
            }
            if link.sender.is_ready() {
                return Some(link);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(crate) fn put(&self, endpoint: u64, link: Link, now: Millis) {
        if link.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(endpoint).or_default();
        if kept.len() < MAX_IDLE {
            kept.push(Idle { link, since: now });
        }
    }

    /// Closes what has been idle for too long, and all to replicas that are no longer there.
    pub(crate) fn sweep(&self, now: Millis, snapshot: &Snapshot) {
        self.idle.borrow_mut().retain(|endpoint, kept| {
            kept.retain(|idle| {
                !idle.link.sender.is_closed() && now.saturating_sub(idle.since) <= self.keep.get()
            });
            !kept.is_empty() && snapshot.members().iter().any(|member| member.endpoint.id == *endpoint)
        });
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    TimedOut,
    /// The replica's doing.
    Failed(io::Error),
    /// This machine has run out of something: says nothing of the replica.
    Exhausted(io::Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        if listen::is_exhaustion(&error) { Self::Exhausted(error) } else { Self::Failed(error) }
    }
}

/// Opens a connection to a replica, within the deadline of `watch`.
pub(crate) async fn connect(
    builder: &Builder,
    endpoint: &Endpoint,
    watch: &Watch,
) -> Result<Link, ConnectError> {
    let tcp = within(watch, TcpStream::connect(endpoint.address)).await.ok_or(ConnectError::TimedOut)??;
    // Heads and small bodies go out at once instead of waiting for an acknowledgement.
    let _ = tcp.set_nodelay(true);
    let (sender, connection) = builder
        .handshake(TokioIo::new(UpstreamStream(tcp)))
        .await
        .map_err(|error| ConnectError::Failed(io::Error::other(error)))?;
    let task = tokio::task::spawn_local(async move {
        // Its errors reach the request that was on it; on an idle connection they only end it.
        let _ = connection.await;
    });
    Ok(Link { sender, task: task.abort_handle() })
}

/// `future`, or `None` once the deadline of `watch` has passed. The task must be registered
/// with the watch, as that of a client's connection is.
pub(crate) async fn within<F: Future>(watch: &Watch, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if watch.is_expired() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}
