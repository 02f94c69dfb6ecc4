//! Replicas in containers: what is taken, as what, and with which runtime.

use super::{Given, env, file, flags, good, needs, samples};
use crate::config::model::{Kind, Refusal, Value};
use crate::config::types::{POOL, capability, image, network, tmpfs, user, variable, volume};
use crate::config::{Config, RuntimeConfig, entries};
use crate::runtime::StopSignal;
use crate::runtime::docker::DockerConfig;
use crate::runtime::engine::{Host, ReadOnly, Spec};
use crate::runtime::swarm::SwarmConfig;

const DOCKER: (&str, &str) = ("runtime", "docker");
const SWARM: (&str, &str) = ("runtime", "swarm");

fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    let refusal = result.expect_err("refused");
    format!("{}; {}", refusal.what, refusal.hint.unwrap_or_default())
}

fn spec(config: &Config) -> Spec {
    match config.runtime() {
        RuntimeConfig::Docker(docker) => docker.spec,
        RuntimeConfig::Swarm(swarm) => swarm.spec,
        runtime => panic!("{runtime:?} has no containers"),
    }
}

/// Flags of what only replicas in containers have.
fn of_containers() -> Vec<(&'static str, String)> {
    let strict = |flag: &str| needs(flag).iter().any(|(_, runtime)| *runtime == "docker");
    samples().into_iter().filter(|(flag, _)| strict(flag) && *flag != "on-exit").collect()
}

#[test]
fn docker_and_swarm_have_defaults() {
    let config = good(flags(&[DOCKER, ("listen", "0.0.0.0:80")])).config;
    let expected = DockerConfig { spec: Spec::default(), instance: "0.0.0.0:80".to_owned(), discover: None };
    assert_eq!(config.runtime(), RuntimeConfig::Docker(expected));
    assert_eq!((config.control.replicas, config.control.keep_on_stop), (3, false));
    assert_eq!(config.control.start_timeout.as_secs(), 10);

    let config = good(flags(&[SWARM])).config;
    assert_eq!(config.runtime(), RuntimeConfig::Swarm(SwarmConfig { spec: Spec::default() }));
    assert_eq!((config.control.replicas, config.control.keep_on_stop), (3, true));
    assert_eq!(config.control.start_timeout.as_secs(), 60);
    let config = good(flags(&[SWARM, ("on-exit", "remove"), ("start-timeout", "10s")])).config;
    assert!(!config.control.keep_on_stop);
    assert_eq!(config.control.start_timeout.as_secs(), 10);
}

#[test]
fn everything_reaches_the_specification() {
    let given = of_containers();
    let given: Vec<_> = given.iter().map(|(flag, value)| (*flag, value.as_str())).collect();
    let variable = ("replica-env", "LOG_LEVEL=debug");
    let more = [DOCKER, ("replica-command", "serve"), ("stop-timeout", "7s"), ("on-exit", "keep"), variable];
    let more = [&more[..], &[("stop-signal", "QUIT")]].concat();
    let config = good(flags(&[&given[..], &more].concat())).config;
    assert_eq!(
        spec(&config),
        Spec {
            host: Host::Tcp("proxy:2375".to_owned()),
            pool: "blue".to_owned(),
            image: Some("registry.example.org/web:2".to_owned()),
            network: Some("backend".to_owned()),
            port: 8080,
            memory: Some(512 << 20),
            nano_cpus: Some(1_500_000_000),
            env: vec!["LOG_LEVEL=debug".to_owned()],
            command: vec!["serve".to_owned()],
            read_only: ReadOnly::Off,
            tmpfs: vec!["/var/cache/nginx".to_owned()],
            volumes: vec!["/srv/www:/usr/share/nginx/html:ro".to_owned()],
            user: Some("www-data:www-data".to_owned()),
            capabilities: vec!["NET_BIND_SERVICE".to_owned()],
            stop_signal: StopSignal::Quit,
            stop_timeout: std::time::Duration::from_secs(7),
        }
    );
    let RuntimeConfig::Docker(docker) = config.runtime() else { panic!("not docker") };
    assert_eq!(docker.discover, Some(("com.docker.compose.service".to_owned(), "app".to_owned())));
    assert!(config.control.keep_on_stop);
}

#[test]
fn what_a_runtime_has_no_use_for_is_refused() {
    for (flag, value) in of_containers() {
        for runtime in ["process", "fixed"] {
            let problems = flags(&[("runtime", runtime), (flag, &value)]).problems();
            let start = format!("--{flag} {value:?}: has no effect: --runtime {runtime} has no use for it");
            assert!(problems.len() == 1 && problems[0].starts_with(&start), "{runtime}: {problems:?}");
        }
        // A runtime that is refused is the only thing to complain about.
        assert_eq!(flags(&[("runtime", "dokcer"), (flag, &value)]).problems().len(), 1, "{flag}");
    }
    for (given, hint) in [
        ([SWARM, ("discover", "a=b")], "use --runtime docker"),
        ([SWARM, ("upstream", "a:1")], "use --runtime fixed"),
        ([DOCKER, ("upstream", "a:1")], "use --runtime fixed"),
        ([("runtime", "fixed"), ("replica-command", "a {port}")], "use --runtime process, docker or swarm"),
        ([("runtime", "fixed"), ("on-exit", "remove")], "use --runtime process, docker or swarm"),
        ([("runtime", "process"), ("on-exit", "keep")], "use --runtime docker or swarm"),
    ] {
        let problems = flags(&given).problems();
        let told = |problem: &String| problem.contains("has no effect") && problem.ends_with(hint);
        assert!(problems.len() == 1 && told(&problems[0]), "{given:?}: {problems:?}");
    }
    // What process does anyway may be said.
    good(flags(&[("runtime", "process"), ("on-exit", "remove")]));
    assert_eq!(flags(&[("runtime", "dokcer"), ("replica-command", "x")]).problems().len(), 1);
}

