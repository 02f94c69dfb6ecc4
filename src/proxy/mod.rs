//! The data plane: workers that accept connections and forward requests.
//!
//! Knows the [`crate::cluster`] it routes by, and nothing of who publishes it.

mod address_text;
mod apply_rules;
mod client_limits;
mod clock;
mod connection;
mod connection_share;
mod connection_timeline;
mod dormant;
mod engine;
mod entrance;
mod error;
mod field_name;
mod forward;
mod forwarding;
mod grpc;
mod handshake;
mod header_rules;
mod headers;
mod http2;
mod interim;
#[cfg(any(test, feature = "test-util"))]
mod lab;
mod newcomers;
mod per_client;
mod pipe;
mod pool;
mod queue;
mod quiet;
mod rate_limit;
mod rate_table;
mod record;
mod redirect;
mod refusal;
mod request;
mod response;
mod route;
mod routing;
mod saved_head;
mod service;
mod shared;
#[cfg(any(test, feature = "test-util"))]
pub mod sim;
mod sticky;
#[cfg(test)]
mod tests;
mod time_limits;
mod timeline;
mod trace;
mod transport;
mod tunnel;
mod tunnels;
mod upgrade;
mod upload;
mod upstream;
mod via;
mod websocket;
pub mod worker;

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use ipnet::IpNet;

pub use crate::listen::proxy_protocol::Version as ProxyProtocol;
pub use connection_share::{BusyConnections, ConnectionShare};
pub use engine::Io;
pub use header_rules::{HeaderChange, HeaderRules, Message, is_host, why_not};
pub use sticky::{StickyConfig, StickySecret};

pub use pool::{PoolConfig, PoolShared};
pub use rate_limit::{RateError, RateKey, RateLimit};
pub use trace::TraceContext;
pub use upload::RequestBody;
pub use via::Via;
pub use worker::Shared;

/// Requests on the public listener that are answered by the balancer itself. Implemented by the
/// composition root: the data plane does not know what is asked there.
pub trait LocalRoutes: Send + Sync {
    /// Whether a request is one of those. Called for every request: must be cheap.
    fn claims(&self, method: &Method, path: &str) -> bool;

    /// Answers it.
    fn serve(&self, request: Request<RequestBody>, origin: Origin) -> LocalResponse;
}

/// A response that the balancer itself makes.
pub type LocalResponse = Pin<Box<dyn Future<Output = Response<Full<Bytes>>>>>;

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub peer: SocketAddr,
    /// Whether it came over TLS.
    pub is_secure: bool,
    /// Whether its connection carried a request line that is not valid, see
    /// [`crate::listen::TargetGuard`].
    pub invalid_target: bool,
}

/// What becomes of a request whose client has closed its sending side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HalfClose {
    /// Its client has gone: the request ends. Nearly all clients that close have gone, and what
    /// says otherwise comes too late.
    #[default]
    Abort,
    /// It is served: its client may still read.
    Serve,
}

/// The version of HTTP that replicas speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UpstreamHttp {
    /// HTTP/1.1.
    #[default]
    H1,
    /// HTTP/2: agreed on over TLS, by prior knowledge without.
    H2,
}

/// What the data plane is told of clients by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Longest pause within a body, either way.
    pub body_timeout: Duration,
    /// Time a client has for the head of a request.
    pub header_timeout: Duration,
    /// Time a client has for its TLS handshake.
    pub handshake_timeout: Duration,
    /// The port of HTTPS that requests without TLS are sent to, if they are.
    pub https_port: Option<u16>,
    /// Whether clients may speak HTTP/2.
    pub http2: bool,
    /// How long a client's connection may stay idle.
    pub keep_alive: Duration,
    /// Most client connections at a time, over all workers.
    pub max_connections: usize,
    /// Most of them of one client, if that is limited.
    pub max_connections_per_client: Option<u32>,
    /// Most requests of one connection, if that is limited.
    pub max_requests_per_connection: Option<u64>,
    /// Longest path of a request with its query, in bytes.
    pub max_uri: usize,
    /// How many requests a client may make, if that is limited.
    pub rate_limit: Option<RateLimit>,
    /// Whose requests are counted together for that.
    pub rate_limit_by: RateKey,
    /// Largest head of a request, in bytes.
    pub max_header_bytes: usize,
    /// Whether a request goes on when its client has closed its sending side.
    pub half_close: HalfClose,
    /// How bytes are received and sent.
    pub io: Io,
    /// Whether names of header fields keep the letters that they came with.
    pub preserve_header_case: bool,
    /// What is done with trace context.
    pub trace_context: TraceContext,
    /// Peers whose word on their clients is taken: their `X-Forwarded-*`, `Forwarded` and
    /// `X-Real-IP` are kept.
    pub trusted_proxies: Vec<IpNet>,
    /// What is changed in heads, if anything is.
    pub header_rules: Option<Arc<HeaderRules>>,
    /// The same of requests and responses of the routes of a name.
    pub route_rules: HashMap<Arc<str>, Arc<HeaderRules>>,
    /// Peers whose connections begin with a header of the PROXY protocol, which says where they come from.
    pub proxy_protocol: Vec<IpNet>,
    /// Whether connections to replicas begin with such a header, and in which version.
    pub upstream_proxy_protocol: Option<ProxyProtocol>,
    /// Whether requests carry the balancer's name in `Via`, by which it notices loops.
    pub via: bool,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            body_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            https_port: None,
            http2: true,
            keep_alive: Duration::from_secs(60),
            max_connections: 10_000,
            max_connections_per_client: None,
            max_requests_per_connection: None,
            // Browsers and other servers take 8 to 16 KiB.
            max_uri: 16 * 1024,
            rate_limit: None,
            rate_limit_by: RateKey::ClientIp,
            max_header_bytes: 64 * 1024,
            half_close: HalfClose::Abort,
            io: Io::default(),
            preserve_header_case: false,
            trace_context: TraceContext::Pass,
            trusted_proxies: Vec::new(),
            header_rules: None,
            route_rules: HashMap::new(),
            proxy_protocol: Vec::new(),
            upstream_proxy_protocol: None,
            via: true,
        }
    }
}
