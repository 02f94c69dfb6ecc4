//! Settings of the traffic: the ring, routing, health, time-outs and limits.

use std::time::Duration;

use super::{DAY, HOUR, MILLISECOND};
use crate::config::model::{Entry, Kind, at};
use crate::config::tree::Config;
use crate::config::types;
use crate::proxy::TraceContext;
use crate::ring::{Family, MAX_SLOTS, Placement, Probing};

pub(super) const RING: &[Entry<Config>] = &[
    Entry::new(
        "ring.family",
        "family",
        "FAMILY",
        at!(Config: ring.family),
        Kind::choice::<Family>(),
        "Family of hash functions. modified spreads evenly; classic is for comparison.",
    )
    .on_reload(),
    Entry::new(
        "ring.probing",
        "probing",
        "PROBING",
        at!(Config: ring.probing),
        Kind::choice::<Probing>(),
        "How a virtual node whose slot is taken finds another one. quadratic needs --slots to be a \
         power of two or a prime that is 3 modulo 4.",
    )
    .on_reload(),
    Entry::new(
        "ring.placement",
        "placement",
        "PLACEMENT",
        at!(Config: ring.placement),
        Kind::choice::<Placement>(),
        "Who owns a slot. ring: the next virtual node clockwise. rendezvous: the replica with the \
         highest score for it. balanced: the same, but a replica 1.6 % above its due is full.",
    )
    .on_reload(),
    Entry::new(
        "ring.slots",
        "slots",
        "M",
        at!(Config: ring.slots),
        Kind::integer(1, MAX_SLOTS as u64, "slots"),
        "Slots of the ring. Must hold the virtual nodes of all replicas.",
    )
    .on_reload(),
    Entry::new(
        "ring.virtual-nodes",
        "virtual-nodes",
        "K",
        at!(Config: ring.virtual_nodes),
        Kind::integer(1, MAX_SLOTS as u64, "virtual nodes"),
        "Virtual nodes of each replica. More of them spread more evenly.",
    )
    .on_reload(),
];

pub(super) const ROUTING: &[Entry<Config>] = &[
    Entry::new(
        "routing.key",
        "key",
        "KEY",
        at!(Config: control.key),
        types::KEY,
        "Which part of a request decides where it goes. A request without it gets a random key.",
    )
    .on_reload(),
    Entry::new(
        "routing.bounded-load",
        "bounded-load",
        "FACTOR",
        at!(Config: control.bounded_load),
        Kind::Factor { min: 1.0, max: 1000.0 },
        "How far above the average load a replica may go before requests pass it over. With auto, \
         1.25 where --key is request-id and off otherwise.",
    )
    .on_reload(),
];

