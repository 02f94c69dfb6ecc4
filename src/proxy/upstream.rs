//! Connections to replicas: leases on those that are idle, and on new ones.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fxhash::FxHashMap;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use tokio::task::JoinHandle;

use super::quiet::{self, QuietWaker};
use super::shared::{self, Stream, StreamBody};
use super::timeline::Millis;
use super::transport::{Gathering, Transport};
use super::upload::RequestBody;
use crate::cluster::PoolSnapshot;
use crate::listen;

/// Idle connections kept per replica and worker; more than this are closed after use.
const MAX_IDLE: usize = 256;

/// The right to send one request to a replica.
#[derive(Debug)]
pub(crate) enum Lease {
    /// A connection of its own, over HTTP/1.
    Own(OwnConnection),
    /// A stream of one that is shared, over HTTP/2.
    Stream(Stream),
}

/// A connection of one request at a time. Dropped before its response is complete it ends, whatever is
/// still under way on it: a replica that responded early and does not read the rest of an upload must not
/// keep it.
#[derive(Debug)]
pub(crate) struct OwnConnection {
    sender: SendRequest<RequestBody>,
    /// Whether its connection was said to be that of one client.
    is_of_one_client: bool,
    /// Ends with the connection, and with its stream if that is kept.
    task: JoinHandle<Option<UpgradedStream>>,
}

/// The stream of a connection that has switched to another protocol.
pub(crate) struct UpgradedStream {
    pub(crate) transport: Box<dyn Transport>,
    /// What came behind the head of the response already.
    pub(crate) early: Bytes,
}

impl fmt::Debug for UpgradedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradedStream").field("early", &self.early.len()).finish_non_exhaustive()
    }
}

impl Lease {
    /// Takes `transport`, a fresh connection, into use, of which the stream is kept if the request on it
    /// offers an upgrade. For a task of a thread that runs local tasks.
    pub(crate) async fn over(
        transport: Box<dyn Transport>,
        builder: &Builder,
        for_upgrade: bool,
    ) -> io::Result<Self> {
        let (sender, connection) = builder.handshake(Gathering(transport)).await.map_err(io::Error::other)?;
        let task = tokio::task::spawn_local(async move {
            let (mut connection, mut quiet) = (connection, QuietWaker::default());
            // Its errors reach the request that was on it; on an idle connection they only end it.
            // hyper ends it with the head of a 101, and leaves the stream open.
            let served = poll_fn(|cx| Pin::new(&mut connection).poll(&mut Context::from_waker(quiet.of(cx))));
            let is_well = served.await.is_ok();
            (is_well && for_upgrade).then(|| {
                let parts = connection.into_parts();
                UpgradedStream { transport: parts.io.0, early: parts.read_buf }
            })
        });
        Ok(Self::Own(OwnConnection { sender, task, is_of_one_client: false }))
    }

    /// Its connection was said to be that of one client: no other may use it.
    pub(crate) fn belongs_to_one_client(mut self) -> Self {
        if let Self::Own(own) = &mut self {
            own.is_of_one_client = true;
        }
        self
    }

    /// Whether it was.
    pub(crate) fn is_of_one_client(&self) -> bool {
        matches!(self, Self::Own(own) if own.is_of_one_client)
    }

    /// The stream behind a 101, which there is over HTTP/1 alone.
    pub(crate) async fn into_stream(self) -> Option<UpgradedStream> {
        match self {
            Self::Own(mut own) => (&mut own.task).await.ok().flatten(),
            Self::Stream(_) => None,
        }
    }

