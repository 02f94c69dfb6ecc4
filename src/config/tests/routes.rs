//! `[[route]]`: what it makes, and how contradictions are told.

use std::time::Duration;

use super::{file, good};
use crate::config::{example_file, schema};
use crate::routes::{Action, Route, Routes};

/// What happens to a request for a URL.
fn told(text: &str, host: &str, target: &str) -> String {
    let config = good(file(text)).config;
    let routes = config.routes.unwrap_or_else(Routes::to_one_pool);
    match routes.find(host, target).map(Route::action) {
        None => "nothing".to_owned(),
        Some(Action::Forward(forward)) => {
            format!("pool {} {}", forward.split.side(0), forward.target(target))
        }
        Some(Action::Redirect(redirect)) => {
            format!("{} {}", redirect.status().code(), redirect.location(target))
        }
    }
}

const FILE: &str = "\
[[route]]
path = '/api'
strip-prefix = true

[[route]]
host = '*.example.org'
pool = 'default'

[[route]]
host = 'Old.example.org'
redirect = 'https://new.example.org'
redirect-status = 301

[[route]]
path = '/gone'
redirect = '/api/gone'

[[route]]
path = '/reports'
response-timeout = '5m'
";

#[test]
fn tables_are_routes() {
    assert_eq!(told("", "any", "/"), "pool 0 /");
    for (host, target, expected) in [
        ("any", "/", "nothing"),
        ("any", "/api/x?y", "pool 0 /x?y"),
        ("a.example.org", "/api/x", "pool 0 /api/x"),
        ("old.example.org:80", "/x?y", "301 https://new.example.org/x?y"),
        ("any", "/gone/x", "308 /api/gone/x"),
    ] {
        assert_eq!(told(FILE, host, target), expected, "{host} {target}");
    }
}

#[test]
fn what_is_printed_is_what_is_read() {
    let printed = good(file(FILE));
    let text = printed.to_string();
    assert!(text.contains("[[route]]\nhost = \"old.example.org\"\npath = \"/\"\n"), "{text}");
    assert!(text.contains("redirect-status = 301\n"), "{text}");
    assert_eq!(good(file(&text)).config, printed.config, "{text}");
    assert_eq!(printed.to_json()["route"][2]["redirect-status"], 301);
    assert!(example_file().contains("# [[route]]\n"));
    let items = &schema()["properties"]["route"]["items"];
    assert_eq!(items["required"], serde_json::json!([]));
    let status = &items["properties"]["redirect-status"]["anyOf"];
    assert_eq!(status[0]["enum"], serde_json::json!([301, 302, 307, 308]));
}

#[test]
fn a_route_may_have_time_outs_of_its_own() {
    let response = |target: &str| {
        let config = good(file(FILE)).config;
        match config.routes.expect("some").find("any", target).expect("one").action() {
            Action::Forward(forward) => forward.timeouts.response,
            Action::Redirect(_) => None,
        }
    };
    assert_eq!(response("/reports/2026"), Some(Duration::from_secs(300)));
    assert_eq!(response("/api/x"), None, "that of the pool");
    let shared = "[pool.default]\n[pool.b]\n[[route]]\nweight = 1\n[[route]]\nweight = 1\npool = 'b'\nresponse-timeout = '1s'\n";
    let told = problems(shared);
    assert_eq!(
        told,
        [
            "8: route.response-timeout = \"1s\": differs from the route at ringherd.toml:3, with which */ is shared; \
          give the same to both"
        ]
    );
}

