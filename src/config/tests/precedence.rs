//! Flags over environment over file over default, and where each value is said to come from.

use super::{Given, env, file, flags, good, needs, samples, with};
use crate::config::{RuntimeConfig, settings};

const IN_FILE: &str = "\
# counts
[replicas]
count = 11
max = 12
[health]
unhealthy-after = 13
[server]
workers = 14
";

#[test]
fn flags_win_over_environment_over_file_over_default() {
    let loaded = good(Given {
        flags: &[("replicas", "1"), ("max-replicas", "2")],
        env: &[("RINGHERD_REPLICAS", "21"), ("RINGHERD_UNHEALTHY_AFTER", "23"), ("HOME", "/")],
        file: Some(IN_FILE),
    });
    assert_eq!(loaded.config.control.replicas, 1);
    assert_eq!(loaded.config.control.max_replicas, 2);
    assert_eq!(loaded.config.control.health.unhealthy_after, 23);
    assert_eq!(loaded.config.workers, 14);
    let text = loaded.to_string();
    for line in [
        "count = 1  # --replicas",
        "max = 2  # --max-replicas",
        "unhealthy-after = 23  # RINGHERD_UNHEALTHY_AFTER",
        "workers = 14  # ringherd.toml:8",
        "# config = ringherd.toml  # --config",
        "slots = 65539  # default",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn each_setting_can_be_given_in_each_way() {
    for (flag, value) in samples() {
        let setting = &settings::find(flag).expect("in the model").setting;
        let by_flag = with(flag, &value).config;
        let variable = [(setting.env(), value.clone())];
        let variable: Vec<_> = variable.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let by_variable = good(Given { flags: needs(flag), ..env(&variable) }).config;
        let line = format!("[{}]\n{} = {value:?}", setting.section(), setting.key());
        let by_line = good(Given { flags: needs(flag), ..file(&line) }).config;
        assert_eq!(by_flag, by_variable, "{flag}");
        assert_eq!(by_flag, by_line, "{flag}");
    }
}

#[test]
fn the_variable_of_the_file_names_it_unless_the_flag_does() {
    let named = Given { env: &[("RINGHERD_CONFIG", "nowhere.toml")], ..file("[server]\nworkers = 3") };
    assert_eq!(good(named).config.workers, 3);
    let problems = env(&[("RINGHERD_CONFIG", "nowhere.toml")]).problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("RINGHERD_CONFIG=\"nowhere.toml\": cannot be read: "), "{problems:?}");
}

#[test]
fn a_list_is_replaced_as_a_whole() {
    let given = Given {
        env: &[("RINGHERD_UPSTREAM", "a:1, b:2")],
        ..file("[replicas]\nupstreams = ['c:3', 'd:4', 'e:5']")
    };
    let config = good(given).config;
    assert_eq!(config.runtime(), RuntimeConfig::Fixed(vec!["a:1".parse().unwrap(), "b:2".parse().unwrap()]));
    assert_eq!(config.control.replicas, 2);
    let repeated = good(flags(&[("upstream", "a:1"), ("upstream", "b:2")])).config;
    assert_eq!(config, repeated);
}

#[test]
fn the_runtime_follows_from_upstreams() {
    assert!(matches!(good(flags(&[])).config.runtime(), RuntimeConfig::Process(_)));
    assert!(matches!(good(flags(&[("upstream", "a:1")])).config.runtime(), RuntimeConfig::Fixed(_)));
    // `/add` brings replicas to an empty fixed pool.
    let empty = good(flags(&[("runtime", "fixed")])).config;
    assert_eq!(empty.runtime(), RuntimeConfig::Fixed(Vec::new()));
    assert_eq!(empty.control.replicas, 0);
}