#[test]
fn what_only_some_runtimes_have_is_said_of_each() {
    let needing: Vec<_> = entries().filter(|entry| entry.needs.is_some()).collect();
    assert!(needing.len() > 10);
    for entry in needing {
        assert!(entry.setting.full_help().ends_with('.'), "{}", entry.setting.path);
        assert!(entry.setting.full_help().contains(" Only with --runtime "), "{}", entry.setting.path);
    }
}

#[test]
fn the_variable_of_docker_is_the_last_resort() {
    let host = |given: Given<'_>| spec(&good(given).config).host.to_string();
    let variable = &[("DOCKER_HOST", "tcp://other:2375"), ("DOCKER_TLS_VERIFY", "")];
    let docker = Given { flags: &[DOCKER], env: variable, file: None };
    assert_eq!(host(docker), "tcp://other:2375");
    let text = good(docker).to_string();
    assert!(text.contains("docker-host = \"tcp://other:2375\"  # DOCKER_HOST\n"), "{text}");
    assert_eq!(host(Given { file: Some("[containers]\ndocker-host = 'unix:///a'"), ..docker }), "unix:///a");
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
    let list = "[replicas]\nruntime = 'docker'\n[containers]\nenv = ['A=1,2', 'B=two words', 'C=']";
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
    let engine = |text| Host::read(&Kind::text("unix:///PATH or tcp://HOST:PORT", ""), text);
    for text in ["unix:///run/user/1000/docker.sock", "tcp://proxy:2375"] {
        assert_eq!(engine(text).unwrap().to_string(), text);
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
        assert!(refused(engine(text)).starts_with(what), "{text}");
    }
}

#[test]
fn names() {
    let long = "a".repeat(32);
    for text in ["a", "default", "blue-2", "0", &long] {
        assert_eq!(String::read(&POOL, text).as_deref(), Ok(text));
    }
    for text in ["-a", "a-", "A", "a_b", "a b", "ü", &"a".repeat(33)] {
        assert!(String::read(&POOL, text).is_err(), "{text}");
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
    let label = |text| <(String, String)>::read(&Kind::text("KEY=VALUE", ""), text);
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

#[test]
fn a_process_has_its_environment_folder_and_command() {
    let given = [("replica-env", "A=1"), ("replica-env", "B=two words"), ("replica-dir", "/srv/app")];
    let more = [("replica-command", "npm start"), ("stop-signal", "INT"), ("stop-timeout", "7s")];
    let RuntimeConfig::Process(process) = good(flags(&[&given[..], &more].concat())).config.runtime() else {
        panic!("not process")
    };
    assert_eq!(process.env, ["A=1", "B=two words"]);
    assert_eq!(process.dir.as_deref(), Some(std::path::Path::new("/srv/app")));
    assert_eq!((process.command, process.stop_timeout.as_secs()), (vec!["npm".into(), "start".into()], 7));
    assert_eq!(process.stop_signal, StopSignal::Int);
    let problems = flags(&[DOCKER, ("replica-dir", "/srv/app")]).problems();
    assert!(problems.len() == 1 && problems[0].ends_with("use --runtime process"), "{problems:?}");
}

#[test]
fn what_an_image_needs_is_checked_before_the_engine_sees_it() {
    assert_eq!(capability("cap_net_raw").as_deref(), Ok("NET_RAW"));
    for text in ["/run", "/run:size=1m,mode=755"] {
        assert_eq!(tmpfs(text).as_deref(), Ok(text));
    }
    for text in ["data:/data", "/srv:/www:ro", "a.b-c_1:/x:rw"] {
        assert_eq!(volume(text).as_deref(), Ok(text));
    }
    for text in ["www-data", "33:33", "app:staff"] {
        assert_eq!(user(text).as_deref(), Ok(text));
    }
    let refusals = [
        tmpfs("run"),
        tmpfs("/run:"),
        tmpfs("/"),
        volume("data"),
        volume("/srv:www"),
        volume("/srv:/www:z"),
        user(":33"),
        user(""),
        capability("NET ADMIN"),
        capability(""),
    ];
    for refusal in refusals {
        assert!(refused(refusal).contains("; as in "));
    }
    assert!(refused(volume("./srv:/www")).ends_with("absolute path"));
    let problems = flags(&[SWARM, ("replica-tmpfs", "/run:size=1m")]).problems();
    assert!(problems.len() == 1 && problems[0].contains("a Swarm does not take"), "{problems:?}");
}
