//! Routes as a whole: which one a request gets, and which cannot be used together.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::action::Timeouts;
use super::*;

const POOLS: [&str; 4] = ["default", "api", "web", "canary"];

/// A route to a pool.
fn to(host: &str, path: &str, pool: &str) -> RouteSpec {
    shared(host, path, pool, None)
}

fn shared(host: &str, path: &str, pool: &str, weight: Option<u16>) -> RouteSpec {
    let action = ActionSpec::Forward {
        name: None,
        pool: pool.to_owned(),
        weight,
        strip_prefix: false,
        timeouts: Timeouts::default(),
    };
    RouteSpec { host: host.parse().unwrap(), path: path.parse().unwrap(), action }
}

fn stripped(host: &str, path: &str, pool: &str, weight: Option<u16>) -> RouteSpec {
    let action = ActionSpec::Forward {
        name: None,
        pool: pool.to_owned(),
        weight,
        strip_prefix: true,
        timeouts: Timeouts::default(),
    };
    RouteSpec { action, ..to(host, path, pool) }
}

fn redirect(host: &str, path: &str, target: &str) -> RouteSpec {
    let action = ActionSpec::Redirect { to: target.parse().unwrap(), status: RedirectStatus::default() };
    RouteSpec { action, ..to(host, path, "") }
}

fn routes(specs: &[RouteSpec]) -> Routes {
    Routes::build(specs, &POOLS).unwrap_or_else(|errors| panic!("{errors:?}"))
}

#[test]
fn the_most_specific_host_wins_then_the_longest_path() {
    let routes = routes(&[
        to("*", "/", "default"),
        to("*", "/api", "api"),
        to("*.example", "/api/v1", "api"),
        to("*.b.example", "/", "web"),
        to("a.example", "/shop", "web"),
        to("a.example", "/shop/cart", "canary"),
        to("[::1]", "/", "canary"),
    ]);
    for (host, path, expected) in [
        ("", "/", "*/"),
        ("c.example", "/", "*/"),
        ("c.example", "/api", "*/api"),
        ("c.example:8080", "/api/v1?x", "*.example/api/v1"),
        ("x.B.example.", "/api/v1", "*.b.example/"),
        ("b.example", "/api/v2", "*/api"),
        ("A.example", "/shop", "a.example/shop"),
        ("a.example:80", "/shop/cart/1", "a.example/shop/cart"),
        ("a.example", "/shop/carts", "a.example/shop"),
        ("a.example", "/api/v1", "*.example/api/v1"),
        ("a.example", "/shops", "*/"),
        ("[0::1]:80", "/api", "[::1]/"),
        ("[::2]", "/api", "*/api"),
        ("a.example", "*", "*/"),
    ] {
        let found = routes.find(host, path).map(ToString::to_string);
        assert_eq!(found.as_deref(), Some(expected), "{host} {path}");
    }
    let matching = routes.matching("a.example", "/shop/cart");
    assert_eq!(
        matching.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["a.example/shop/cart", "a.example/shop", "*/"]
    );
}

#[test]
fn what_no_route_is_for_has_none() {
    let routes = routes(&[to("a.example", "/", "web"), to("*.b.example", "/x", "api")]);
    for (host, path) in [("", "/"), ("b.example", "/x"), ("c.b.example", "/"), ("c.b.example", "/xy")] {
        assert_eq!(routes.find(host, path), None, "{host} {path}");
    }
    assert_eq!(Routes::build(&[], &POOLS).unwrap().find("a", "/"), None);
    let all = Routes::to_one_pool();
    let Some(Action::Forward(forward)) = all.find("a", "/x").map(Route::action) else { panic!() };
    assert_eq!((forward.split.side(7), forward.strips()), (0, false));
    assert_eq!(all.ambiguity("a", "/a/../%2f"), None);
}

#[test]
fn routes_of_one_place_share_by_weight() {
    let routes = routes(&[
        to("*", "/", "default"),
        stripped("*", "/api", "web", Some(90)),
        to("a.example", "/api", "api"),
        stripped("*", "/api", "canary", Some(10)),
    ]);
    let found = routes.find("", "/api/x").unwrap();
    assert_eq!((found.index(), found.given()), (1, &[1, 3][..]));
    let Action::Forward(forward) = found.action() else { panic!() };
    assert_eq!(forward.split.pools().collect::<Vec<_>>(), [(2, 90), (3, 10)]);
    assert_eq!(forward.target("/api/x?y"), "/x?y");
    let canaries = (0..10_000).filter(|key| forward.split.side(*key) == 3).count();
    assert!((800..1200).contains(&canaries), "{canaries}");
}

#[test]
fn a_redirect_keeps_the_rest() {
    let routes =
        routes(&[redirect("*", "/old", "https://b.example/new"), redirect("a.example", "/", "http://b")]);
    let location = |host, target| match routes.find(host, target).map(Route::action) {
        Some(Action::Redirect(redirect)) => (redirect.status().code(), redirect.location(target)),
        other => panic!("{other:?}"),
    };
    assert_eq!(location("x", "/old/a?b"), (308, "https://b.example/new/a?b".to_owned()));
    assert_eq!(location("a.example", "/old/a?b"), (308, "http://b/old/a?b".to_owned()));
}

