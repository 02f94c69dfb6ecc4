//! Settings of the traffic: the ring, routing, health, time-outs and limits.

use std::time::Duration;

use super::HOUR;
use crate::config::setting::DefaultValue::{Value, Words};
use crate::config::setting::{Kind, Setting, Shown};
use crate::control::BoundedLoad;

pub(super) const RING: &[Setting] = &[
    Setting::new(
        "family",
        "FAMILY",
        Kind::Choice(&["classic", "modified"]),
        Value("modified"),
        "Family of hash functions. modified spreads evenly; classic is for comparison.",
        |c| Shown::text(c.control.ring.family()),
    )
    .on_reload(),
    Setting::new(
        "probing",
        "PROBING",
        Kind::Choice(&["quadratic", "linear"]),
        Value("quadratic"),
        "How a virtual node whose slot is taken finds another one. quadratic needs --slots to be a \
         power of two or a prime that is 3 modulo 4.",
        |c| Shown::text(c.control.ring.probing()),
    )
    .on_reload(),
    Setting::new(
        "placement",
        "PLACEMENT",
        Kind::Choice(&["ring", "rendezvous"]),
        Value("ring"),
        "Who owns a slot. ring: the next virtual node clockwise. rendezvous: the replica with the \
         highest score for it.",
        |c| Shown::text(c.control.ring.placement()),
    )
    .on_reload(),
    Setting::new(
        "slots",
        "M",
        Kind::Integer { min: 1, max: 1 << 24, unit: "slots" },
        Value("65539"),
        "Slots of the ring. Must hold the virtual nodes of all replicas.",
        |c| Shown::Integer(c.control.ring.slots().into()),
    )
    .on_reload(),
    Setting::new(
        "virtual-nodes",
        "K",
        Kind::Integer { min: 1, max: 1 << 24, unit: "virtual nodes" },
        Value("256"),
        "Virtual nodes of each replica. More of them spread more evenly.",
        |c| Shown::Integer(c.control.ring.virtual_nodes().into()),
    )
    .on_reload(),
];

pub(super) const ROUTING: &[Setting] = &[
    Setting::new(
        "key",
        "KEY",
        Kind::Key,
        Value("request-id"),
        "Which part of a request decides where it goes. A request without it gets a random key.",
        |c| Shown::text(&c.control.key),
    )
    .on_reload(),
    Setting::new(
        "bounded-load",
        "FACTOR",
        Kind::Factor { min: 1.0, max: 1000.0 },
        Value("auto"),
        "How far above the average load a replica may go before requests pass it over. With auto, \
         1.25 where --key is request-id and off otherwise.",
        |c| match c.control.bounded_load {
            BoundedLoad::Auto => Shown::text("auto"),
            BoundedLoad::Off => Shown::text("off"),
            BoundedLoad::Factor(factor) => Shown::Number(factor),
        },
    )
    .on_reload(),
];

pub(super) const HEALTH: &[Setting] = &[
    Setting::new(
        "health-path",
        "PATH",
        Kind::UrlPath,
        Value("/heartbeat"),
        "Path of the heartbeat; any 2xx answer is good.",
        |c| Shown::text(&c.control.health.path),
    )
    .on_reload(),
    Setting::new(
        "health-interval",
        "DURATION",
        Kind::Duration { min: Duration::from_millis(10), max: HOUR },
        Value("500ms"),
        "Time between the heartbeats of one replica.",
        |c| Shown::duration(c.control.health.interval),
    )
    .on_reload(),
    Setting::new(
        "health-timeout",
        "DURATION",
        Kind::Duration { min: Duration::from_millis(10), max: HOUR },
        Value("1s"),
        "Time one heartbeat may take.",
        |c| Shown::duration(c.control.health.timeout),
    )
    .on_reload(),
    Setting::new(
        "unhealthy-after",
        "N",
        Kind::Integer { min: 1, max: 100, unit: "failures" },
        Value("2"),
        "Failed heartbeats in a row after which a replica gets no more requests.",
        |c| Shown::Integer(c.control.health.unhealthy_after.into()),
    )
    .on_reload(),
    Setting::new(
        "start-timeout",
        "DURATION",
        Kind::Duration { min: Duration::from_millis(100), max: HOUR },
        Words("10s, or 60s with --runtime swarm"),
        "Time a new replica has for its first good heartbeat, counted from when it runs.",
        |c| Shown::duration(c.control.start_timeout),
    )
    .on_reload(),
    Setting::new(
        "replace-after",
        "DURATION",
        Kind::Duration { min: Duration::from_millis(100), max: DAY },
        Value("30s"),
        "Time an unhealthy replica may stay so before it is replaced. One that exits is replaced at \
         once. Not with --runtime swarm or fixed, where others decide.",
        |c| Shown::duration(c.control.replace_after),
    )
    .on_reload(),
    Setting::new(
        "drain-timeout",
        "DURATION",
        Kind::Duration { min: Duration::ZERO, max: HOUR },
        Value("10s"),
        "Time a replica that is removed has to finish its requests.",
        |c| Shown::duration(c.control.drain_timeout),
    )
    .on_reload(),
];

pub(super) const LIMITS: &[Setting] = &[
    Setting::new(
        "connect-timeout",
        "DURATION",
        REQUEST_TIME,
        Value("1s"),
        "Time to connect to a replica.",
        |c| Shown::duration(c.proxy.connect_timeout),
    )
    .on_reload(),
    Setting::new(
        "response-timeout",
        "DURATION",
        REQUEST_TIME,
        Value("30s"),
        "Time a replica has from the end of a request to the head of its answer.",
        |c| Shown::duration(c.proxy.response_timeout),
    )
    .on_reload(),
    Setting::new(
        "body-timeout",
        "DURATION",
        REQUEST_TIME,
        Value("30s"),
        "Longest pause within a body, either way.",
        |c| Shown::duration(c.proxy.body_timeout),
    )
    .on_reload(),
    Setting::new(
        "header-timeout",
        "DURATION",
        REQUEST_TIME,
        Value("10s"),
        "Time a client has to send the head of a request.",
        |c| Shown::duration(c.proxy.header_timeout),
    )
    .on_reload(),
    Setting::new(
        "keep-alive",
        "DURATION",
        REQUEST_TIME,
        Value("1m"),
        "How long the connection of a client may stay idle.",
        |c| Shown::duration(c.proxy.keep_alive),
    )
    .on_reload(),
    Setting::new(
        "upstream-keep-alive",
        "DURATION",
        REQUEST_TIME,
        Value("4s"),
        "How long an idle connection to a replica is kept. Keep it below the time after which the \
         replica closes it.",
        |c| Shown::duration(c.proxy.upstream_keep_alive),
    )
    .on_reload(),
    Setting::new(
        "max-connections",
        "N",
        Kind::Integer { min: 1, max: 1_000_000, unit: "connections" },
        Value("10000"),
        "Most client connections at a time, divided evenly among the workers; fewer where the limit on open files does not allow as many.",
        |c| Shown::Integer(c.proxy.max_connections as u64),
    )
    .on_reload(),
    Setting::new(
        "max-header-bytes",
        "BYTES",
        Kind::Integer { min: 1024, max: 1 << 20, unit: "bytes" },
        Value("65536"),
        "Largest head of a request.",
        |c| Shown::Integer(c.proxy.max_header_bytes as u64),
    )
    .on_reload(),
];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const REQUEST_TIME: Kind = Kind::Duration { min: Duration::from_millis(1), max: HOUR };
