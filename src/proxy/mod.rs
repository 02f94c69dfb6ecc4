//! The data plane: workers that accept connections and forward requests.
//!
//! Knows the [`crate::cluster`] it routes by, and nothing of who publishes it.

mod clock;
mod connection;
mod connection_timeline;
mod error;
mod forward;
mod forwarding;
mod grpc;
mod handshake;
mod headers;
mod http2;
mod pipe;
mod quiet;
mod record;
mod redirect;
mod refusal;
mod request;
mod response;
mod route;
mod saved_head;
mod service;
mod shared;
#[cfg(test)]
mod tests;
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
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use ipnet::IpNet;

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
    /// Whether requests carry the balancer's name in `Via`, by which it notices loops.
    pub via: bool,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            wait_for_replica: Duration::from_secs(2),
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
            max_header_bytes: 64 * 1024,
            max_response_header_bytes: 64 * 1024,
            max_response_headers: 256,
            stream_timeout: Duration::from_secs(60 * 60),
            half_close: HalfClose::Abort,
            preserve_header_case: false,
            expose_replica: false,
            trace_context: TraceContext::Pass,
            trusted_proxies: Vec::new(),
            via: true,
        }
    }
}
