//! The command itself: what it prints, where, and with which exit code.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The command with `words`, in an environment without settings.
fn ringherd(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringherd"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RINGHERD_") {
            command.env_remove(name);
        }
    }
    // A backtrace would show as a line that does not belong.
    command.env("RUST_BACKTRACE", "1").args(words).stdin(Stdio::null());
    command
}

fn run(words: &[&str]) -> (Option<i32>, String, String) {
    outcome(&ringherd(words).output().expect("the command runs"))
}

fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A file of this test run, removed when dropped.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringherd-test-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file in the temporary directory");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn check_prints_what_holds_and_takes_it_back() {
    let (code, printed, errors) = run(&["check", "--replicas", "5", "--key", "path"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(printed.contains("count = 5  # --replicas\n"), "{printed}");

    let file = TempFile::new("effective.toml", &printed);
    let (code, again, errors) = run(&["check", "--config", file.path()]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains(" = ") && !line.starts_with('#'));
        lines.map(|line| line.rsplit_once("  # ").expect("a source").0.to_owned()).collect()
    };
    assert_eq!(values(&printed), values(&again));
    assert!(again.contains(&format!("count = 5  # {}:", file.path())), "{again}");
}

#[test]
fn check_prints_the_same_for_programs() {
    let read = |printed: &str| serde_json::from_str::<serde_json::Value>(printed).expect("one document");
    let words = ["check", "--json", "--replicas", "5", "--upstream", "a:1,b:2"];
    let output = ringherd(&words).env("RINGHERD_ADMIN_TOKEN", "not-to-be-printed").output().expect("it runs");
    let (code, printed, errors) = outcome(&output);
    // Two upstreams are not five replicas: a problem is told in both forms.
    assert_eq!(code, Some(78), "{errors}");
    let problems = read(&printed)["problems"].as_array().expect("a list").clone();
    assert_eq!(problems.len(), 1, "{printed}");
    assert!(problems[0]["problem"].is_string() && problems[0]["source"].is_string(), "{printed}");
    assert!(errors.contains("the configuration has a problem"), "{errors}");

    let words = ["check", "--json", "--upstream", "a:1,b:2", "--keep-alive", "9s"];
    let output = ringherd(&words).env("RINGHERD_ADMIN_TOKEN", "not-to-be-printed").output().expect("it runs");
    let (code, printed, errors) = outcome(&output);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(!printed.contains("not-to-be-printed"), "{printed}");
    let json = read(&printed);
    let of = |value: serde_json::Value, source: &str| serde_json::json!({"value": value, "source": source});
    assert_eq!(json["timeouts"]["keep-alive"], of("9s".into(), "--keep-alive"));
    assert_eq!(json["replicas"]["upstreams"], of(serde_json::json!(["a:1", "b:2"]), "--upstream"));
    assert_eq!(json["health"]["unhealthy-after"]["source"], "default");
    assert_eq!(json["admin"]["token-file"], of(serde_json::Value::Null, "RINGHERD_ADMIN_TOKEN"));
    assert_eq!(json["server"]["config"], of(serde_json::Value::Null, "default"));
    // Every line of the other form is in this one.
    let (_, lines, _) = run(&["check"]);
    let keys = lines.lines().filter_map(|line| line.trim_start_matches("# ").split_once(" = "));
    let known =
        |key: &str| json.as_object().expect("sections").values().any(|section| section.get(key).is_some());
    for (key, _) in keys {
        assert!(known(key), "{key}: {printed}");
    }
}

