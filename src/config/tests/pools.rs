//! Pools in the file: what each says, over what holds for all.

use std::time::Duration;

use serde_json::Value;

use super::{Given, file, good};
use crate::cluster::KeySource;
use crate::config::{Config, DEFAULT_POOL, RuntimeConfig, RuntimeKind};
use crate::routes::Action;

const TWO: &str = r#"
[health]
path = "/up"
interval = "2s"

[pool.web.replicas]
command = "gunicorn app:app"
count = 4

[pool.api.replicas]
upstreams = ["10.0.0.1:80", "10.0.0.2:80"]

[pool.api.health]
interval = "1s"

[pool.api.routing]
key = "header:x-user"

[pool.api.timeouts]
response = "7s"

[[route]]
pool = "web"

[[route]]
path = "/api"
pool = "api"
"#;

#[test]
fn without_pools_there_is_one_that_is_the_whole_configuration() {
    let loaded = good(file("[replicas]\ncount = 2"));
    let pools = loaded.config.pools();
    assert_eq!(pools.len(), 1);
    assert_eq!((pools[0].0, pools[0].1), (DEFAULT_POOL, &loaded.config));
    assert_eq!(loaded.config.replicas(), 2);
}

#[test]
fn what_a_pool_does_not_say_holds_as_it_is_for_all() {
    let loaded = good(file(TWO));
    let pools = loaded.config.pools();
    let [(web_name, web), (api_name, api)] = pools[..] else { panic!("two pools") };
    assert_eq!((web_name, api_name), ("web", "api"), "in the order of the file");
    assert_eq!((web.control.replicas, api.control.replicas, loaded.config.replicas()), (4, 2, 6));
    assert_eq!((web.runtime, api.runtime), (RuntimeKind::Process, RuntimeKind::Fixed));
    assert!(matches!(web.runtime(), RuntimeConfig::Process(process) if process.command[0] == "gunicorn"));
    let seconds = [web, api].map(|pool| pool.control.health.interval.as_secs());
    assert_eq!(seconds, [2, 1]);
    assert!([web, api].iter().all(|pool| pool.control.health.path == "/up"));
    assert_eq!(api.control.key, KeySource::Header("x-user".parse().unwrap()));
    assert_eq!(api.pool.response_timeout, Duration::from_secs(7));
    assert_eq!(web.pool.response_timeout, loaded.config.pool.response_timeout);
    assert!(!loaded.config.has_only_demo_replicas());
}

#[test]
fn a_pool_is_more_particular_than_flags_and_variables() {
    let given = Given {
        flags: &[("health-interval", "3s"), ("replicas", "1")],
        env: &[("RINGHERD_HEALTH_TIMEOUT", "4s")],
        file: Some(
            "[pool.a.health]\ntimeout = \"5s\"\n[pool.b.replicas]\ncount = 2\n[[route]]\npool = \"b\"",
        ),
    };
    let loaded = good(given);
    let pools = loaded.config.pools();
    let seconds = |index: usize| {
        let health = &pools[index].1.control.health;
        (health.interval.as_secs(), health.timeout.as_secs(), pools[index].1.control.replicas)
    };
    assert_eq!((seconds(0), seconds(1)), ((3, 5, 1), (3, 4, 2)));
}

#[test]
fn containers_of_pools_have_names_that_differ() {
    let label = |text: &str, index: usize| good(file(text)).config.pools()[index].1.containers.pool.clone();
    let two = "[[route]]\npool = \"a\"\n[pool.a.replicas]\n[pool.b.containers]\npool = \"blue\"\n[replicas]\nruntime = \"docker\"";
    assert_eq!((label(two, 0), label(two, 1)), ("a".to_owned(), "blue".to_owned()));
    let prefixed = format!("{two}\n[containers]\npool = \"shop\"");
    assert_eq!((label(&prefixed, 0), label(&prefixed, 1)), ("shop-a".to_owned(), "blue".to_owned()));
    let same = "[[route]]\npool = \"a\"\n[replicas]\nruntime = \"docker\"\n[pool.a.containers]\npool = \"b\"\n[pool.b.replicas]";
    let problems = file(same).problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("ringherd.toml:7: pool.b: has its containers called like those of pool a"));
}