#[test]
fn header_rules_are_for_routes_of_a_name() {
    const ROUTES: &str = "[[route]]\nname = 'docs'\n[[route]]\npath = '/manual'\nname = 'docs'\n";
    let rules = |text: &str| format!("{ROUTES}[[headers]]\non = 'response'\nset = ['X-A: b']\n{text}");
    let config = good(file(&rules("route = 'docs'\n"))).config;
    assert_eq!(config.proxy.route_rules.keys().map(|name| &**name).collect::<Vec<_>>(), ["docs"]);
    assert_eq!((config.proxy.header_rules, config.pool.header_rules), (None, None));
    for (line, problem) in [
        ("route = 'dosc'", "6: headers.route = \"dosc\": is not the name of a route; did you mean docs?"),
        (
            "route = 'docs'\npool = 'default'",
            "6: headers.route: is of no use beside pool: a route has its pool already; \
          leave one of them out",
        ),
        (
            "route = 'docs'\nalways = true",
            "6: headers.always: is about responses of the balancer itself, which are of no \
          route; leave out one of always and route",
        ),
    ] {
        assert_eq!(problems(&rules(line)), [problem]);
    }
    let unnamed = "[[headers]]\non = 'response'\nset = ['X-A: b']\nroute = 'docs'\n";
    assert_eq!(
        problems(unnamed),
        ["1: headers.route = \"docs\": is not the name of a route; give a [[route]] that name"]
    );
    let beside = problems("[[route]]\nredirect = '/x'\npath = '/y'\nname = 'z'\n");
    assert_eq!(beside, ["4: route.name = \"z\": is of no use beside redirect; leave one of them out"]);
    let shared =
        "[pool.default]\n[pool.b]\n[[route]]\nweight = 1\n[[route]]\nweight = 1\npool = 'b'\nname = 'x'\n";
    let told = problems(shared);
    assert!(
        told.len() == 1 && told[0].starts_with("8: route.name = \"x\": differs from the route at"),
        "{told:?}"
    );
}

#[test]
fn each_pool_has_connections_of_its_own() {
    let pools = |shares: &[&str]| {
        let pools = ["a", "b", "c"].iter().zip(shares).map(|(name, share)| {
            format!("[pool.{name}.limits]\n{share}\n[[route]]\npath = '/{name}'\npool = '{name}'\n")
        });
        pools.collect::<String>()
    };
    let own = |shares: &[&str]| {
        let config = good(file(&pools(shares))).config;
        config.pools().iter().map(|(_, pool)| pool.pool.connection_share.own).collect::<Vec<_>>()
    };
    assert_eq!(own(&[""]), [50.0]);
    assert_eq!(own(&["", ""]), [25.0, 25.0]);
    assert_eq!(own(&["connection-share = 60", "", ""]), [60.0, 10.0, 10.0]);
    assert_eq!(own(&["connection-share = 0", "connection-share = 0"]), [0.0, 0.0], "all are for all");
    assert_eq!(own(&["connection-share = 60", "connection-share = 40"]), [60.0, 40.0]);
    let told = problems(&pools(&["connection-share = 60", "connection-share = 50"]));
    assert_eq!(
        told,
        ["1: limits.connection-share: is 110 percent in all pools together, of 100; give smaller ones"]
    );
    for none in ["", "connection-share = 0"] {
        let told = problems(&pools(&["connection-share = 60", "connection-share = 40", none]));
        assert_eq!(
            told,
            [
                "1: limits.connection-share: leaves pool c no connection: the others have all 100 percent; give it a \
             share, and the others smaller ones"
            ]
        );
    }
}

/// The problems of a file, without its name.
fn problems(text: &str) -> Vec<String> {
    let problems = file(text).problems();
    problems.iter().map(|problem| problem.trim_start_matches("ringherd.toml:").to_owned()).collect()
}

