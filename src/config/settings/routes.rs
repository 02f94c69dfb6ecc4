//! Routes, in the file alone.

use super::traffic::WAIT;
use super::{DAY, MILLISECOND};
use crate::config::model::{Array, Entry, Kind, Table, at};
use crate::config::tree::{Config, RouteSettings};
use crate::config::types::{self, route};
use crate::routes::MAX_WEIGHT;

const ROUTE: &[Entry<RouteSettings>] = &[
    Entry::new(
        "route.host",
        "",
        "HOST",
        at!(RouteSettings: host),
        route::HOST,
        "Hosts that requests are for: a name, *.SUFFIX for all names that end like this, an IPv6 address in \
         brackets, or * for all, and for requests that name none. The port of a request does not matter. Where \
         several routes match, the most specific host wins, then the longest path.",
    )
    .on_reload(),
    Entry::new(
        "route.path",
        "",
        "PATH",
        at!(RouteSettings: path),
        route::PATH,
        "What the paths of requests begin with, as whole segments: /api is for /api and /api/users, and not for \
         /apis.",
    )
    .on_reload(),
    Entry::new(
        "route.name",
        "",
        "NAME",
        at!(RouteSettings: name),
        types::POOL,
        "What [[headers]] calls it by. Several routes may have the same name.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "route.pool",
        "",
        "POOL",
        at!(RouteSettings: pool),
        types::POOL,
        "Pool that gets the requests.",
    )
    .by_default("default")
    .on_reload(),
    Entry::new(
        "route.strip-prefix",
        "",
        "WHETHER",
        at!(RouteSettings: strip_prefix),
        Kind::choice::<bool>(),
        "Whether replicas see paths without that of the route: /users in place of /api/users.",
    )
    .on_reload(),
    Entry::new(
        "route.weight",
        "",
        "N",
        at!(RouteSettings: weight),
        Kind::integer(0, MAX_WEIGHT as u64, "shares"),
        "Share of the requests, where several routes with the same host and path have different pools. Which of \
         them gets a request depends on its key (--key), so a client stays with one.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "route.response-timeout",
        "",
        "DURATION",
        at!(RouteSettings: response_timeout),
        WAIT,
        "Time a replica has from the end of a request to the head of its response, in place of that of the pool.",
    )
    .by_default("that of the pool")
    .on_reload(),
    Entry::new(
        "route.stream-timeout",
        "",
        "DURATION",
        at!(RouteSettings: stream_timeout),
        Kind::duration(MILLISECOND, DAY),
        "Longest pause within a response of type text/event-stream, and within a tunnel, in place of that of the pool.",
    )
    .by_default("that of the pool")
    .on_reload(),
    Entry::new(
        "route.redirect",
        "",
        "TARGET",
        at!(RouteSettings: redirect),
        route::REDIRECT,
        "Where clients are sent, in place of a pool: a path of the same host, or a URL. What follows the path of \
         the route in a request is appended, the query too.",
    )
    .by_default("none")
    .on_reload(),
    Entry::new(
        "route.redirect-status",
        "",
        "STATUS",
        at!(RouteSettings: redirect_status),
        route::STATUS,
        "Status of the redirect. 301 and 308 hold for good, 302 and 307 for now. With 307 and 308 the method \
         stays.",
    )
    .by_default("308")
    .on_reload(),
];

pub(super) static ROUTES: Array<Config, RouteSettings> = Array {
    entries: ROUTE,
    items: |config| &config.route_tables,
    items_mut: |config| &mut config.route_tables,
};

impl Table for RouteSettings {}
