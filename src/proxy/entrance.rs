//! What a connection has to pass before anything on it is read as TLS or HTTP: a header of the PROXY
//! protocol, if it comes from one of those who send one, and the limit on connections of one client.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::sync::watch;

use super::connection::Ends;
use super::forwarding;
use super::per_client::ClientPlace;
use super::worker::Worker;
use crate::listen::Stream;
use crate::listen::proxy_protocol::{self, Header, HeaderError, Parsed};
use crate::telemetry::RefusedConnection;

/// Between two warnings of one kind.
const WARNING_PAUSE: Duration = Duration::from_secs(60);

/// Bytes that are looked at for a header: the whole of nearly all there are.
const LOOK: usize = 256;

/// How long a header may still take when the balancer stops.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// A connection that may be served.
pub(super) struct Entrant {
    pub(super) tcp: Stream,
    pub(super) ends: Ends,
    /// Held until its end.
    pub(super) place: Option<ClientPlace>,
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// Its client has as many as it may.
    #[error("its client has {0} connections already (--max-connections-per-client)")]
    PerClient(u32),
    /// It has no header that is good.
    #[error("{0} (--proxy-protocol)")]
    Header(#[from] HeaderError),
    /// It is not one of those that send one.
    #[error("it begins like a header of the PROXY protocol, and its address is not in --proxy-protocol")]
    Stranger,
    /// There is none in time.
    #[error("no header of the PROXY protocol came within --header-timeout")]
    Late,
    /// It ended within its header.
    #[error("the connection ended within the header of the PROXY protocol: {0}")]
    Cut(io::Error),
}

/// When a warning of each kind was given last.
#[derive(Debug, Default)]
pub(crate) struct Warned([Cell<Option<Instant>>; RefusedConnection::ALL.len()]);

impl Warned {
    fn is_due(&self, why: RefusedConnection) -> bool {
        let last = &self.0[why as usize];
        let is_due = last.get().is_none_or(|before| before.elapsed() > WARNING_PAUSE);
        if is_due {
            last.set(Some(Instant::now()));
        }
        is_due
    }
}

/// Whether a connection has to pass anything here.
pub(super) fn is_guarded(worker: &Worker) -> bool {
    let config = worker.config();
    config.max_connections_per_client.is_some()
        || !config.proxy_protocol.is_empty()
        || config.upstream_proxy_protocol.is_some()
}

/// Lets a connection pass; `None` if it does not, which is counted, or if it leaves.
pub(super) async fn pass(
    worker: &Worker,
    mut tcp: Stream,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
) -> Option<Entrant> {
    let sends_header = forwarding::is_trusted(peer.ip(), &worker.config().proxy_protocol);
    let told = if sends_header {
        match header_in_time(worker, &mut tcp, stop).await {
            Ok(header) => header?.ends,
            Err(refused) => return refuse(worker, peer, RefusedConnection::ProxyProtocol, &refused),
        }
    } else {
        None
    };
    let (peer, local) = match told {
        Some((source, destination)) => (source, Some(destination)),
        None => (peer, tcp.local_addr().ok()),
    };
    let (limit, is_exempt) = {
        let config = worker.config();
        // A connection of a proxy is one of many clients.
        let is_of_proxy = told.is_none() && sends_header;
        let is_exempt = is_of_proxy || forwarding::is_trusted(peer.ip(), &config.trusted_proxies);
        (config.max_connections_per_client, is_exempt)
    };
    let mut place = None;
    if let Some(limit) = limit.filter(|_| !is_exempt) {
        place = worker.per_client.enter(peer.ip(), limit);
        if place.is_none() {
            return refuse(worker, peer, RefusedConnection::PerClient, &Refused::PerClient(limit));
        }
    }
    Some(Entrant { tcp, ends: Ends { peer, local }, place })
}

/// Counts a connection that may have begun with a header although nobody waits for one.
#[cold]
pub(super) fn refuse_stranger(worker: &Worker, peer: SocketAddr) {
    refuse(worker, peer, RefusedConnection::ProxyProtocol, &Refused::Stranger);
}

fn refuse(worker: &Worker, peer: SocketAddr, why: RefusedConnection, refused: &Refused) -> Option<Entrant> {
    worker.recorder.connection_refused(why);
    if worker.warned.is_due(why) {
        let pause = WARNING_PAUSE;
        tracing::warn!(%peer, %refused, ?pause, "a connection is refused; others like it are not logged for a while");
    } else {
        tracing::debug!(%peer, %refused, "a connection is refused");
    }
    None
}

/// The header at the beginning of a connection; `None` if it ends or makes room before it has begun, or the
/// balancer stops.
async fn header_in_time(
    worker: &Worker,
    tcp: &mut Stream,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<Header>, Refused> {
    let within = worker.config().header_timeout;
    tokio::select! {
        outcome = tokio::time::timeout(within, header(worker, tcp)) => outcome.unwrap_or(Err(Refused::Late)),
        () = async {
            // An error means that the balancer is gone.
            let _ = stop.wait_for(|stop| *stop).await;
            tokio::time::sleep(STOP_PATIENCE).await;
        } => Ok(None),
    }
}

/// Reads a header, and not a byte of what follows it.
async fn header(worker: &Worker, tcp: &mut Stream) -> Result<Option<Header>, Refused> {
    let mut look = [0; LOOK];
    let looked = worker.newcomers.wait(worker.clock.now(), tcp.peek(&mut look)).await;
    let seen = match looked {
        // One that only looks whether anybody listens, as checks of health do.
        None | Some(Ok(0) | Err(_)) => return Ok(None),
        Some(Ok(seen)) => seen,
    };
    // As a rule all of it is there.
    let mut wanted = match proxy_protocol::parse(&look[..seen])? {
        Parsed::Header(_, length) => length,
        Parsed::Missing(missing) => seen + missing,
    };
    let mut bytes = Vec::with_capacity(wanted);
    loop {
        let have = bytes.len();
        bytes.resize(wanted, 0);
        tcp.read_exact(&mut bytes[have..]).await.map_err(Refused::Cut)?;
        match proxy_protocol::parse(&bytes)? {
            Parsed::Header(header, _) => return Ok(Some(header)),
            Parsed::Missing(missing) => wanted += missing,
        }
    }
}