#[test]
fn values_are_refused_with_what_to_write() {
    for (line, problem) in [
        ("host = 'a.example:80'", "route.host = \"a.example:80\": is more than a host; write a.example"),
        (
            "host = 'a.*.example'",
            "route.host = \"a.*.example\": has a * that is not its first label; it stands for the first labels, \
             as in *.example.org",
        ),
        (
            "host = 'b\u{fc}cher.example'",
            "route.host = \"b\u{fc}cher.example\": is not of ASCII letters; write it as browsers send it, in \
             Punycode (xn--...)",
        ),
        (
            "host = 'a b'",
            "route.host = \"a b\": must be a host name, *.SUFFIX, an IPv6 address in brackets or *; as in \
             shop.example.org or *.example.org",
        ),
        ("path = '/api/'", "route.path = \"/api/\": can be read in more than one way; write /api"),
        ("path = '/api/*'", "route.path = \"/api/*\": has a *: a path matches all paths below it"),
        (
            "path = 'api'",
            "route.path = \"api\": must be a path that starts with '/', percent-encoded where a URL needs it; \
             as in /api",
        ),
        ("path = '/a/../b'", "route.path = \"/a/../b\": has a dot segment, with which requests are refused"),
        ("weight = 1001", "route.weight = \"1001\": must be a whole number of shares, 0 to 1000"),
        (
            "redirect = 'new'",
            "route.redirect = \"new\": must be a path that starts with '/', or a URL of http or https; as in \
             /new or https://www.example.org/new",
        ),
        (
            "redirect = '/new?x'",
            "route.redirect = \"/new?x\": has a query or a fragment, behind which nothing can be appended; \
             leave it out",
        ),
        ("redirect-status = 303", "route.redirect-status = \"303\": must be 301, 302, 307 or 308"),
        ("pool = 'Web'", "route.pool = \"Web\": must be 1 to 32 of a-z, 0-9 and '-'"),
        ("pool = 'defualt'", "route.pool = \"defualt\": is not the name of a pool; did you mean default?"),
        ("pool = 'web'", "route.pool = \"web\": is not the name of a pool; there is default"),
        ("prefix = '/a'", "route.prefix: unknown key"),
        (
            "strip-prefix = true",
            "route.strip-prefix = \"on\": has nothing to strip where path is /; give a path",
        ),
        (
            "redirect-status = 302",
            "route.redirect-status = \"302\": is of no use without redirect; leave it out",
        ),
    ] {
        let found = problems(&format!("[[route]]\n{line}\n"));
        assert!(found.len() == 1 && found[0].starts_with(&format!("2: {problem}")), "{line}: {found:#?}");
    }
    let found = problems("[[route]]\npath = '/a'\nredirect = '/b'\npool = 'default'\nweight = 1\n");
    let expected = ["pool = \"default\"", "weight = \"1\""].into_iter().zip([4, 5]).map(|(value, line)| {
        format!("{line}: route.{value}: is of no use beside redirect; leave one of them out")
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
}

#[test]
fn contradictions_name_both_routes() {
    let text = "\
[[route]]
path = '/api'

[[route]]
host = 'A.example'
path = '/api'

[[route]]
host = 'a.example'
path = '/api'
weight = 5

[[route]]
path = '/shared'
weight = 5

[[route]]
path = '/shared'
weight = 5

[[route]]
path = '/alone'
weight = 5

[[route]]
path = '/circle'
redirect = '/circle/x'
";
    let expected = [
        "8: route: a.example/api is the route at ringherd.toml:4 already; leave one out, or give each a weight and a \
         pool of its own",
        "17: route.pool: is the pool of the route at ringherd.toml:13 already, with which */shared is shared; choose \
         another pool, or give that one the sum of the weights",
        "23: route.weight = \"5\": is of no use: no other route is for */alone; leave it out, or give one with a \
         weight and another pool",
    ];
    assert_eq!(problems(text), expected);
    let found = problems("[[route]]\npath = '/circle'\nredirect = '/circle/x'\n");
    let circle = "3: route.redirect = \"/circle/x\": leads back to this route; give a path that has a route of its \
                  own, or a URL";
    assert_eq!(found, [circle]);
}

/// One that is refused would look like one for `/`.
#[test]
fn routes_are_compared_only_if_each_is_good() {
    let found = problems("[[route]]\npath = 'api'\n[[route]]\n");
    assert!(found.len() == 1 && found[0].starts_with("2: route.path"), "{found:#?}");
}