#[test]
fn contradictions_are_all_found() {
    let errors = Routes::build(
        &[
            to("a.example", "/", "web"),
            to("A.EXAMPLE", "/", "api"),
            shared("*", "/w", "web", Some(1)),
            shared("*", "/w", "api", None),
            shared("*", "/p", "web", Some(1)),
            shared("*", "/p", "api", Some(1)),
            shared("*", "/p", "web", Some(2)),
            shared("*", "/s", "web", Some(1)),
            stripped("*", "/s", "api", Some(1)),
            shared("*", "/alone", "web", Some(1)),
            shared("*", "/zero", "web", Some(0)),
            shared("*", "/zero", "api", Some(0)),
            to("*", "/lost", "wbe"),
            redirect("*", "/r", "/x"),
            to("*", "/r", "web"),
            redirect("*", "/rr", "/x"),
            redirect("*", "/rr", "/x"),
            shared("*", "/u", "wbe", Some(1)),
            shared("*", "/u", "api", Some(1)),
        ],
        &POOLS,
    );
    let expected = [
        RouteError::Same { route: 1, other: 0 },
        RouteError::Same { route: 3, other: 2 },
        RouteError::SamePool { route: 6, other: 4 },
        RouteError::Stripped { route: 8, other: 7 },
        RouteError::Alone { route: 9 },
        RouteError::Weightless { route: 10 },
        RouteError::UnknownPool { route: 12 },
        RouteError::Same { route: 14, other: 13 },
        RouteError::Same { route: 16, other: 15 },
        RouteError::UnknownPool { route: 17 },
    ];
    assert_eq!(errors.unwrap_err(), expected);
}

#[test]
fn a_redirect_may_not_lead_back_to_itself() {
    let circles = |specs: &[RouteSpec]| match Routes::build(specs, &POOLS) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(RouteError::route).collect(),
    };
    let web = || to("*", "/new", "web");
    assert_eq!(circles(&[redirect("*", "/old", "/new"), web()]), Vec::<usize>::new());
    assert_eq!(circles(&[redirect("*", "/", "/new"), web()]), Vec::<usize>::new());
    assert_eq!(circles(&[redirect("*", "/", "/new")]), [0]);
    assert_eq!(circles(&[redirect("*", "/a", "/a/b")]), [0]);
    assert_eq!(circles(&[redirect("*", "/a", "/b/x"), web(), redirect("*", "/b", "/a")]), [0, 2]);
    assert_eq!(circles(&[redirect("*.example", "/a", "/b"), redirect("*", "/b", "/a")]), [0]);
    assert_eq!(
        circles(&[redirect("a.example", "/a", "/b"), redirect("b.example", "/b", "/a")]),
        Vec::<usize>::new()
    );
    assert_eq!(
        circles(&[redirect("*", "/a", "/b"), redirect("*", "/b", "/c"), redirect("*", "/c", "/b")]),
        [1, 2]
    );
    // It may come back by way of another server, or over TLS.
    assert_eq!(circles(&[redirect("a.example", "/", "https://a.example")]), Vec::<usize>::new());
}

#[test]
fn paths_that_hide_another_route_are_refused() {
    const HIDDEN: Option<&str> = Some("a hidden path of another route");
    let routes = routes(&[to("*", "/", "web"), to("*", "/admin", "api"), to("a.example", "/~joe/x", "api")]);
    for (host, path, expected) in [
        ("", "/%61dmin", HIDDEN),
        ("", "/%61dmin?x", HIDDEN),
        ("", "//admin", HIDDEN),
        ("", "/;x/admin", HIDDEN),
        ("", "/admin;x/y", HIDDEN),
        ("", "/admin%3bx", HIDDEN),
        ("a.example", "/%7ejoe/x", HIDDEN),
        ("a.example", "/~joe//x", HIDDEN),
        ("", "/%7ejoe/x", None),
        ("", "/admin/a;x=1//b%20%41", None),
        ("", "/a%5Fb/c;d//e", None),
        ("", "/adm%20in", None),
        ("", "/b?x=//%61dmin/../", None),
        ("", "/admin/../x", Some("a dot segment")),
        ("", "/x%2fadmin", Some("an encoded slash")),
    ] {
        assert_eq!(routes.ambiguity(host, path), expected, "{host} {path}");
    }
    let by_host = Routes::build(&[to("*", "/", "web"), to("a.example", "/", "api")], &POOLS).unwrap();
    assert_eq!(by_host.ambiguity("a.example", "/x/../%2f//"), None);
}

/// Hosts and paths of which many match each other.
fn hosts() -> impl Strategy<Value = &'static str> {
    select(vec![
        "*",
        "a.x",
        "b.x",
        "a.b.x",
        "*.x",
        "*.b.x",
        "*.a.b.x",
        "x",
        "*.y",
        "10.0.0.1",
        "[::1]",
        "[::2]",
        "a-long-name.x",
    ])
}

