//! Several pools behind one address: routes to them, their API, and that an ill one takes nothing from the
//! others.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which are exact")]

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::Value;

use crate::common::backend::Backend;
use crate::common::client::{Answer, raw};
use crate::common::folder::Folder;
use crate::common::scrape::Scrape;
use crate::common::{Balancer, request, wait_until};

/// A pool of one backend.
fn pool(backend: &Backend) -> String {
    format!("[pool.{}.replicas]\nupstreams = \"{}\"\n", backend.name(), backend.address)
}

/// A balancer with the pools `web` and `api`, and further lines in its file.
fn two_pools(folder: &Folder, more: &str) -> (Balancer, [Backend; 2]) {
    let backends = ["web", "api"].map(Backend::start);
    let file = folder.write("ringherd.toml", &[&pool(&backends[0]), &pool(&backends[1]), more].concat());
    let balancer = Balancer::start(&["--config", &file, "--workers", "2"]);
    wait_until("both are ready", || pools(&balancer).values().all(|pool| pool["ready"] == 1).then_some(()));
    (balancer, backends)
}

/// Those of `GET /pools`, by their name.
fn pools(balancer: &Balancer) -> BTreeMap<String, Value> {
    let answer = request(balancer.admin, "GET", "/pools", None).json();
    let pools = answer["pools"].as_array().expect("an array").clone();
    pools.into_iter().map(|pool| (pool["name"].as_str().expect("a name").to_owned(), pool)).collect()
}

fn get(balancer: &Balancer, host: &str, target: &str, more: &str) -> Answer {
    let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n");
    raw(balancer.public, &head)
}

const ROUTES: &str = r#"
[[route]]
pool = "web"

[[route]]
path = "/api"
pool = "api"
strip-prefix = true

[[route]]
host = "*.api.example"
pool = "api"

[[route]]
host = "old.example"
redirect = "https://new.example/"
redirect-status = "302"
"#;

#[test]
fn requests_go_where_their_route_leads() {
    let folder = Folder::new("routes");
    let (balancer, backends) = two_pools(&folder, ROUTES);
    for (host, target, pool, seen) in [
        ("a", "/", "web", "GET / "),
        ("a", "/apis?x", "web", "GET /apis?x "),
        ("a", "/api", "api", "GET / "),
        ("a", "/api/users?page=2", "api", "GET /users?page=2 "),
        ("v1.API.example:80", "/api/x", "api", "GET /api/x "),
        ("api.example", "/x", "web", "GET /x "),
    ] {
        let answer = get(&balancer, host, target, "");
        assert_eq!((answer.status, &*answer.body), (200, pool), "{host}{target}");
        let backend = backends.iter().find(|backend| backend.name() == pool).expect("one of the two");
        let head = backend.heads().pop().expect("a request");
        assert!(head.starts_with(seen), "{host}{target}: {head}");
    }
    let moved = get(&balancer, "old.example", "/a/b?c", "");
    assert_eq!((moved.status, moved.header("location")), (302, Some("https://new.example/a/b?c")));
    assert_eq!(moved.header("x-ringherd-error"), None);
    for path in ["/x/../api", "/api%2fx", "/api/%2e%2e/x", "/x\\api"] {
        let refused = get(&balancer, "a", path, "");
        assert_eq!(
            (refused.status, refused.header("x-ringherd-error")),
            (400, Some("ambiguous-path")),
            "{path}"
        );
    }
    let scrape = Scrape::of(&balancer);
    assert_eq!(scrape.sum("ringherd_replica_requests_total", &[("pool", "api")]), 3.0);
    // Those that are redirected or refused reach no pool.
    let reached = [("", 5.0), ("web", 3.0), ("api", 3.0)];
    assert_eq!(scrape.by("ringherd_requests_total", "pool"), reached.into());
    assert_eq!(
        scrape.by("ringherd_upstream_duration_seconds_count", "pool"),
        reached[1..].iter().copied().collect()
    );
    assert_eq!(scrape.by("ringherd_request_failures_total", "pool"), [("", 4.0)].into());
}

