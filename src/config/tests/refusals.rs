//! What is refused: every problem at once, each with its place, and no secret in any of them.

use super::{Given, TOKEN, env, file, flags, good};
use crate::config::entries;

#[test]
fn all_problems_are_reported_together() {
    let given = Given {
        flags: &[("listen", ":80"), ("replicas", "-1"), ("key", "ip")],
        env: &[("RINGHERD_HEALTH_INTERVAL", "500"), ("RINGHERD_REPLCAS", "1"), ("RINGHERD_ADMIN_TOKEN", "")],
        file: Some(
            "health-path = '/'\n[routing]\nbounded-load = 0.5\n[server]\nworkres = 1\n[health]\npath = 'x'\n[limitz]\n",
        ),
    };
    let problems = given.problems();
    let starts = [
        "RINGHERD_REPLCAS: unknown variable; did you mean RINGHERD_REPLICAS?",
        "ringherd.toml:1: health-path: unknown key; write path in [health]",
        "ringherd.toml:5: server.workres: unknown key; did you mean workers?",
        "ringherd.toml:8: limitz: unknown section; did you mean [limits]?",
        "--listen \":80\": must be IP:PORT",
        "--replicas \"-1\": must be a whole number of replicas, 0 to 65535",
        "--key \"ip\": 'ip' is not a key: use request-id",
        "ringherd.toml:3: routing.bounded-load = \"0.5\": must be auto, off or a number, 1 to 1000",
        "ringherd.toml:7: health.path = \"x\": must be a path",
        "RINGHERD_HEALTH_INTERVAL=\"500\": has no unit",
        "RINGHERD_ADMIN_TOKEN: the token is empty",
    ];
    for start in starts {
        assert!(problems.iter().any(|problem| problem.starts_with(start)), "{start}\n{problems:#?}");
    }
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    let Err(all) = given.load() else { panic!("loaded") };
    assert!(all.to_string().starts_with("the configuration has 11 problems:\n  "), "{all}");
}

#[test]
fn an_empty_value_is_a_bad_value() {
    for flag in entries().map(|entry| entry.setting.flag) {
        let problems = flags(&[(flag, "")]).problems();
        let start = format!("--{flag} \"\": is empty");
        assert!(problems.len() == 1 && problems[0].starts_with(&start), "{problems:?}");
    }
}

#[test]
fn settings_that_do_not_agree() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("admin-listen", "127.0.0.1:5000")], "--admin-listen \"127.0.0.1:5000\": clashes with listen"),
        (&[("listen", "0.0.0.0:5001")], "admin-listen = \"127.0.0.1:5001\" (default): clashes with listen"),
        (
            &[("replicas", "65")],
            "--replicas \"65\": makes 65 replicas, more than max-replicas = 64 (default)",
        ),
        (
            &[("max-replicas", "2")],
            "replicas = \"3\" (default): makes 3 replicas, more than max-replicas = 2 (--max-replicas)",
        ),
        (&[("runtime", "process"), ("upstream", "a:1")], "--upstream \"a:1\": has no effect"),
        (&[("upstream-http", "h2")], "--upstream-http \"h2\": is not spoken by the built-in replica"),
        (&[("health", "grpc")], "--health \"grpc\": needs replicas that speak HTTP/2"),
        (&[("runtime", "process"), ("upstream-tls", "on")], "--upstream-tls \"on\": has no effect"),
        (
            &[("upstream", "a:1"), ("upstream-ca", "/c")],
            "--upstream-ca \"/c\": is of no use without upstream-tls",
        ),
        (
            &[("upstream", "a:1"), ("upstream-tls", "on"), ("upstream-key", "/k")],
            "--upstream-key \"/k\": is of no use without upstream-certificate",
        ),
        (
            &[("runtime", "fixed"), ("replica-command", "x {port}")],
            "--replica-command \"x {port}\": has no effect",
        ),
        (&[("upstream", "a:1,A:1")], "--upstream \"A:1\": is given twice"),
        (
            &[("upstream", "a:1"), ("replicas", "3")],
            "--replicas \"3\": differs from the number of upstreams, 1",
        ),
        (&[("upstream", "a:1,b:1"), ("max-replicas", "1")], "--upstream \"a:1\": makes 2 replicas"),
        (&[("slots", "1000")], "--slots \"1000\": quadratic probing"),
        (&[("slots", "512")], "--slots \"512\": 3 replicas of 256 virtual nodes do not fit: at most 2 do"),
        (&[("virtual-nodes", "30000")], "--virtual-nodes \"30000\": 3 replicas of 30000 virtual nodes"),
        (&[("replicas", "300"), ("max-replicas", "300")], "--replicas \"300\": 300 replicas of 256"),
        (&[("tls-listen", "127.0.0.1:1")], "--tls-listen \"127.0.0.1:1\": needs a certificate"),
        (
            &[("tls-listen", "127.0.0.1:5000"), ("tls-self-signed", "on")],
            "--tls-listen \"127.0.0.1:5000\": clashes with listen",
        ),
        (&[("tls-self-signed", "on")], "--tls-self-signed \"on\": is of no use without tls-listen"),
        (
            &[("tls-listen", "127.0.0.1:1"), ("tls-key", "k.pem")],
            "--tls-key \"k.pem\": is of no use without tls-certificate",
        ),
        (
            &[("upstream", "a:1"), ("upstream-http", "h2"), ("upstream-proxy-protocol", "v1")],
            "--upstream-proxy-protocol \"v1\": tells replicas of one client",
        ),
        (&[("tls-ocsp", "o.der")], "--tls-ocsp \"o.der\": is of no use without tls-certificate"),
        (&[("tls-client-auth", "required")], "--tls-client-auth \"required\": needs to know who"),
        (&[("https-redirect", "on")], "--https-redirect \"on\": has nowhere to lead without tls-listen"),
    ];
    for (given, start) in cases {
        let problems = flags(given).problems();
        assert!(problems.len() == 1 && problems[0].starts_with(start), "{given:?}: {problems:?}");
    }
}

