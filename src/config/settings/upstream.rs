//! Settings of how replicas are spoken to.

use super::FIXED_ONLY;
use crate::config::model::{Entry, Kind, at};
use crate::config::tree::Config;
use crate::config::types;
use crate::proxy::UpstreamHttp;

pub(super) const UPSTREAM: &[Entry<Config>] = &[
    Entry::new(
        "upstream.tls",
        "upstream-tls",
        "WHETHER",
        at!(Config: upstream.tls),
        Kind::choice::<bool>(),
        "Speak TLS to replicas, heartbeats included. One whose certificate cannot be verified gets no requests.",
    )
    .only_with(FIXED_ONLY),
    Entry::new(
        "upstream.http",
        "upstream-http",
        "VERSION",
        at!(Config: pool.upstream_http),
        Kind::choice::<UpstreamHttp>(),
        "Version of HTTP that replicas speak, heartbeats included. h1: HTTP/1.1. h2: HTTP/2, over TLS with \
         --upstream-tls, else by prior knowledge (h2c); its connections are shared by requests. gRPC needs h2.",
    ),
    Entry::new(
        "upstream.ca",
        "upstream-ca",
        "FILE",
        at!(Config: upstream.ca),
        types::PEM,
        "Certificates of the authorities that may have signed those of replicas, in PEM. Read again when the \
         file changes, and on SIGHUP.",
    )
    .by_default("the authorities of the system")
    .on_reload(),
    Entry::new(
        "upstream.server-name",
        "upstream-server-name",
        "NAME",
        at!(Config: upstream.server_name),
        Kind::text("a host name or an IP address", "backend.internal"),
        "Name that replicas are asked for (SNI), and that their certificates have to be for.",
    )
    .by_default("the host in each --upstream")
    .on_reload(),
    Entry::new(
        "upstream.certificate",
        "upstream-certificate",
        "FILE",
        at!(Config: upstream.certificate),
        types::PEM,
        "Certificate that is shown to replicas that ask for one, and those between it and its authority, in PEM. \
         Read again when the file changes, and on SIGHUP.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "upstream.key",
        "upstream-key",
        "FILE",
        at!(Config: upstream.key),
        types::PEM,
        "Private key of --upstream-certificate, in PEM and without a password.",
    )
    .by_default("none")
    .on_reload(),
];