    /// Nothing came in time on it.
    pub(crate) fn timed_out(&self) {
        if let Self::Stream(stream) = self {
            stream.distrust();
        }
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// See [`SendError`].
    pub(crate) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, Box<SendError>>> + use<> {
        let had_body = !request.body().is_end_stream();
        let sending = match self {
            Self::Own(own) => Sending::Own(own.sender.try_send_request(request)),
            Self::Stream(stream) => Sending::Stream(stream.send(request)),
        };
        async move {
            match sending {
                Sending::Own(sent) => match sent.await {
                    Ok(response) => Ok(response.map(UpstreamBody::Http1)),
                    Err(error) => Err(Box::new(SendError::new(error, had_body))),
                },
                Sending::Stream(sent) => sent.await,
            }
        }
    }
}

/// A request that is being sent.
enum Sending<F> {
    Own(F),
    Stream(shared::Sending),
}

/// Why a request got no response.
#[derive(Debug)]
pub(crate) struct SendError {
    pub(crate) blame: Blame,
    /// The request, if nothing of it was sent or looked at.
    pub(crate) unsent: Option<Request<RequestBody>>,
}

/// What a request without a response failed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The connection ended.
    Connection,
    /// What came is not HTTP.
    Response,
    /// The head of what came is larger, or has more fields, than is taken.
    ResponseHead,
    /// Its own body broke off.
    RequestBody,
    /// Its own head cannot be sent, and why.
    RequestHead(&'static str),
    /// The replica has not looked at it: its connection was ending, or had no room for it.
    NotProcessed,
}

impl SendError {
    fn new(mut error: TrySendError<Request<RequestBody>>, had_body: bool) -> Self {
        let unsent = error.take_message();
        let error = error.into_error();
        let blame = if error.is_parse_too_large() {
            Blame::ResponseHead
        } else if error.is_parse() {
            Blame::Response
        } else if error.is_user() && had_body {
            // Of what is ours in a request only its body can fail, and that comes from the client.
            Blame::RequestBody
        } else {
            Blame::Connection
        };
        Self { blame, unsent }
    }
}

impl Drop for OwnConnection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The body of a replica's response.
#[derive(Debug)]
pub(crate) enum UpstreamBody {
    Http1(Incoming),
    Http2(StreamBody),
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Http1(body) => quiet::poll_frame(Pin::new(body), cx).map_err(Into::into),
            Self::Http2(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

/// Idle connections of one worker, by endpoint id; the one used last is used next.
#[derive(Debug)]
pub(crate) struct IdleConnections {
    idle: RefCell<FxHashMap<u64, Vec<Idle>>>,
    /// How long one is kept after its last use.
    keep: Cell<Millis>,
}

#[derive(Debug)]
struct Idle {
    own: OwnConnection,
    since: Millis,
}

impl IdleConnections {
    /// Keeps a connection for `keep` after its last use.
    pub(crate) fn new(keep: Duration) -> Self {
        let idle = Self { idle: RefCell::default(), keep: Cell::default() };
        idle.keep_for(keep);
        idle
    }

    /// From now on keeps a connection for `keep` after its last use.
    pub(crate) fn keep_for(&self, keep: Duration) {
        self.keep.set(keep.as_millis().try_into().unwrap_or(Millis::MAX));
    }

    fn is_fresh(&self, idle: &Idle, now: Millis) -> bool {
        now.saturating_sub(idle.since) <= self.keep.get()
    }

    /// Closes all.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    /// An idle connection that is open as far as we know.
    pub(crate) fn take(&self, endpoint: u64, now: Millis) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&endpoint)?;
        while let Some(last) = kept.pop() {
            if !self.is_fresh(&last, now) {
                // Those below it are older still.
                kept.clear();
                return None;
            }
            if last.own.sender.is_ready() {
                return Some(Lease::Own(last.own));
            }
        }
        None
    }

    /// Keeps a connection for the next request. One that is shared is kept elsewhere.
    pub(crate) fn put(&self, endpoint: u64, lease: Lease, now: Millis) {
        let Lease::Own(own) = lease else { return };
        if own.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(endpoint).or_default();
        if kept.len() < MAX_IDLE {
            kept.push(Idle { own, since: now });
        }
    }

    /// Closes what has been idle for too long, and all to replicas that are no longer there.
    pub(crate) fn sweep(&self, now: Millis, snapshot: &PoolSnapshot) {
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() {
            return;
        }
        let present: HashSet<u64> = snapshot.members().iter().map(|member| member.endpoint.id).collect();
        idle.retain(|endpoint, kept| {
            kept.retain(|idle| !idle.own.sender.is_closed() && self.is_fresh(idle, now));
            !kept.is_empty() && present.contains(endpoint)
        });
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
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
