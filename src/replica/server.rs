//! The server of a replica: listens, serves, and stops gracefully.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::report::Report;
use super::service::ReplicaService;
use super::stop::{StopSignals, stdin_closed};
use crate::listen::bind_one;
use crate::listen::server::{self, Limits};

/// Idle connections are kept longer than the 60 s or so after which balancers and browsers close them,
/// so that the replica never closes a connection that is about to be used. The time to stop is below
/// the default `--stop-timeout` of the balancer.
const LIMITS: Limits = Limits {
    connections: 4096,
    head: Duration::from_secs(90),
    stall: Duration::from_secs(20),
    stop: Duration::from_secs(3),
};

/// The configuration of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// Name in its responses.
    pub name: String,
    /// Address to listen on; port 0 lets the kernel choose one.
    pub listen: SocketAddr,
    /// Whether it ends when its standard input closes.
    pub exit_with_stdin: bool,
}

/// Why a replica could not start.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; {}", advice(.error))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
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

/// Serves until SIGTERM, SIGINT or (if configured) the end of standard input. Needs a runtime of
/// [`super::runtime`].
///
/// After a signal, requests in flight have a few seconds to finish. The end of standard input ends the
/// replica at once: its balancer is gone, and with it the clients.
///
/// # Errors
/// The server cannot be started. This is also reported on standard output if `exit_with_stdin` is set.
pub async fn serve(config: ReplicaConfig) -> Result<(), ReplicaError> {
    let mut signals = StopSignals::listen().map_err(ReplicaError::Signals)?;
    let listener = listen(config.listen).inspect_err(|error| {
        // Only a parent reads reports; for others the error is on standard error.
        if config.exit_with_stdin {
            Report::Failed(error.to_string()).send();
        }
    })?;
    let stop = CancellationToken::new();
    let service = ReplicaService::new(&config.name);
    let service_for = |_| {
        let service = service.clone();
        service_fn(move |request| service.clone().respond(request))
    };
    tokio::select! {
        () = stdin_closed(config.exit_with_stdin) => {}
        () = server::serve(listener, LIMITS, stop.clone(), service_for) => {}
        () = stop_in_order(&mut signals, &stop) => {}
    }
    Ok(())
}

/// Stops the server after a signal; returns after a second one, which does not wait for that.
async fn stop_in_order(signals: &mut StopSignals, stop: &CancellationToken) {
    signals.recv().await;
    stop.cancel();
    signals.recv().await;
}

/// Binds the address, and reports it to the parent.
fn listen(address: SocketAddr) -> Result<TcpListener, ReplicaError> {
    let failed = |error| ReplicaError::Bind { address, error };
    let listener = bind_one(address).and_then(TcpListener::from_std).map_err(failed)?;
    Report::Listening(listener.local_addr().map_err(failed)?).send();
    Ok(listener)
}
