//! Replicas in containers: what is taken, as what, and with which runtime.

use super::{Given, SAMPLES, env, file, flags, good, needs};
use crate::config::container::{KEYS, engine, image, label, network, pool, variable};
use crate::config::setting::Kind;
use crate::config::value::Refusal;
use crate::config::{Config, RuntimeConfig};
use crate::runtime::docker::DockerConfig;
use crate::runtime::engine::{Host, Spec};
use crate::runtime::swarm::SwarmConfig;

const DOCKER: (&str, &str) = ("runtime", "docker");
const SWARM: (&str, &str) = ("runtime", "swarm");

fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    let refusal = result.expect_err("refused");
    format!("{}; {}", refusal.what, refusal.hint.unwrap_or_default())
}

fn spec(config: &Config) -> &Spec {
    config.runtime.container().expect("a runtime of containers")
}

#[test]
fn docker_and_swarm_have_defaults() {
    let config = good(flags(&[DOCKER, ("listen", "0.0.0.0:80")])).config;
    let expected = DockerConfig { spec: Spec::default(), instance: "0.0.0.0:80".to_owned(), discover: None };
    assert_eq!(config.runtime, RuntimeConfig::Docker(expected));
    assert_eq!((config.control.replicas, config.control.keep_on_stop), (3, false));
    assert_eq!(config.control.start_timeout.as_secs(), 10);

    let config = good(flags(&[SWARM])).config;
    assert_eq!(config.runtime, RuntimeConfig::Swarm(SwarmConfig { spec: Spec::default() }));
    assert_eq!((config.control.replicas, config.control.keep_on_stop), (3, true));
    assert_eq!(config.control.start_timeout.as_secs(), 60);
    let config = good(flags(&[SWARM, ("on-exit", "remove"), ("start-timeout", "10s")])).config;
    assert!(!config.control.keep_on_stop);
    assert_eq!(config.control.start_timeout.as_secs(), 10);
}

#[test]
fn everything_reaches_the_specification() {
    let given: Vec<_> = SAMPLES.iter().filter(|(key, _)| !needs(key).is_empty()).copied().collect();
    let more = [DOCKER, ("replica-command", "serve"), ("stop-timeout", "7s")];
    let config = good(flags(&[&given[..], &more].concat())).config;
    assert_eq!(
        *spec(&config),
        Spec {
            host: Host::Tcp("proxy:2375".to_owned()),
            pool: "blue-2".to_owned(),
            image: Some("registry.example.org:5000/web/app:1.2".to_owned()),
            network: Some("my_net.1".to_owned()),
            port: 8080,
            memory: Some(64 << 20),
            nano_cpus: Some(500_000_000),
            env: vec!["LOG=a,b=c".to_owned()],
            command: vec!["serve".to_owned()],
            stop_timeout: std::time::Duration::from_secs(7),
        }
    );
    let RuntimeConfig::Docker(docker) = &config.runtime else { panic!("not docker") };
    assert_eq!(docker.discover, Some(("com.docker.compose.service".to_owned(), "app".to_owned())));
    assert!(config.control.keep_on_stop);
}

#[test]
fn what_a_runtime_has_no_use_for_is_refused() {
    let none = "has no effect: --runtime";
    for (key, value) in SAMPLES.iter().filter(|(key, _)| !needs(key).is_empty()) {
        for runtime in ["process", "fixed"] {
            let problems = flags(&[("runtime", runtime), (key, value)]).problems();
            let start = format!("--{key} {value:?}: has no effect: ");
            assert!(problems.len() == 1 && problems[0].starts_with(&start), "{runtime}: {problems:?}");
        }
    }
    for (given, what) in [
        ([SWARM, ("discover", "a=b")], format!("{none} swarm finds no replicas of others")),
        ([SWARM, ("upstream", "a:1")], format!("{none} swarm starts its own replicas")),
        ([DOCKER, ("upstream", "a:1")], format!("{none} docker starts its own replicas")),
    ] {
        let problems = flags(&given).problems();
        assert!(problems.len() == 1 && problems[0].contains(&what), "{given:?}: {problems:?}");
    }
    // What process does anyway may be said.
    good(flags(&[("runtime", "process"), ("on-exit", "remove")]));
    // A runtime that is refused is the only thing to complain about.
    for key in KEYS {
        let (_, value) = SAMPLES.iter().find(|(sample, _)| *sample == key).expect("has a sample");
        assert_eq!(flags(&[("runtime", "dokcer"), (key, value)]).problems().len(), 1, "{key}");
    }
    assert_eq!(flags(&[("runtime", "dokcer"), ("replica-command", "x")]).problems().len(), 1);
}