#[test]
fn what_has_no_route_is_not_found() {
    let folder = Folder::new("no-route");
    let only_api = "[[route]]\npath = \"/api\"\npool = \"api\"\n[[route]]\nhost = \"w\"\npool = \"web\"\n";
    let (balancer, _backends) = two_pools(&folder, only_api);
    let lost = get(&balancer, "a", "/other", "");
    assert_eq!((lost.status, lost.header("x-ringherd-error")), (404, Some("no-route")));
    assert_eq!(get(&balancer, "a", "/api", "").status, 200);
    let failures = Scrape::of(&balancer).sum("ringherd_request_failures_total", &[("reason", "no-route")]);
    assert_eq!(failures, 1.0);
}

#[test]
fn a_client_stays_on_its_side_of_a_split() {
    let folder = Folder::new("split");
    let split = "[routing]\nkey = \"header:x-user\"\n\
                 [[route]]\npool = \"web\"\nweight = 3\n[[route]]\npool = \"api\"\nweight = 1\n";
    let (balancer, _backends) = two_pools(&folder, split);
    let side = |user: usize| get(&balancer, "a", "/", &format!("X-User: user-{user}\r\n")).body;
    let sides: Vec<_> = (0..200).map(side).collect();
    let of_api = sides.iter().filter(|side| *side == "api").count();
    assert!((25..=75).contains(&of_api), "a quarter of 200: {of_api}");
    assert!((0..200).all(|user| side(user) == sides[user]));
}

