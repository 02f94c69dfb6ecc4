//! Reading the file: which types are taken, and what is said of the rest.

use proptest::prelude::*;

use crate::config::file::read;
use crate::config::model::Source;
use crate::config::settings::MODEL;

fn values(text: &str) -> Vec<(&'static str, Vec<String>, usize)> {
    let mut problems = Vec::new();
    let found = read(&MODEL, "f", text, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let line = |source| if let Source::File { line, .. } = source { line } else { 0 };
    let found = found.texts.into_iter();
    found.map(|(setting, texts)| (setting.path, texts.values, line(texts.source))).collect()
}

fn problems(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    read(&MODEL, "f", text, &mut problems);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn native_types_become_the_texts_of_flags() {
    for (text, value) in [
        ("replicas.count = 5", "5"),
        ("replicas.count = 1_000", "1000"),
        ("replicas.count = 0xff", "255"),
        ("replicas.count = -1", "-1"),
        ("replicas.count = '5'", "5"),
        ("[routing]\nbounded-load = 1.5", "1.5"),
        ("[routing]\nbounded-load = 2", "2"),
        ("[routing]\nbounded-load = 1e1", "10"),
        ("[admin]\npublic = true", "on"),
        ("[admin]\npublic = false", "off"),
        ("[server]\nlisten = \"[::1]:80\"", "[::1]:80"),
        ("[replicas]\nupstreams = 'a:1'", "a:1"),
        ("[containers]\nport = 8080", "8080"),
        ("[containers]\ncpus = 0.5", "0.5"),
        ("[containers]\nenv = 'A=b,c d'", "A=b,c d"),
    ] {
        assert_eq!(values(text)[0].1, [value], "{text}");
    }
}

#[test]
fn lists_and_lines_are_kept() {
    let found = values("# comment\n[replicas]\nupstreams = [\n 'a:1',\n 'b:2',\n]\ncount = 1\n");
    assert_eq!(found[0], ("replicas.count", vec!["1".to_owned()], 7));
    assert_eq!(found[1], ("replicas.upstreams", vec!["a:1".to_owned(), "b:2".to_owned()], 3));
}

#[test]
fn all_that_cannot_be_read_is_said_in_the_order_of_the_file() {
    let found =
        problems("workres = 1\nlog = 1\n[server]\nlisten = 5000\n[helth]\n[ring]\nslot = 1\nkey = 1\n");
    let starts = [
        "f:1: workres: unknown key; write workers in [server]",
        "f:2: log: must be a section; write [log] above its keys",
        "f:4: server.listen: must be IP:PORT, as a string; put it in quotes",
        "f:5: helth: unknown section; did you mean [health]?",
        "f:7: ring.slot: unknown key; did you mean slots?",
        "f:8: ring.key: unknown key; write key in [routing]",
    ];
    assert_eq!(found, starts);
}

/// Keys that were flags at the top of the file are in sections now.
#[test]
fn a_flat_key_is_told_its_section() {
    for (text, hint) in [
        ("listen = '127.0.0.1:1'", "write listen in [server]"),
        ("health-interval = '1s'", "write interval in [health]"),
        ("health-intervall = '1s'", "write interval in [health]"),
        ("max-replicas = 5", "write max in [replicas]"),
        ("access-log = 'stdout'", "write to in [access-log]"),
        ("replicas = 5", "write count in [replicas]"),
        ("replica-env = 'A=b'", "write env in [containers]"),
        ("[health]\nstop-timeout = '1s'", "write stop-timeout in [replicas]"),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].ends_with(hint), "{text}: {found:?}");
    }
}

#[test]
fn refusals() {
    for (text, what) in [
        ("config = 'x'", "it cannot be set in the file itself"),
        ("[server]\nconfig = 'x'", "it cannot be set in the file itself"),
        ("[replicas]\nupstreams = []", "empty list"),
        ("[server]\nlisten = ['127.0.0.1:1']", "takes one value"),
        ("[replicas]\ncount = true", "must be a whole number"),
        ("[health]\npath = true", "must be a path"),
        ("[replicas]\nupstreams = [['a:1']]", "must be HOST:PORT"),
        ("[server]\ngrace = 2020-01-01", "must be a duration"),
        ("health.interval.x = 1", "must be a duration"),
        ("[[health]]\ninterval = '1s'", "health: must be a section"),
        ("[ring]\nslots = 1\nslots = 2", "f:3: not valid TOML: duplicate key"),
        ("bananas = 1", "f:1: bananas: unknown key"),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].contains(what), "{text}: {found:?}");
    }
}

proptest! {
    /// Whatever a file holds, it is read or refused with its lines.
    #[test]
    fn any_text_is_read_or_refused(
        text in "(\\[{1,2}(ring|health|log|[a-z.-]{0,5})\\]{1,2}\n|[a-z.-]{1,8} = ('[a-z0-9]{0,5}'|[0-9]{1,6}|\\[\\]|true)\n|\\PC{0,9}\n){0,8}",
    ) {
        let lines = text.lines().count().max(1);
        for problem in problems(&text) {
            let line = problem.strip_prefix("f:").and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
            prop_assert!(line.is_some_and(|line| (1..=lines + 1).contains(&line)), "{}", problem);
            prop_assert_eq!(problem.lines().count(), 1);
        }
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for text in [
        "admin-token = 'hunter22'",
        "admin-token = hunter22",
        "hunter22 hunter22 = ",
        "[admin]\ntoken = 'hunter22'",
    ] {
        let found = problems(text).join("\n");
        assert!(!found.is_empty() && !found.contains("hunter22"), "{found}");
    }
    for text in ["admin-token = 'x'", "[admin]\ntoken = 'x'"] {
        assert!(problems(text)[0].contains("token-file in [admin]"));
    }
}