#[test]
fn the_example_is_a_configuration() {
    let (code, example, errors) = run(&["check", "--example"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let file = TempFile::new("example.toml", &example);
    let (code, from_example, errors) = run(&["check", "--config", file.path()]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let (_, by_default, _) = run(&["check"]);
    let without_file = |text: &str| text.replace(&format!("# config = {}  # --config\n", file.path()), "");
    assert_eq!(without_file(&from_example), by_default.replace("# config = none  # default\n", ""));

    let (code, schema, _) = run(&["check", "--schema"]);
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    assert_eq!(schema["properties"]["health"]["properties"]["interval"]["default"], "500ms");
}

#[test]
fn a_bad_configuration_exits_with_78_and_says_all_that_is_wrong() {
    let file = TempFile::new("bad.toml", "[server]\nworkres = 1\n");
    let flags = ["--config", file.path(), "--replicas", "many"];
    for subcommand in [&["check"][..], &["serve"], &[]] {
        let words: Vec<_> = subcommand.iter().chain(&flags).copied().collect();
        let output = ringherd(&words).env("RINGHERD_GRACE", "5").output().expect("the command runs");
        let (code, printed, errors) = outcome(&output);
        assert_eq!((code, printed.as_str()), (Some(78), ""), "{errors}");
        let lines: Vec<_> = errors.lines().collect();
        assert_eq!(lines[0], "ringherd: the configuration has 3 problems:");
        assert_eq!(lines.len(), 4, "{errors}");
        assert!(
            lines[1].starts_with(&format!("  {}:2: server.workres: unknown key", file.path())),
            "{errors}"
        );
        assert!(errors.contains("\n  --replicas \"many\": must be a whole number"), "{errors}");
        assert!(errors.contains("\n  RINGHERD_GRACE=\"5\": has no unit"), "{errors}");
    }
}

#[test]
fn a_route_is_told_and_none_exits_with_1() {
    let file = TempFile::new("routes.toml", "[[route]]\npath = '/api'\n");
    let (code, printed, errors) = run(&["route", "http://a.example/api/x", "--config", file.path()]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(printed.starts_with(&format!("route   */api ({}:1)\n", file.path())), "{printed}");
    let (code, printed, errors) = run(&["route", "http://a.example/", "--config", file.path()]);
    assert_eq!((code, printed.as_str()), (Some(1), ""));
    assert!(errors.starts_with("ringherd: no route matches a.example/"), "{errors}");
    let bad = TempFile::new("bad-routes.toml", "[[route]]\n[[route]]\n");
    let (code, _, errors) = run(&["route", "/", "--config", bad.path()]);
    assert_eq!(code, Some(78));
    assert!(errors.contains(&format!(
        "{}:2: route: */ is the route at {}:1 already",
        bad.path(),
        bad.path()
    )));
    assert_eq!(run(&["route", "ftp://a.example/"]).0, Some(64));
}

#[test]
fn the_token_is_not_printed() {
    let token = "correct-horse-battery";
    let output = ringherd(&["check"]).env("RINGHERD_ADMIN_TOKEN", token).output().expect("the command runs");
    let (code, printed, _) = outcome(&output);
    assert_eq!(code, Some(0));
    assert!(printed.contains("(set)") && !printed.contains(token), "{printed}");
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_64() {
    for words in [&["--nope"][..], &["check", "--replcas", "3"], &["nope"], &["--listen"]] {
        let (code, printed, errors) = run(words);
        assert_eq!((code, printed.as_str()), (Some(64), ""), "{words:?}");
        assert!(errors.starts_with("ringherd: ") && !errors.contains("backtrace"), "{errors}");
    }
    let (_, _, errors) = run(&["check", "--replcas", "3"]);
    assert!(errors.contains("--replicas"), "a suggestion: {errors}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let (code, version, _) = run(&["--version"]);
    assert_eq!((code, version), (Some(0), format!("ringherd {}\n", env!("CARGO_PKG_VERSION"))));

    let (code, short, _) = run(&["-h"]);
    assert_eq!(code, Some(0));
    let (code, long, errors) = run(&["--help"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(short.len() < long.len());
    for text in ["Exit codes:", "Examples:", "Signals:", "RINGHERD_ADMIN_TOKEN", "Time-outs:", "Limits:"] {
        assert!(long.contains(text), "{text}");
    }
    for exit in ["  64  ", "  69  ", "  70  ", "  74  ", "  78  "] {
        assert!(long.contains(exit), "{exit}");
    }
    assert!(long.lines().all(|line| line.chars().count() <= 100), "{long}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = ringherd(&["--help"]).stdout(writer).output().expect("the command runs");
    let (code, _, errors) = outcome(&output);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_exits_with_74() {
    let full = File::options().write(true).open("/dev/full").expect("a full device");
    let output = ringherd(&["--help"]).stdout(full).output().expect("the command runs");
    let (code, _, errors) = outcome(&output);
    assert_eq!(code, Some(74));
    assert!(errors.starts_with("ringherd: cannot write to standard output: "), "{errors}");
}
