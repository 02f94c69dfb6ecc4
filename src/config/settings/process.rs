//! Settings of the process: where it listens, who may administer it, what it tells.

use std::time::Duration;

use super::HOUR;
use crate::config::model::{Entry, Kind, Place, at};
use crate::config::tree::Config;
use crate::config::types;
use crate::config::types::{PublicAdmin, host, origin};
use crate::proxy::{HalfClose, Io, ProxyProtocol};
use crate::telemetry::access::Format;
use crate::telemetry::logs::LogFormat;

pub(super) const SERVER: &[Entry<Config>] = &[
    Entry::new(
        "",
        "config",
        "FILE",
        Place::nowhere(),
        types::FILE,
        "File to read settings from, in TOML. Flags and environment variables win over it. Re-read on \
         SIGHUP.",
    )
    .by_default("none"),
    Entry::new(
        "server.listen",
        "listen",
        "ADDRESS",
        at!(Config: listen),
        types::ADDRESS,
        "Address that requests are taken on. Port 0 lets the system choose one.",
    ),
    Entry::new(
        "server.workers",
        "workers",
        "N",
        at!(Config: workers),
        Kind::integer(1, 1024, "threads"),
        "Threads that take and forward requests.",
    )
    .by_default("one per core"),
    Entry::new(
        "server.io",
        "io",
        "ENGINE",
        at!(Config: proxy.io),
        Kind::choice::<Io>(),
        "How the workers receive and send. epoll: with a system call each. uring: many at a time, with \
         io_uring, which needs Linux 6.1 and is blocked in most containers. auto: uring where it can be had, \
         else epoll.",
    ),
    Entry::new(
        "server.grace",
        "grace",
        "DURATION",
        at!(Config: grace),
        Kind::duration(Duration::ZERO, HOUR),
        "Time requests in flight have to finish after SIGTERM or SIGINT.",
    ),
    Entry::new(
        "server.trusted-proxies",
        "trusted-proxies",
        "NETWORK",
        at!(Config: proxy.trusted_proxies),
        types::NETWORK,
        "Addresses of proxies in front. What they say of their clients in X-Forwarded-*, Forwarded and \
         X-Real-IP is kept and extended, and client-ip and the access log are about those clients. What \
         any other peer says there is replaced.",
    )
    .on_reload(),
    Entry::new(
        "server.proxy-protocol",
        "proxy-protocol",
        "NETWORK",
        at!(Config: proxy.proxy_protocol),
        types::NETWORK,
        "Addresses of load balancers whose connections begin with a header of the PROXY protocol, version 1 \
         or 2, which says where they come from. Those without one are closed. It is not read from anybody \
         else, and does not make its sender a trusted proxy.",
    )
    .on_reload(),
    Entry::new(
        "server.http2",
        "http2",
        "WHETHER",
        at!(Config: proxy.http2),
        Kind::choice::<bool>(),
        "Whether clients may speak HTTP/2: over TLS if they ask for it, without TLS if they begin with it \
         (prior knowledge). A change holds for new connections.",
    )
    .on_reload(),
    Entry::new(
        "server.half-close",
        "half-close",
        "WHAT",
        at!(Config: proxy.half_close),
        Kind::choice::<HalfClose>(),
        "What becomes of a request whose client has closed its sending side. abort: the client has \
         gone, and the replica is told. serve: the client may still read its response. HTTP/2 has no such \
         clients.",
    )
    .on_reload(),
    Entry::new(
        "server.preserve-header-case",
        "preserve-header-case",
        "WHETHER",
        at!(Config: proxy.preserve_header_case),
        Kind::choice::<bool>(),
        "Whether names of header fields are passed on with the capital letters that they came with. \
         Otherwise they are in lower case. For old programs.",
    )
    .on_reload(),
    Entry::new(
        "server.expose-replica",
        "expose-replica",
        "WHETHER",
        at!(Config: pool.expose_replica),
        Kind::choice::<bool>(),
        "Whether responses of replicas name them in X-Ringherd-Replica.",
    )
    .of_pool()
    .on_reload(),
    Entry::new(
        "server.early-hints",
        "early-hints",
        "WHETHER",
        at!(Config: pool.early_hints),
        Kind::choice::<bool>(),
        "Whether interim responses of replicas, such as 103 (Early Hints), are passed on to clients that \
         speak HTTP/1.1. HTTP/2 clients get none.",
    )
    .of_pool()
    .on_reload(),
    Entry::new(
        "server.upstream-proxy-protocol",
        "upstream-proxy-protocol",
        "VERSION",
        at!(Config: proxy.upstream_proxy_protocol),
        Kind::choice::<ProxyProtocol>(),
        "Begin connections to replicas with a header of the PROXY protocol. Each request then has a \
         connection of its own, and heartbeats say that they come from the balancer itself.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "server.via",
        "via",
        "WHETHER",
        at!(Config: proxy.via),
        Kind::choice::<bool>(),
        "Whether requests to replicas carry the balancer's name in Via. By it a request that comes back \
         is noticed and refused with 508; with off such a loop ends only when something runs out.",
    )
    .on_reload(),
];