pub(super) const HEALTH: &[Entry<Config>] = &[
    Entry::new(
        "health.check",
        "health",
        "CHECK",
        at!(Config: control.health.check),
        Kind::text("http, grpc or grpc:SERVICE", "grpc:shop.Orders"),
        "What a heartbeat is. http: GET of --health-path. grpc: the health service of gRPC (grpc.health.v1), \
         asked for the whole server or for SERVICE; needs --upstream-http h2.",
    )
    .on_reload(),
    Entry::new(
        "health.path",
        "health-path",
        "PATH",
        at!(Config: control.health.path),
        types::URL_PATH,
        "Path of the heartbeat; any 2xx response is good.",
    )
    .on_reload(),
    Entry::new(
        "health.interval",
        "health-interval",
        "DURATION",
        at!(Config: control.health.interval),
        Kind::duration(Duration::from_millis(10), HOUR),
        "Time between the heartbeats of one replica.",
    )
    .on_reload(),
    Entry::new(
        "health.timeout",
        "health-timeout",
        "DURATION",
        at!(Config: control.health.timeout),
        Kind::duration(Duration::from_millis(10), HOUR),
        "Time one heartbeat may take.",
    )
    .on_reload(),
    Entry::new(
        "health.unhealthy-after",
        "unhealthy-after",
        "N",
        at!(Config: control.health.unhealthy_after),
        Kind::integer(1, 100, "failures"),
        "Failed heartbeats in a row after which a replica gets no more requests.",
    )
    .on_reload(),
    Entry::new(
        "health.start-timeout",
        "start-timeout",
        "DURATION",
        at!(Config: control.start_timeout),
        Kind::duration(Duration::from_millis(100), HOUR),
        "Time a new replica has for its first good heartbeat, counted from when it runs.",
    )
    .by_default("10s, or 60s with --runtime swarm")
    .on_reload(),
    Entry::new(
        "health.replace-after",
        "replace-after",
        "DURATION",
        at!(Config: control.replace_after),
        Kind::duration(Duration::from_millis(100), DAY),
        "Time an unhealthy replica may stay so before it is replaced. One that exits is replaced at \
         once. Not with --runtime swarm or fixed, where others decide.",
    )
    .on_reload(),
    Entry::new(
        "health.slow-start",
        "slow-start",
        "DURATION",
        at!(Config: control.slow_start),
        Kind::duration(Duration::ZERO, HOUR),
        "Time over which a replica that joins others, or comes back, takes a growing share of its keys. 0s \
         for all of them at once.",
    )
    .on_reload(),
];

/// Bounds of what a request may wait for.
pub(super) const WAIT: Kind = Kind::duration(MILLISECOND, HOUR);

pub(super) const TIMEOUTS: &[Entry<Config>] = &[
    Entry::new(
        "timeouts.connect",
        "connect-timeout",
        "DURATION",
        at!(Config: pool.connect_timeout),
        WAIT,
        "Time to connect to a replica.",
    )
    .of_pool()
    .on_reload(),
    Entry::new(
        "timeouts.wait-for-replica",
        "wait-for-replica",
        "DURATION",
        at!(Config: pool.wait_for_replica),
        Kind::duration(Duration::ZERO, HOUR),
        "How long a request waits where no replica takes requests and at least one is starting. 0s \
         refuses it at once.",
    )
    .of_pool()
    .on_reload(),
    Entry::new(
        "timeouts.response",
        "response-timeout",
        "DURATION",
        at!(Config: pool.response_timeout),
        WAIT,
        "Time a replica has from the end of a request to the head of its response.",
    )
    .of_pool()
    .on_reload(),
    Entry::new(
        "timeouts.body",
        "body-timeout",
        "DURATION",
        at!(Config: proxy.body_timeout),
        WAIT,
        "Longest pause within a body, either way.",
    )
    .on_reload(),
    Entry::new(
        "timeouts.stream",
        "stream-timeout",
        "DURATION",
        at!(Config: pool.stream_timeout),
        Kind::duration(MILLISECOND, DAY),
        "Longest pause within a response of type text/event-stream, and within a tunnel (WebSocket).",
    )
    .of_pool()
    .on_reload(),
    Entry::new(
        "timeouts.header",
        "header-timeout",
        "DURATION",
        at!(Config: proxy.header_timeout),
        WAIT,
        "Time a client has to send the head of a request.",
    )
    .on_reload(),
    Entry::new(
        "timeouts.keep-alive",
        "keep-alive",
        "DURATION",
        at!(Config: proxy.keep_alive),
        WAIT,
        "How long the connection of a client may stay idle.",
    )
    .on_reload(),
    Entry::new(
        "timeouts.upstream-keep-alive",
        "upstream-keep-alive",
        "DURATION",
        at!(Config: pool.upstream_keep_alive),
        WAIT,
        "How long an idle connection to a replica is kept. Keep it below the time after which the \
         replica closes it.",
    )
    .of_pool()
    .on_reload(),
];