#[test]
fn each_pool_is_changed_by_itself() {
    let folder = Folder::new("api");
    let backends = ["a", "b", "c"].map(Backend::start);
    let text = format!(
        "{}[pool.b.replicas]\ncount = 1\n[[route]]\npool = \"a\"\n[[route]]\npath = \"/b\"\npool = \"b\"\n",
        pool(&backends[0])
    );
    let balancer = Balancer::start(&["--config", &folder.write("ringherd.toml", &text)]);
    let before = wait_until("all are ready", || {
        let pools = pools(&balancer);
        pools.values().all(|pool| pool["ready"] == 1).then_some(pools)
    });
    let c = format!(r#"{{"n":1,"endpoints":["{}"]}}"#, backends[2].address);
    assert_eq!(request(balancer.admin, "POST", "/pools/a/add", Some(&c)).status, 200);
    assert_eq!(request(balancer.admin, "POST", "/pools/b/add", Some(r#"{"n":2}"#)).status, 200);
    let after = pools(&balancer);
    let replicas = |name: &str| after[name]["replicas"].clone();
    assert_eq!((replicas("a"), replicas("b")), (2.into(), 3.into()));
    for name in ["a", "b"] {
        let version = |pools: &BTreeMap<String, Value>| pools[name]["version"].as_u64().expect("a number");
        assert_eq!(version(&after), version(&before) + 1, "one ring is built for each");
    }
    // Paths without a pool are about the first.
    assert_eq!(balancer.replicas().len(), 2);
    let of_b = request(balancer.admin, "GET", "/pools/b/ring", None).json();
    assert_eq!(of_b["replicas"].as_array().map(Vec::len), Some(3));
    assert_eq!(request(balancer.admin, "DELETE", "/pools/b/rm", Some(r#"{"n":2}"#)).status, 200);
    let unknown = request(balancer.admin, "GET", "/pools/x/rep", None);
    assert_eq!((unknown.status, unknown.header("x-ringherd-error")), (404, Some("not-found")));
    assert!(unknown.body.contains("there is no pool 'x'; there are: a, b"), "{}", unknown.body);
}

#[test]
fn a_pool_that_hangs_takes_nothing_from_the_others() {
    let folder = Folder::new("hung");
    let more = format!("{ROUTES}[queue]\nmax-requests-per-replica = 4\ntimeout = \"30s\"\n");
    let (balancer, backends) = two_pools(&folder, &more);
    backends[1].hold();
    let public = balancer.public;
    let hung: Vec<_> = (0..40)
        .map(|n| std::thread::spawn(move || request(public, "GET", &format!("/api/{n}"), None).status))
        .collect();
    let queued = || Scrape::of(&balancer).value("ringherd_requests_queued", &[("pool", "api")]);
    wait_until("the queue of the one is long", || (queued() == 36.0).then_some(()));
    for n in 0..200 {
        let answer = request(public, "GET", &format!("/{n}"), None);
        assert_eq!((answer.status, &*answer.body), (200, "web"));
    }
    assert_eq!(queued(), 36.0, "it still is");
    assert_eq!(Scrape::of(&balancer).value("ringherd_requests_queued", &[("pool", "web")]), 0.0);
    backends[1].release();
    assert!(hung.into_iter().all(|request| request.join().expect("an answer") == 200));
}

#[test]
fn pools_that_hang_leave_connections_to_the_others() {
    let folder = Folder::new("share");
    let backends = ["a", "b", "c"].map(Backend::start);
    let route = |backend: &Backend| {
        let name = backend.name();
        format!("{}[[route]]\npath = \"/{name}\"\npool = \"{name}\"\n", pool(backend))
    };
    // 4 for each, and 4 for all.
    let share = "[limits]\nmax-connections = 16\nconnection-share = 25\n";
    let text: String = backends.iter().map(route).chain([share.to_owned()]).collect();
    let balancer = Balancer::start(&["--config", &folder.write("ringherd.toml", &text), "--workers", "2"]);
    wait_until("all are ready", || pools(&balancer).values().all(|pool| pool["ready"] == 1).then_some(()));
    let public = balancer.public;
    let ask = |path: String| std::thread::spawn(move || request(public, "GET", &path, None).status);
    let in_flight =
        |pool: &str| Scrape::of(&balancer).value("ringherd_requests_in_flight", &[("pool", pool)]) as usize;
    backends[..2].iter().for_each(Backend::hold);
    let mut hung: Vec<_> = (0..8).map(|n| ask(format!("/a/{n}"))).collect();
    wait_until("the one has its own, and those for all", || (in_flight("a") == 8).then_some(()));
    hung.extend((0..4).map(|n| ask(format!("/b/{n}"))));
    wait_until("the other has its own", || (in_flight("b") == 4).then_some(()));
    for n in 0..20 {
        for path in [format!("/a/more-{n}"), format!("/b/more-{n}")] {
            let refused = request(public, "GET", &path, None);
            assert_eq!((refused.status, refused.header("x-ringherd-error")), (503, Some("overloaded")));
            assert_eq!(refused.header("connection"), Some("close"));
            assert!(refused.body.contains("--connection-share"), "{}", refused.body);
        }
        assert_eq!(request(public, "GET", &format!("/c/{n}"), None).status, 200);
    }
    backends[..2].iter().for_each(Backend::release);
    for hung in hung {
        assert_eq!(hung.join().expect("an answer"), 200);
    }
    for path in ["/a/x", "/b/x"] {
        assert_eq!(request(public, "GET", path, None).status, 200, "they are given back");
    }
}

#[test]
fn routes_change_without_a_restart_and_pools_with_one() {
    let folder = Folder::new("reroute");
    let (mut balancer, backends) = two_pools(&folder, "[[route]]\npool = \"web\"\n");
    assert_eq!(get(&balancer, "a", "/api", "").body, "web");
    let all = [&pool(&backends[0]), &pool(&backends[1]), ROUTES].concat();
    folder.write("ringherd.toml", &all);
    balancer.signal(Signal::HUP);
    assert_eq!(balancer.wait_for_log("configuration reloaded")["needs_restart"], "");
    assert_eq!(get(&balancer, "a", "/api", "").body, "api");
    folder.write("ringherd.toml", &[&pool(&backends[0]), "[[route]]\npool = \"web\"\n"].concat());
    balancer.signal(Signal::HUP);
    assert_eq!(balancer.wait_for_log("configuration reloaded")["needs_restart"], "pool api");
    assert_eq!(get(&balancer, "a", "/api", "").body, "web", "routes go by the names of pools that run");
    let new = [&all, "[pool.new.replicas]\n[[route]]\nhost = \"new\"\npool = \"new\"\n"].concat();
    folder.write("ringherd.toml", &new);
    balancer.signal(Signal::HUP);
    assert_eq!(balancer.wait_for_log("configuration reloaded")["needs_restart"], "pool new");
    assert_eq!(get(&balancer, "a", "/api", "").body, "web", "all wait for the pool that is not there yet");
}

#[test]
fn the_access_log_names_the_pool_that_a_route_leads_to() {
    let folder = Folder::new("pools-log");
    let log = folder.file("log");
    let (balancer, _backends) = two_pools(&folder, &format!("{ROUTES}\n[access-log]\nto = \"{log}\"\n"));
    for (host, target) in [("a.example", "/"), ("a.example", "/api/x"), ("old.example", "/")] {
        get(&balancer, host, target, "");
    }
    let lines = wait_until("the lines are written", || {
        let lines = std::fs::read_to_string(&log).ok()?;
        (lines.lines().count() == 3).then_some(lines)
    });
    let pools: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["pool"].clone())
        .collect();
    assert_eq!(pools, [Value::from("web"), Value::from("api"), Value::Null], "a redirect leads to none");
}

#[test]
fn a_route_has_a_time_out_of_its_own() {
    let folder = Folder::new("route-timeout");
    let more = "[timeouts]\nresponse = \"20s\"\n[[route]]\npool = \"web\"\n[[route]]\npath = \"/api\"\npool = \"api\"\n\
                [[route]]\npath = \"/api/soon\"\npool = \"api\"\nresponse-timeout = \"100ms\"\n";
    let (balancer, backends) = two_pools(&folder, more);
    backends[1].hold();
    let public = balancer.public;
    let later = std::thread::spawn(move || request(public, "GET", "/api/later", None).status);
    let soon = get(&balancer, "a", "/api/soon", "");
    assert_eq!((soon.status, soon.header("x-ringherd-error")), (504, Some("response-timeout")));
    backends[1].release();
    assert_eq!(later.join().expect("an answer"), 200, "that of its pool is longer");
}

#[test]
fn header_rules_may_be_for_one_pool() {
    let folder = Folder::new("pool-headers");
    let rules = "[[headers]]\non = \"request\"\nset = [\"X-For: all\"]\n\
                 [[headers]]\non = \"request\"\npool = \"api\"\nset = [\"X-For: api\"]\n\
                 [[headers]]\non = \"response\"\npool = \"api\"\nadd = [\"X-From: api\"]\n";
    let (balancer, backends) = two_pools(&folder, &format!("{ROUTES}{rules}"));
    for (target, pool, from) in [("/x", 0, None), ("/api/x", 1, Some("api"))] {
        let answer = get(&balancer, "a", target, "");
        assert_eq!((answer.status, answer.header("x-from")), (200, from), "{target}");
        let head = backends[pool].heads().pop().expect("a request").to_lowercase();
        let expected = if pool == 1 { "x-for: api" } else { "x-for: all" };
        assert!(head.contains(expected), "{head}");
    }
}

#[test]
fn header_rules_may_be_for_routes_of_a_name() {
    let folder = Folder::new("route-headers");
    let rules = "[[route]]\npath = \"/api/docs\"\npool = \"api\"\nname = \"docs\"\n\
                 [[headers]]\non = \"request\"\nset = [\"X-For: all\"]\n\
                 [[headers]]\non = \"request\"\npool = \"api\"\nset = [\"X-For: api\"]\n\
                 [[headers]]\non = \"request\"\nroute = \"docs\"\nset = [\"X-For: docs\"]\n\
                 [[headers]]\non = \"response\"\nroute = \"docs\"\nadd = [\"Cache-Control: max-age=60\"]\n";
    let (balancer, backends) = two_pools(&folder, &format!("{ROUTES}{rules}"));
    for (target, expected, cached) in
        [("/api/x", "x-for: api", None), ("/api/docs/x", "x-for: docs", Some("max-age=60"))]
    {
        let answer = get(&balancer, "a", target, "");
        assert_eq!((answer.status, answer.header("cache-control")), (200, cached), "{target}");
        let head = backends[1].heads().pop().expect("a request").to_lowercase();
        assert!(head.contains(expected), "{head}");
    }
}