fn paths() -> impl Strategy<Value = &'static str> {
    select(vec!["/", "/a", "/b", "/a/b", "/a/b/c", "/ab", "/a-long-name", "/a-long-name/b", "/a%20b"])
}

fn some_specs() -> impl Strategy<Value = Vec<RouteSpec>> {
    let spec = (hosts(), paths(), select(&POOLS[..])).prop_map(|(host, path, pool)| to(host, path, pool));
    proptest::collection::vec(spec, 0..40).prop_map(|mut specs| {
        specs.sort_by(|a, b| (&a.host, &a.path).cmp(&(&b.host, &b.path)));
        specs.dedup_by(|a, b| (&a.host, &a.path) == (&b.host, &b.path));
        specs
    })
}

fn a_host() -> impl Strategy<Value = String> {
    let host =
        "([abAB]\\.){0,3}[xXyY]?|(a-long-name|c)\\.x|10\\.0\\.0\\.1|\\[::[0-3]\\]|\\[0:0::1\\]|\\PC{0,9}";
    (host, "(\\.)?(:80)?").prop_map(|(host, end)| format!("{host}{end}"))
}

fn a_path() -> impl Strategy<Value = String> {
    "(/(a|b|c|ab|a-long-name|a%20b|%61|b;c|a%3bc|)){0,4}(/|\\?/a)?|\\*|\\PC{0,9}"
}

/// The best of all that match, one by one.
fn naive<'a>(specs: &'a [RouteSpec], host: &str, path: &str) -> Option<&'a RouteSpec> {
    let matching = specs.iter().filter(|spec| spec.host.matches(host) && spec.path.matches(path));
    matching.max_by_key(|spec| (spec.host.specificity(), spec.path.as_str().len()))
}

proptest! {
    #[test]
    fn the_route_is_that_of_a_naive_scan(specs in some_specs(), host in a_host(), path in a_path()) {
        let routes = routes(&specs);
        let place = |route: &Route| (route.host().clone(), route.path().clone());
        let expected = naive(&specs, &host, &path).map(|spec| (spec.host.clone(), spec.path.clone()));
        prop_assert_eq!(routes.find(&host, &path).map(place), expected);
        let count = specs.iter().filter(|spec| spec.host.matches(&host) && spec.path.matches(&path)).count();
        prop_assert_eq!(routes.matching(&host, &path).len(), count);
        prop_assert_eq!(routes.matching(&host, &path).first().copied(), routes.find(&host, &path));
    }

    #[test]
    fn their_order_does_not_matter(
        (specs, shuffled) in some_specs().prop_flat_map(|specs| (Just(specs.clone()), Just(specs).prop_shuffle())),
        host in a_host(), path in a_path(),
    ) {
        let told = |specs: &[RouteSpec]| {
            let routes = routes(specs);
            let found = routes.find(&host, &path).map(|route| (route.to_string(), route.action().clone()));
            (found, routes.ambiguity(&host, &path))
        };
        prop_assert_eq!(told(&specs), told(&shuffled));
    }

    /// A server that reads a path in another way, by any of what servers do, sees no other route in it.
    #[test]
    fn what_is_not_refused_has_one_route(
        specs in some_specs(), host in a_host(), path in a_path(), steps in subsequence(vec![0, 1, 2], 0..=3).prop_shuffle(),
    ) {
        let routes = routes(&specs);
        if !path.starts_with('/') || routes.ambiguity(&host, &path).is_some() {
            return Ok(());
        }
        let index = |path: &str| routes.find(&host, path).map(Route::index);
        let before = index(&path);
        let mut read = path.split('?').next().unwrap().to_owned();
        for step in steps {
            read = match step {
                0 => read.replace("%61", "a").replace("%3b", ";"),
                1 => read.split('/').map(|segment| segment.split(';').next().unwrap()).collect::<Vec<_>>().join("/"),
                _ => {
                    let merged: Vec<_> = read.split('/').filter(|segment| !segment.is_empty()).collect();
                    format!("/{}", merged.join("/"))
                }
            };
            prop_assert_eq!(before, index(&read), "{} read as {}", path, read);
        }
    }

    #[test]
    fn no_request_makes_it_panic(specs in some_specs(), host in "\\PC{0,40}", path in "\\PC{0,40}") {
        let mut specs = specs;
        specs.push(stripped("*", "/strip", "api", None));
        specs.push(redirect("*", "/redirect", "https://b.example"));
        let routes = routes(&specs);
        for path in [format!("/strip{path}"), format!("/redirect{path}"), path] {
            let _ = routes.ambiguity(&host, &path);
            for route in routes.matching(&host, &path) {
                match route.action() {
                    Action::Forward(forward) => prop_assert!(!forward.strips() || forward.target(&path).starts_with('/')),
                    Action::Redirect(redirect) => prop_assert!(redirect.location(&path).starts_with("https://b.example/")),
                }
            }
        }
    }
}
