//! The server of a replica: listen, accept, end in order.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::report::Report;
use super::service::Replies;
use super::stop::{StopSignals, stdin_closed};
use crate::listen::bind_one;
use crate::listen::server::{self, Limits};

/// An idle connection is kept for longer than the 60 s or so after which balancers and browsers
/// retire one themselves, so that it is never the replica that closes one in use. The time to
/// stop is below the balancer's default patience with a replica it has asked to.
const LIMITS: Limits = Limits {
    connections: 4096,
    head: Duration::from_secs(90),
    stall: Duration::from_secs(20),
    stop: Duration::from_secs(3),
};

/// What a replica is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// Name it answers with.
    pub name: String,
    /// Address to listen on; port 0 lets the kernel choose one.
    pub listen: SocketAddr,
    /// Whether it ends with its standard input.
    pub exit_with_stdin: bool,
}

/// Why a replica does not run.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; {}", advice(.error))]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The signals cannot be caught.
    #[error("cannot wait for SIGTERM: {0}")]
    Signals(io::Error),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop the program that listens there, or choose another --listen address",
        io::ErrorKind::AddrNotAvailable => "give an address of this machine to --listen",
        io::ErrorKind::PermissionDenied => "choose a port of 1024 or above with --listen",
        _ => "choose another --listen address",
    }
}

/// For a runtime of [`super::runtime`]. Serves until SIGTERM, SIGINT or (if configured) the end of standard input.
///
/// A signal lets requests in flight finish, for a few seconds. The end of standard input ends
/// the replica at once: its balancer is gone, and with it whoever waited for an answer.
///
/// # Errors
/// If the server cannot be set up; also reported on standard output if a parent holds the input.
pub async fn serve(config: ReplicaConfig) -> Result<(), ReplicaError> {
    let mut signals = StopSignals::listen().map_err(ReplicaError::Signals)?;
    let listener = listen(config.listen).inspect_err(|error| {
        // Without a parent that reads reports, the error on standard error is enough.
        if config.exit_with_stdin {
            Report::Failed(error.to_string()).send();
        }
    })?;
    let stop = CancellationToken::new();
    let replies = Replies::new(&config.name);
    let service_for = |_| {
        let replies = replies.clone();
        service_fn(move |request| replies.clone().respond(request))
    };
    tokio::select! {
        () = stdin_closed(config.exit_with_stdin) => {}
        () = server::serve(listener, LIMITS, stop.clone(), service_for) => {}
        () = stop_in_order(&mut signals, &stop) => {}
    }
    Ok(())
}

/// After a signal lets the server end by itself; a second signal does not wait for that.
async fn stop_in_order(signals: &mut StopSignals, stop: &CancellationToken) {
    signals.recv().await;
    stop.cancel();
    signals.recv().await;
}

/// Binds, and tells the parent where.
fn listen(address: SocketAddr) -> Result<TcpListener, ReplicaError> {
    let failed = |error| ReplicaError::Bind { address, error };
    let listener = bind_one(address).and_then(TcpListener::from_std).map_err(failed)?;
    Report::Listening(listener.local_addr().map_err(failed)?).send();
    Ok(listener)
}