pub(super) const LIMITS: &[Entry<Config>] = &[
    Entry::new(
        "limits.max-connections",
        "max-connections",
        "N",
        at!(Config: proxy.max_connections),
        Kind::integer(1, 1_000_000, "connections"),
        "Most client connections at a time; fewer where the limit on open files does not allow as many. \
         When all are in use, those that are idle longest make room for new ones.",
    )
    .on_reload(),
    Entry::new(
        "limits.connection-share",
        "connection-share",
        "PERCENT",
        at!(Config: connection_share),
        Kind::integer(0, 100, "percent"),
        "Share of --max-connections that is only for requests of this pool, so that others in which requests hang do \
         not take all. What no pool has for itself is for all. A request of HTTP/1 that finds neither gets 503 \
         (overloaded), and its connection is closed.",
    )
    .of_pool()
    .by_default("half of what other shares leave, in equal parts")
    .on_reload(),
    Entry::new(
        "limits.max-connections-per-client",
        "max-connections-per-client",
        "N",
        at!(Config: proxy.max_connections_per_client),
        Kind::integer(1, 1_000_000, "connections"),
        "Most connections of one client at a time, which is an address, or a network of 64 bits of IPv6. More \
         are closed at once. Those of --trusted-proxies are not limited.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "limits.max-requests-per-connection",
        "max-requests-per-connection",
        "N",
        at!(Config: proxy.max_requests_per_connection),
        Kind::integer(1, 1_000_000_000, "requests"),
        "Most requests of one connection. Behind the last it is closed, and HTTP/2 is told by GOAWAY. A change \
         holds for new connections.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "limits.max-body",
        "max-body",
        "SIZE",
        at!(Config: pool.max_body),
        Kind::Size { min: 1, max: 1 << 50 },
        "Largest body of a request. A larger one gets 413: at once where its length is announced, or when it \
         turns out so.",
    )
    .of_pool()
    .by_default("none")
    .on_reload(),
    Entry::new(
        "limits.max-uri",
        "max-uri",
        "BYTES",
        at!(Config: proxy.max_uri),
        Kind::integer(256, 65_534, "bytes"),
        "Longest path of a request with its query. A longer one gets 414.",
    )
    .on_reload(),
    Entry::new(
        "limits.rate-limit",
        "rate-limit",
        "RATE",
        at!(Config: proxy.rate_limit),
        types::RATE,
        "How many requests one client may make, and how many at once (burst; otherwise as many as in the whole \
         time). More get 429.",
    )
    .on_reload(),
    Entry::new(
        "limits.rate-limit-by",
        "rate-limit-by",
        "KEY",
        at!(Config: proxy.rate_limit_by),
        types::RATE_KEY,
        "Whose requests --rate-limit counts together: those of an address, or those with one value of a header \
         field. Those without it are counted by address.",
    )
    .on_reload(),
    Entry::new(
        "limits.max-header-bytes",
        "max-header-bytes",
        "BYTES",
        at!(Config: proxy.max_header_bytes),
        Kind::integer(1024, 1 << 20, "bytes"),
        "Largest head of a request.",
    )
    .on_reload(),
    Entry::new(
        "limits.max-response-header-bytes",
        "max-response-header-bytes",
        "BYTES",
        at!(Config: pool.max_response_header_bytes),
        Kind::integer(1024, 1 << 20, "bytes"),
        "Largest head of a replica's response.",
    )
    .of_pool()
    .on_reload(),
    Entry::new(
        "limits.max-response-headers",
        "max-response-headers",
        "N",
        at!(Config: pool.max_response_headers),
        Kind::integer(16, 4096, "fields"),
        "Most fields in the head of a replica's response.",
    )
    .of_pool()
    .on_reload(),
];

pub(super) const TRACING: &[Entry<Config>] = &[Entry::new(
    "tracing.context",
    "trace-context",
    "HOW",
    at!(Config: proxy.trace_context),
    Kind::choice::<TraceContext>(),
    "What is done with W3C trace context (traceparent). pass: it is passed on as it comes. start: a \
     trace is begun, marked as sampled, where none comes.",
)
.on_reload()];