pub(super) const ACCESS_LOG: &[Entry<Config>] = &[
    Entry::new(
        "access-log.to",
        "access-log",
        "WHERE",
        at!(Config: access.destination),
        Kind::text("off, stdout, or the path of a file", "/var/log/ringherd/access.log"),
        "Where each request is logged, in one line. A file is opened anew on SIGUSR1, after it was \
         renamed. Lines that cannot be written in time are dropped and counted.",
    ),
    Entry::new(
        "access-log.format",
        "access-log-format",
        "FORMAT",
        at!(Config: access.format),
        Kind::choice::<Format>(),
        "What such a line looks like: a JSON object, or the Common Log Format.",
    ),
];

pub(super) const ADMIN: &[Entry<Config>] = &[
    Entry::new(
        "admin.listen",
        "admin-listen",
        "ADDRESS",
        at!(Config: admin_listen),
        types::ADDRESS,
        "Address of the admin API. Must differ from --listen.",
    ),
    Entry::new(
        "admin.public",
        "public-admin",
        "WHEN",
        at!(Config: public_admin),
        Kind::choice::<PublicAdmin>(),
        "Whether /rep, /add and /rm are also served on --listen. With auto, only while that is a \
         loopback address and all replicas are the built-in ones. A request that another proxy passed \
         on never gets there, except from --trusted-proxies.",
    ),
    Entry::new(
        "admin.token-file",
        "admin-token-file",
        "FILE",
        at!(Config: admin_token_file),
        types::FILE,
        "File with the bearer token that every admin request must carry: at least 8 visible ASCII \
         characters; one newline at the end is ignored. The token itself may be given in \
         RINGHERD_ADMIN_TOKEN instead.",
    )
    .by_default("no token")
    .on_reload(),
    Entry::new(
        "admin.hosts",
        "admin-host",
        "HOST",
        at!(Config: admin.hosts),
        Kind::checked("a host name without port", "lb.example.org", host),
        "Host name that admin requests may be sent to, besides addresses and localhost.",
    )
    .on_reload(),
    Entry::new(
        "admin.origins",
        "admin-origin",
        "ORIGIN",
        at!(Config: admin.origins),
        Kind::checked(
            "http:// or https://, a host, and a port if it is not the usual one",
            "https://ops.example.org",
            origin,
        ),
        "Origin of the dashboard as browsers see it, where an edge with TLS or of another name is in \
         front of the admin API. Its pages may make changes, and its host is one that admin requests may \
         be sent to.",
    )
    .on_reload(),
];

pub(super) const LOG: &[Entry<Config>] = &[Entry::new(
    "log.format",
    "log-format",
    "FORMAT",
    at!(Config: log_format),
    Kind::choice::<LogFormat>(),
    "How log lines look. With auto, text on a terminal and JSON otherwise. RUST_LOG chooses what is \
     logged.",
)];
