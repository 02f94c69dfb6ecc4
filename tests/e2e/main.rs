//! The balancer as its users run it: the real binary, real replicas, real sockets.

#[path = "../common/mod.rs"]
mod common;

mod access_log;
mod commands;
mod contrib;
mod drain;
mod early_hints;
mod early_response;
mod edge;
mod ejection;
mod event_schemas;
mod events;
mod exhaustion;
mod fixed;
mod forwarding;
mod full;
mod grpc;
mod header_rules;
mod healthcheck;
mod http2;
mod limits;
mod memory;
mod metrics;
mod metrics_of_replicas;
mod output;
mod pools;
mod programs;
mod proxy_protocol;
mod queue;
mod refusals;
mod reload;
mod routing;
mod session;
mod shutdown;
mod slow_start;
mod spread;
mod sticky;
mod tls;
#[cfg(feature = "tools")]
mod top;
mod tunnels;
mod upstream_http2;
mod upstream_tls;
