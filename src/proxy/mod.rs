//! The data plane: workers that accept connections and forward requests.
//!
//! Knows the [`crate::cluster`] it routes by, and nothing of who publishes it.

mod client_limits;
mod clock;
mod connection;
mod connection_timeline;
mod entrance;
mod error;
mod forward;
mod forwarding;
mod grpc;
mod handshake;
mod header_rules;
mod headers;
mod http2;
#[cfg(any(test, feature = "test-util"))]
mod lab;
mod newcomers;
mod per_client;
mod pipe;
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
pub mod worker;

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
pub use header_rules::{HeaderChange, HeaderRules, Message, is_host, why_not};
pub use sticky::{StickyConfig, StickySecret};

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
    fn serve(
        &self,
        request: Request<RequestBody>,
        origin: Origin,
    ) -> Pin<Box<dyn Future<Output = Response<Full<Bytes>>>>>;
}

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

/// What the data plane is told by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct ProxyConfig {
    /// Time to connect to a replica.
    pub connect_timeout: Duration,
    /// How long a request waits for a replica where none takes requests and one is starting.
    pub wait_for_replica: Duration,
    /// Most requests that wait, over all workers, where all replicas have as many as they may.
    pub queue: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Time from the end of the request to the head of its response.
    pub response_timeout: Duration,
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
    /// What replicas speak.
    pub upstream_http: UpstreamHttp,
    /// How long a client's connection may stay idle.
    pub keep_alive: Duration,
    /// How long an idle connection to a replica is kept; below the replica's own time-out.
    pub upstream_keep_alive: Duration,
    /// Most client connections at a time, over all workers.
    pub max_connections: usize,
    /// Most of them of one client, if that is limited.
    pub max_connections_per_client: Option<u32>,
    /// Most requests of one connection, if that is limited.
    pub max_requests_per_connection: Option<u64>,
    /// Largest body of a request, in bytes, if that is limited.
    pub max_body: Option<u64>,
    /// Longest path of a request with its query, in bytes.
    pub max_uri: usize,
    /// How many requests a client may make, if that is limited.
    pub rate_limit: Option<RateLimit>,
    /// Whose requests are counted together for that.
    pub rate_limit_by: RateKey,
    /// Largest head of a request, in bytes.
    pub max_header_bytes: usize,
    /// Largest head of a replica's response, in bytes.
    pub max_response_header_bytes: usize,
    /// Most fields in the head of a replica's response.
    pub max_response_headers: usize,
    /// Longest pause within a body that is an endless stream of events, and within a tunnel.
    pub stream_timeout: Duration,
    /// Whether a request goes on when its client has closed its sending side.
    pub half_close: HalfClose,
    /// Whether names of header fields keep the letters that they came with.
    pub preserve_header_case: bool,
    /// Whether responses name the replica that they come from.
    pub expose_replica: bool,
    /// What is done with trace context.
    pub trace_context: TraceContext,
    /// Peers whose word on their clients is taken: their `X-Forwarded-*`, `Forwarded` and
    /// `X-Real-IP` are kept.
    pub trusted_proxies: Vec<IpNet>,
    /// What is changed in heads, if anything is.
    pub header_rules: Option<Arc<HeaderRules>>,
    /// Sticky sessions.
    pub sticky: StickyConfig,
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
            connect_timeout: Duration::from_secs(1),
            wait_for_replica: Duration::from_secs(2),
            queue: 1024,
            queue_timeout: Duration::from_secs(1),
            // A long poll, or a model that thinks, takes half a minute and more.
            response_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            https_port: None,
            http2: true,
            upstream_http: UpstreamHttp::H1,
            keep_alive: Duration::from_secs(60),
            // Node closes after 5 s and others later; below it a re-used connection is live.
            upstream_keep_alive: Duration::from_secs(4),
            max_connections: 10_000,
            max_connections_per_client: None,
            max_requests_per_connection: None,
            max_body: None,
            // Browsers and other servers take 8 to 16 KiB.
            max_uri: 16 * 1024,
            rate_limit: None,
            rate_limit_by: RateKey::ClientIp,
            max_header_bytes: 64 * 1024,
            max_response_header_bytes: 64 * 1024,
            max_response_headers: 256,
            stream_timeout: Duration::from_secs(60 * 60),
            half_close: HalfClose::Abort,
            preserve_header_case: false,
            expose_replica: false,
            trace_context: TraceContext::Pass,
            trusted_proxies: Vec::new(),
            header_rules: None,
            sticky: StickyConfig::default(),
            proxy_protocol: Vec::new(),
            upstream_proxy_protocol: None,
            via: true,
        }
    }
}
