//! From host and path to the route, per request over requests in random order.
//!
//! - `hosts`: 1,000 names, each with one route for all paths: those of requests are among them.
//! - `port`: the same, where requests name a port, and letters are not small.
//! - `miss`: the same, and no request is for one of them.
//! - `wildcards`: 1,000 names as before and 1,000 wildcards; requests are for names below those.
//! - `paths`: 20 paths on one of 1,000 names; requests are for that.
//! - `one`: no routes, as without any in the file: all requests go to one pool.
//! - `ambiguity`: whether the paths of `paths` are to be refused.
//! - `side`: the pool of a key where two share them.

#![allow(missing_docs, reason = "benches have no callers")]

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringherd::routes::{Action, ActionSpec, Route, RouteSpec, Routes};

const HOSTS: usize = 1_000;
const PATHS: [&str; 20] = [
    "/",
    "/account",
    "/admin",
    "/api",
    "/api/v1",
    "/api/v2",
    "/assets",
    "/basket",
    "/blog",
    "/checkout",
    "/docs",
    "/help",
    "/images",
    "/login",
    "/orders",
    "/products",
    "/search",
    "/static",
    "/status",
    "/users",
];

fn spec(host: &str, path: &str, pool: &str, weight: Option<u16>) -> RouteSpec {
    let action = ActionSpec::Forward {
        name: None,
        pool: pool.to_owned(),
        weight,
        strip_prefix: false,
        timeouts: ringherd::routes::Timeouts::default(),
    };
    RouteSpec { host: host.parse().expect("a host"), path: path.parse().expect("a path"), action }
}

fn routes(specs: impl Iterator<Item = RouteSpec>) -> Routes {
    Routes::build(&specs.collect::<Vec<_>>(), &["default", "canary"]).expect("no contradiction")
}

/// Host and path.
type Request = (String, String);

/// Requests for hosts and paths that `request` makes of random numbers.
fn requests(request: impl Fn(usize) -> Request) -> Vec<Request> {
    common::ids().into_iter().map(|id| request((id % 1_000_003) as usize)).collect()
}

fn lookups(c: &mut Criterion) {
    let name = |number: usize| format!("shop-{}.customers.example.com", number % HOSTS);
    let page = |number: usize| format!("/products/{number}");
    let deep =
        |number: usize| format!("{}/items/{number}", PATHS[number % PATHS.len()].trim_end_matches('/'));
    let to_default = |host: &str, path: &str| spec(host, path, "default", None);
    let hosts = || (0..HOSTS).map(|number| to_default(&name(number), "/"));
    let wildcards = (0..HOSTS).map(|number| to_default(&format!("*.{}", name(number)), "/"));
    let paths = PATHS[1..].iter().map(|path| to_default(&name(7), path));
    let (wildcards, paths) = (routes(hosts().chain(wildcards)), routes(hosts().chain(paths)));
    let (hosts, one) = (routes(hosts()), Routes::to_one_pool());

    let known = requests(|number| (name(number), page(number)));
    let on_a_port = requests(|number| (format!("S{}:8443", &name(number)[1..]), page(number)));
    let unknown = requests(|number| (format!("other-{}.example.com", number % HOSTS), page(number)));
    let below = requests(|number| (format!("www.{}", name(number)), page(number)));
    let on_one = requests(|number| (name(7), deep(number)));

    let mut group = c.benchmark_group("routes");
    group.throughput(Throughput::Elements(known.len() as u64));
    for (case, routes, requests) in [
        ("hosts", &hosts, &known),
        ("port", &hosts, &on_a_port),
        ("miss", &hosts, &unknown),
        ("wildcards", &wildcards, &below),
        ("paths", &paths, &on_one),
        ("one", &one, &known),
    ] {
        let index = |(host, path): &Request| routes.find(host, path).map(Route::index);
        assert_eq!(requests.iter().all(|request| index(request).is_some()), case != "miss");
        group.bench_function(case, |b| b.iter(|| common::each(requests, index)));
    }
    group.bench_function("ambiguity", |b| {
        b.iter(|| common::each(&on_one, |(host, path)| paths.ambiguity(host, path)));
    });
    let shared = ["default", "canary"].map(|pool| spec("*", "/", pool, Some(50)));
    let shared = routes(shared.into_iter());
    let Some(Action::Forward(forward)) = shared.find("", "/").map(Route::action) else { return };
    group.bench_function("side", |b| b.iter(|| common::each(common::ids(), |id| forward.split.side(id))));
    group.finish();
}

criterion_group! { name = benches; config = common::criterion(); targets = lookups }
criterion_main!(benches);
