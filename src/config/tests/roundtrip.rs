//! What `check` prints, given back as the file, makes the same configuration.

use proptest::prelude::*;
use proptest::sample::select;

use super::{TLS, file, flags, good, needs, sample, samples, with};
use crate::config::entries;
use crate::config::model::{Kind, Setting};

/// Any good value of a setting, where settings that must agree are kept to values that do.
fn values(setting: &'static Setting) -> BoxedStrategy<String> {
    let duration = |min: u64, max: u64| {
        (min..=max)
            .prop_map(|nanos| humantime::format_duration(std::time::Duration::from_nanos(nanos)).to_string())
    };
    match (setting.flag, setting.kind) {
        ("replicas", _) => (0..=20_u32).prop_map(|n| n.to_string()).boxed(),
        ("max-replicas", _) => (20..=65_535_u32).prop_map(|n| n.to_string()).boxed(),
        ("slots", _) => select(vec!["65536", "65539", "131072"]).prop_map(str::to_owned).boxed(),
        ("virtual-nodes", _) => (1..=3000_u32).prop_map(|n| n.to_string()).boxed(),
        ("listen", _) => (1..=1000_u16).prop_map(|port| format!("0.0.0.0:{port}")).boxed(),
        ("admin-listen", _) => (2000..=3000_u16).prop_map(|port| format!("[::1]:{port}")).boxed(),
        ("deploy-revision", _) => Just("base".to_owned()).boxed(),
        ("deploy-max-slowdown", _) => (1.0..=1000.0).prop_map(|x: f64| x.to_string()).boxed(),
        (_, Kind::Choice(words)) => select(words).prop_map(str::to_owned).boxed(),
        (_, Kind::Integer { min, max, .. }) => (min..=max).prop_map(|n| n.to_string()).boxed(),
        (_, Kind::Duration { min, max }) => duration(min.as_nanos() as u64, max.as_nanos() as u64).boxed(),
        (_, Kind::Factor { min, max }) => prop_oneof![
            Just("auto".to_owned()),
            Just("off".to_owned()),
            (min..=max).prop_map(|x| x.to_string())
        ]
        .boxed(),
        (_, Kind::Port) => (1..=65_535_u16).prop_map(|n| n.to_string()).boxed(),
        (_, Kind::Size { min, max }) => (min..=max).prop_map(|n| format!("{n}b")).boxed(),
        (_, Kind::Number { min, max }) => (min..=max).prop_map(|x| x.to_string()).boxed(),
        ("pool", _) => "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?".boxed(),
        ("docker-host", _) => prop_oneof!["unix:///[a-z ./-]{0,20}", "tcp://[a-z]{1,9}:[1-9]"].boxed(),
        ("replica-env", _) => "X[A-Z_]{0,5}=[^\u{0}]{0,9}".boxed(),
        ("discover", _) => "[a-z.]{1,9}=\\PC{1,9}".boxed(),
        ("replica-command", _) => {
            "'[^'\u{0}]{0,9}' ?[a-z]{0,5}\\{port\\}".prop_map(|tail| format!("run {tail}")).boxed()
        }
        ("health-path", _) => "/[a-z'&=%?/-]{0,12}".boxed(),
        _ => Just(sample(setting)).boxed(),
    }
}

/// A runtime and some of the settings it has a use for, each at most once.
fn some_settings() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    select(vec!["process", "docker", "swarm"]).prop_flat_map(|runtime| {
        let useless = move |key: &str| match runtime {
            _ if needs(key).contains(&("runtime", "fixed")) => true,
            "process" => needs(key) == [("runtime", "docker")],
            "swarm" => key == "discover" || key == "replica-dir" || key.starts_with("deploy-"),
            _ => key == "replica-dir",
        };
        let excluded = ["config", "runtime", "upstream", "upstream-http", "health"];
        let settings = entries().map(|entry| &entry.setting);
        let of_tls = |flag: &str| flag == "tls-client-ca" || TLS.iter().any(|(other, _)| *other == flag);
        let settings = settings.filter(|setting| !excluded.contains(&setting.flag) && !of_tls(setting.flag));
        let options: Vec<_> = settings
            .filter(|setting| !useless(setting.flag))
            .map(|setting| proptest::option::of(values(setting).prop_map(move |value| (setting.flag, value))))
            .collect();
        options.prop_map(move |options| {
            let fixed = [&TLS[..], &[("tls-client-ca", "/ca.pem")]].concat();
            let fixed = fixed.into_iter().map(|(flag, value)| (flag, value.to_owned()));
            let fixed = std::iter::once(("runtime", runtime.to_owned())).chain(fixed);
            fixed.chain(options.into_iter().flatten()).collect()
        })
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_what_is_read(settings in some_settings()) {
        let given: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let printed = good(flags(&given));
        let read = good(file(&printed.to_string()));
        prop_assert_eq!(&printed.config, &read.config);
    }
}

#[test]
fn each_sample_comes_back() {
    for (key, value) in samples() {
        let printed = with(key, &value);
        let read = good(file(&printed.to_string()));
        assert_eq!(printed.config, read.config, "{key}\n{printed}");
    }
}

#[test]
fn a_fixed_pool_comes_back() {
    let printed = good(flags(&[("upstream", "a:1,[::1]:2"), ("stop-timeout", "1s"), ("admin-host", "a,b")]));
    let text = printed.to_string();
    assert!(text.contains("upstreams = [\"a:1\", \"[::1]:2\"]  # --upstream\n"), "{text}");
    assert!(text.contains("# stop-timeout = 1s  # --stop-timeout\n"), "{text}");
    assert_eq!(good(file(&text)).config, printed.config);
}