#[test]
fn the_variable_of_docker_is_the_last_resort() {
    let host = |given: Given<'_>| spec(&good(given).config).host.to_string();
    let variable = &[("DOCKER_HOST", "tcp://other:2375"), ("DOCKER_TLS_VERIFY", "")];
    let docker = Given { flags: &[DOCKER], env: variable, file: None };
    assert_eq!(host(docker), "tcp://other:2375");
    let text = good(docker).to_string();
    assert!(text.contains("docker-host = \"tcp://other:2375\"  # DOCKER_HOST\n"), "{text}");
    assert_eq!(host(Given { file: Some("docker-host = 'unix:///a'"), ..docker }), "unix:///a");
    let own = &[variable[0], ("RINGHERD_DOCKER_HOST", "unix:///b")];
    assert_eq!(host(Given { env: own, ..docker }), "unix:///b");
    assert_eq!(host(Given { env: &[("DOCKER_HOST", "")], ..docker }), "unix:///var/run/docker.sock");
}

#[test]
fn the_variable_of_docker_does_no_harm_to_others() {
    for host in ["ssh://me@host", "nonsense", "tcp://a:2376"] {
        let variables = &[("DOCKER_HOST", host), ("DOCKER_TLS_VERIFY", "1")];
        for runtime in ["process", "fixed"] {
            good(Given { flags: &[("runtime", runtime)], ..env(variables) });
        }
        for runtime in [DOCKER, SWARM] {
            let problems = Given { flags: &[runtime], ..env(variables) }.problems();
            let start = format!("DOCKER_HOST={host:?}: ");
            assert!(problems.len() == 1 && problems[0].starts_with(&start), "{problems:?}");
        }
    }
    // What is said to ringherd itself means what it says.
    good(Given {
        flags: &[DOCKER, ("docker-host", "tcp://a:1")],
        ..env(&[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_HOST", "ssh://a")])
    });
}

#[test]
fn variables_are_words_in_the_variable_and_items_elsewhere() {
    let expected = ["A=1,2", "B=two words", "C="];
    let words = "A=1,2 'B=two words'\n C=";
    let variable = good(Given { flags: &[DOCKER], ..env(&[("RINGHERD_REPLICA_ENV", words)]) }).config;
    assert_eq!(spec(&variable).env, expected);
    let list = "runtime = 'docker'\nreplica-env = ['A=1,2', 'B=two words', 'C=']";
    assert_eq!(good(file(list)).config, variable);
    let repeated = expected.map(|value| ("replica-env", value));
    assert_eq!(good(flags(&[&[DOCKER][..], &repeated].concat())).config, variable);

    for (words, what) in [("", "is empty"), (" ", "is empty"), ("'A=1", "has a ' without its partner")] {
        let problems = Given { flags: &[DOCKER], ..env(&[("RINGHERD_REPLICA_ENV", words)]) }.problems();
        assert!(problems.len() == 1 && problems[0].contains(what), "{problems:?}");
    }
    let twice = flags(&[DOCKER, ("replica-env", "A=1"), ("replica-env", "A=2")]).problems();
    assert!(twice.len() == 1 && twice[0].contains("is given already"), "{twice:?}");
}

#[test]
fn variables() {
    for text in ["A=", "A=b=c", "a.b-c=ü, x\ny"] {
        assert_eq!(variable(text).as_deref(), Ok(text));
    }
    for text in ["A", "=b", "A B=c", "Ü=1", "A=\0"] {
        assert!(refused(variable(text)).starts_with("must be KEY=VALUE; "), "{text:?}");
    }
    assert!(refused(variable("PORT=80")).starts_with("sets PORT, which each replica is given"));
}

#[test]
fn engines() {
    for text in ["unix:///run/user/1000/docker.sock", "tcp://proxy:2375"] {
        assert_eq!(engine(&Kind::Engine, text).unwrap().to_string(), text);
    }
    for (text, what) in [
        ("ssh://me@host", "asks for ssh, which is not spoken here; forward the socket"),
        ("https://host:2376", "asks for TLS, which is not spoken here; use the engine's socket"),
        (
            "/var/run/docker.sock",
            "must be unix:///PATH or tcp://HOST:PORT; write unix:///var/run/docker.sock",
        ),
        ("proxy:2375", "must be unix:///PATH or tcp://HOST:PORT; as in"),
    ] {
        assert!(refused(engine(&Kind::Engine, text)).starts_with(what), "{text}");
    }
}

#[test]
fn names() {
    let long = "a".repeat(32);
    for text in ["a", "default", "blue-2", "0", &long] {
        assert_eq!(pool(&Kind::Pool, text).as_deref(), Ok(text));
    }
    for text in ["-a", "a-", "A", "a_b", "a b", "ü", &"a".repeat(33)] {
        assert!(pool(&Kind::Pool, text).is_err(), "{text}");
    }
    for text in ["my_net.1", "ringherd-default", "bridge"] {
        assert_eq!(network(text).as_deref(), Ok(text));
    }
    for (text, what) in
        [("host", "is built in"), ("none", "is built in"), ("-a", "must be"), ("a b", "must be")]
    {
        assert!(refused(network(text)).starts_with(what), "{text}");
    }
}

#[test]
fn images() {
    let digest = format!("@sha256:{}", "0a".repeat(32));
    let pinned = format!("r.Example.org:5000/a/b-c_d.e{digest}");
    let both = format!("a:1{digest}");
    for text in [
        "ringherd",
        "ringherd:0.1.0",
        "web/app:V1_2-rc.3",
        "a__b--c",
        "localhost/a",
        "localhost:5000/a",
        "10.0.0.1:5000/a:b",
        "sha256:0a1b",
        "0a1b2c3d4e5f",
        &pinned,
        &both,
    ] {
        assert_eq!(image(text).as_deref(), Ok(text));
    }
    let long = "a".repeat(513);
    for text in [
        "",
        "-x",
        "a-",
        "a b",
        "a\nb",
        "ü",
        "https://a?b",
        &long,
        "a:",
        "a:b:c",
        "a:b/c",
        "a//b",
        "/a",
        "a/",
        "a.b:x/c",
        "-a.b/c",
        "a@",
        "a@sha256:0a",
        "a@b@c",
        "a:.b",
        "a/:b",
        "a..b",
        "a_-b",
    ] {
        let problem = refused(image(text));
        assert!(problem.starts_with("must be the name of an image; as in"), "{text:?}: {problem}");
    }
    for text in ["Foo", "Foo:bad:tag//x", "a/B:c"] {
        let problem = refused(image(text));
        assert_eq!(problem, "must be the name of an image; names of images are in lower case", "{text}");
    }
}

#[test]
fn a_swarm_has_no_use_for_a_bridge() {
    good(flags(&[DOCKER, ("network", "bridge")]));
    let problems = flags(&[SWARM, ("network", "bridge")]).problems();
    assert!(problems.len() == 1 && problems[0].contains("is not an overlay network"), "{problems:?}");
}

#[test]
fn labels() {
    assert_eq!(label("a.b=c=d"), Ok(("a.b".to_owned(), "c=d".to_owned())));
    for (text, what) in [
        ("a", "must be KEY=VALUE"),
        ("=b", "must be KEY=VALUE"),
        ("a=", "must be KEY=VALUE"),
        ("a=b\n", "must be KEY=VALUE"),
        ("io.ringherd.pool=default", "is a label of ringherd's own replicas"),
    ] {
        assert!(refused(label(text)).starts_with(what), "{text:?}");
    }
}
