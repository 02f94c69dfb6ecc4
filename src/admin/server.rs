//! The server of the admin listener: the admin service on an address of its own.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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

/// Where a browser on this machine finds the dashboard of an admin API at `address`.
pub fn dashboard_url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        // All addresses are none that a browser can open.
        let loopback =
            |v4: bool| if v4 { Ipv4Addr::LOCALHOST.into() } else { IpAddr::from(Ipv6Addr::LOCALHOST) };
        address.set_ip(loopback(address.is_ipv4()));
    }
    format!("http://{address}/")
}

/// Serves the admin API until `stop` is cancelled. Needs a runtime that can spawn local tasks.
pub async fn serve(listener: TcpListener, admin: Admin, stop: CancellationToken) {
    let service_for = |connection: Peer| {
        let admin = admin.clone();
        service_fn(move |request| {
            let context = Context {
                listener: Listener::Admin,
                peer: connection.peer,
                is_secure: false,
                flawed_target: connection.has_invalid_target(),
            };
            let admin = admin.clone();
            async move { Ok::<_, Infallible>(admin.handle(request, context).await) }
        })
    };
    server::serve(listener, LIMITS, stop, service_for).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboard_is_where_a_browser_can_open_it() {
        for (address, url) in [
            ("127.0.0.1:5001", "http://127.0.0.1:5001/"),
            ("0.0.0.0:80", "http://127.0.0.1:80/"),
            ("[::]:5001", "http://[::1]:5001/"),
            ("10.0.0.7:5001", "http://10.0.0.7:5001/"),
        ] {
            assert_eq!(dashboard_url(address.parse().unwrap()), url);
        }
    }
}