#[test]
fn problems_name_the_pool_and_what_is_wrong_for_all_is_said_once() {
    let text = r#"
[health]
interval = "soon"
[pool.web]
port = 1
[pool.web.health]
timeout = "never"
interval = "1s"
[pool.web.admin]
listen = "127.0.0.1:1"
[pool.web.timeouts]
keep-alive = "1s"
[pool.web.helth]
[pool."We b".ring]
[pool.api]
count = 2
"#;
    let problems = file(text).problems().join("\n");
    for expected in [
        "ringherd.toml:3: health.interval = \"soon\"",
        "ringherd.toml:5: pool.web.port: unknown key",
        "ringherd.toml:7: pool.web.health.timeout = \"never\"",
        "ringherd.toml:9: pool.web.admin: is for all pools; write [admin]",
        "ringherd.toml:12: pool.web.timeouts.keep-alive: is for all pools; write it in [timeouts]",
        "ringherd.toml:13: pool.web.helth: unknown section; did you mean [pool.web.health]?",
        "ringherd.toml:14: pool.We b: must be 1 to 32 of a-z",
        "ringherd.toml:16: pool.api.count: unknown key; write count in [pool.api.replicas]",
    ] {
        assert!(problems.contains(expected), "{expected} is not in\n{problems}");
    }
    assert_eq!(problems.matches("\"soon\"").count(), 1, "{problems}");
    assert_eq!(file("pool = 1").problems().len(), 1);
}

#[test]
fn what_is_printed_makes_the_same_pools() {
    for text in [
        TWO,
        "[[route]]\npool = \"a\"\n[replicas]\nruntime = \"docker\"\n[pool.a]\n[pool.b.containers]\nimage = \"x:1\"",
    ] {
        let loaded = good(file(text));
        let printed = loaded.to_string();
        let again = good(file(&printed));
        assert_eq!(again.config, loaded.config, "{printed}");
    }
}

#[test]
fn the_json_has_what_holds_for_each_pool_and_where_it_comes_from() {
    let json = good(file(TWO)).to_json();
    let value = |path: &str| json.pointer(path).unwrap_or_else(|| panic!("{path} is not in {json:#}"));
    assert_eq!(*value("/pool/api/health/interval/value"), Value::from("1s"));
    assert_eq!(*value("/pool/api/health/interval/source"), Value::from("ringherd.toml:14"));
    assert_eq!(*value("/pool/api/health/path/source"), Value::from("ringherd.toml:3"));
    assert_eq!(*value("/pool/web/replicas/count/value"), Value::from(4));
    assert!(json.pointer("/pool/web/admin").is_none() && json.pointer("/pool/web/timeouts/header").is_none());
    assert!(good(file("[health]")).to_json().get("pool").is_none());
}

#[test]
fn a_change_of_pools_is_named() {
    let before = good(file(TWO)).config;
    let text =
        TWO.replace("gunicorn", "uvicorn").replace("pool.api", "pool.rest").replace("\"api\"", "\"rest\"");
    let after = good(file(&text)).config;
    assert_eq!(before.changes_of_replicas(&after), ["replica-command of pool web"]);
    let mut restart = before.changes_needing_restart(&after);
    restart.sort();
    assert_eq!(restart, ["pool api", "pool rest"]);
    let of = |text: &str| good(file(&format!("{text}[[route]]\npool = \"a\"\n"))).config;
    let (one, other) = (of("[pool.a]\n[pool.b]\n"), of("[pool.b]\n[pool.a]\n"));
    assert!(one.changes_needing_restart(&other).is_empty(), "routes go by names");
    let sides = |config: &Config| -> Vec<usize> {
        let routes = config.routes_to(&["b", "a"]).expect("both are there").expect("there is a route");
        let Action::Forward(forward) = routes.find("", "/").expect("it is for all").action() else {
            panic!()
        };
        forward.split.pools().map(|(pool, _)| pool).collect()
    };
    assert_eq!((sides(&one), sides(&other)), (vec![1], vec![1]));
    one.routes_to(&["b"]).expect_err("it is not there");
}

#[test]
fn several_pools_need_routes_and_that_called_default_is_the_first() {
    let problems = file("[pool.a]\n[pool.b]\n").problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("ringherd.toml:2: pool.b: gets no requests"), "{}", problems[0]);
    assert_eq!(file("[pool.a]\n").problems(), [""; 0]);
    let loaded = good(file("[pool.a]\n[pool.default]\n[[route]]\n[[route]]\npath = \"/a\"\npool = \"a\"\n"));
    assert_eq!(loaded.config.pools().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["default", "a"]);
    let unknown = file("[pool.a]\n[pool.b]\n[[route]]\npool = \"c\"\n").problems();
    assert!(unknown.len() == 1 && unknown[0].contains("is not the name of a pool"), "{unknown:?}");
}
