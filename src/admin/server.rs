//! The server of the admin listener: the admin service on an address of its own.

use std::convert::Infallible;
use std::time::Duration;

use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Admin, Context, Listener};
use crate::listen::server::{self, Limits, Peer};

/// Limits for a few operators and their scripts.
const LIMITS: Limits = Limits {
    connections: 1024,
    head: Duration::from_secs(30),
    stall: Duration::from_secs(20),
    stop: Duration::from_secs(1),
};

/// Serves the admin API until `stop` is cancelled. Needs a runtime that can spawn local tasks.
pub async fn serve(listener: TcpListener, admin: Admin, stop: CancellationToken) {
    let service_for = |connection: Peer| {
        let admin = admin.clone();
        service_fn(move |request| {
            let context = Context {
                listener: Listener::Admin,
                peer: connection.peer,
                flawed_target: connection.has_invalid_target(),
            };
            let admin = admin.clone();
            async move { Ok::<_, Infallible>(admin.handle(request, context).await) }
        })
    };
    server::serve(listener, LIMITS, stop, service_for).await;
}