#[test]
fn one_bad_setting_draws_no_complaint_about_another() {
    for (key, value) in [
        ("max-replicas", "0"),
        ("replicas", "x"),
        ("listen", "x"),
        ("slots", "0"),
        ("runtime", "x"),
        ("upstream", "x"),
    ] {
        assert_eq!(flags(&[(key, value), ("virtual-nodes", "1")]).problems().len(), 1, "{key}");
    }
}

#[test]
fn the_token_comes_from_one_place_and_is_never_shown() {
    let from_file = good(flags(&[("admin-token-file", "token")]));
    assert_eq!(from_file.config.admin.token.as_deref(), Some(TOKEN));
    assert!(from_file.to_string().contains("token-file = \"token\"  # --admin-token-file\n"));
    let from_env = good(env(&[("RINGHERD_ADMIN_TOKEN", TOKEN)]));
    assert_eq!(from_env.config.admin.token.as_deref(), Some(TOKEN));
    assert!(from_env.to_string().contains("# token-file = (set)  # RINGHERD_ADMIN_TOKEN\n"));
    assert!(!format!("{from_file}{from_env}").contains(TOKEN));

    let both = Given {
        flags: &[("admin-token-file", "token")],
        env: &[("RINGHERD_ADMIN_TOKEN", TOKEN)],
        file: None,
    };
    assert!(both.problems()[0].contains("is set besides RINGHERD_ADMIN_TOKEN"));
}

#[test]
fn bad_tokens_are_refused_without_being_repeated() {
    for (path, what) in [
        ("nowhere", "cannot be read: "),
        ("empty", "the token is empty"),
        ("short", "the token has 7 characters"),
        ("spaced", "visible ASCII"),
    ] {
        let problems = flags(&[("admin-token-file", path)]).problems();
        assert!(problems.len() == 1 && problems[0].contains(what), "{problems:?}");
        assert!(!problems[0].contains("secret"), "{problems:?}");
    }
    for token in ["secret7", "secret token", "secret-token\n"] {
        let problems = env(&[("RINGHERD_ADMIN_TOKEN", token)]).problems();
        assert_eq!(problems.len(), 1, "{token:?}");
        assert!(problems[0].starts_with("RINGHERD_ADMIN_TOKEN: ") && !problems[0].contains("secret"));
    }
}

#[cfg(unix)]
#[test]
fn what_is_not_unicode_is_refused() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use crate::config::{Flags, Inputs, load};

    let mut given = Flags::new();
    given.push("key", OsString::from_vec(b"pa\xffth".to_vec()));
    let env = vec![(OsString::from_vec(b"RINGHERD_\xff".to_vec()), OsString::new())];
    let read_file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let Err(problems) = load(Inputs { flags: &given, env, read_file: &read_file }) else { panic!("loaded") };
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2);
    assert!(problems[0].contains("unknown variable"), "{problems:?}");
    assert!(problems[1].contains("is not UTF-8"), "{problems:?}");
}

#[test]
fn a_file_that_is_not_toml_is_refused_once() {
    let problems = file("[replicas]\ncount = = 3\nworkres = 1\n").problems();
    assert!(problems.iter().all(|problem| problem.contains("not valid TOML")), "{problems:?}");
    assert!(!problems.is_empty());
}
