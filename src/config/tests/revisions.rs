//! `[revision.NAME]`, `[pool.POOL.revision.NAME]` and `[deploy]`: what they make, and how contradictions are told.

use std::time::Duration;

use super::{file, flags, good};
use crate::config::{Config, example_file, schema};
use crate::control::{DeployConfig, DeployOrder};
use crate::runtime::Revision;

const FILE: &str = r#"
[replicas]
command = "app --port {port}"

[revision.v2]
command = "app2 'a b' {port}"

[revision."1.3"]
env = ["FEATURE=on", "LIST=a,b"]

[deploy]
revision = "v2"
order = "stop-first"
surge = 3
min-healthy = "2s"
window = "7s"
max-errors = 0.5
max-slowdown = 2
"#;

/// The revisions that a pool can deploy, in words.
fn told(config: &Config) -> Vec<String> {
    let told = |revision: &Revision| {
        let Revision { name, command, image, env } = revision;
        format!("{name}: {command:?} {image:?} {env:?}")
    };
    config.control.deploy.revisions.iter().map(|revision| told(revision)).collect()
}

#[test]
fn tables_are_revisions_in_the_order_of_the_file() {
    let config = good(file(FILE)).config;
    assert_eq!(
        told(&config),
        [r#"v2: Some(["app2", "a b", "{port}"]) None []"#, r#"1.3: None None ["FEATURE=on", "LIST=a,b"]"#,]
    );
    let DeployConfig { revision, order, surge, min_healthy, window, max_errors, max_slowdown, .. } =
        &config.control.deploy;
    assert_eq!((revision.name.as_str(), *order), ("v2", DeployOrder::StopFirst));
    assert_eq!((*surge, *min_healthy, *window), (3, Duration::from_secs(2), Duration::from_secs(7)));
    assert_eq!((*max_errors, *max_slowdown), (0.5, 2.0));
    assert_eq!(good(file("")).config.control.deploy, DeployConfig::default());
}

#[test]
fn what_a_pool_says_of_a_revision_wins_over_what_is_said_for_all() {
    let text = r#"
[revision.v2]
env = ["X=all"]
image = "app:2"
[revision.v3]
image = "app:3"
[pool.web.revision.v2]
env = ["X=web"]
[pool.web.deploy]
revision = "v2"
surge = 2
[pool.api.replicas]
runtime = "docker"
[pool.api.revision.v4]
image = "app:4"
[pool.old.replicas]
upstreams = ["10.0.0.1:80"]
[[route]]
pool = "web"
"#;
    let loaded = good(file(text));
    let [(_, web), (_, api), (_, old)] = loaded.config.pools()[..] else { panic!("three pools") };
    // An image has no effect with processes, and there is nothing else in v3.
    assert_eq!(told(web), [r#"v2: None None ["X=web"]"#]);
    assert_eq!(
        told(api),
        [
            r#"v2: None Some("app:2") ["X=all"]"#,
            r#"v3: None Some("app:3") []"#,
            r#"v4: None Some("app:4") []"#
        ]
    );
    assert_eq!(told(old), [""; 0]);
    assert_eq!((web.control.deploy.revision.name.as_str(), web.control.deploy.surge), ("v2", 2));
    assert_eq!((api.control.deploy.revision.name.as_str(), api.control.deploy.surge), ("", 1));
    let printed = loaded.to_string();
    assert!(printed.contains("[pool.web.revision.v2]\nenv = [\"X=web\"]\n"), "{printed}");
    assert_eq!(good(file(&printed)).config, loaded.config, "{printed}");
    let json = loaded.to_json();
    assert_eq!(json["pool"]["web"]["revision"]["v2"]["env"][0], "X=web");
    assert_eq!(json["pool"]["api"]["revision"]["v4"]["image"], "app:4");
    assert_eq!(json["pool"]["api"]["deploy"]["surge"]["value"], 1);
}

#[test]
fn what_is_printed_is_what_is_read() {
    let printed = good(file(FILE));
    let text = printed.to_string();
    assert!(text.contains("[revision.\"1.3\"]\nenv = "), "{text}");
    assert_eq!(good(file(&text)).config, printed.config, "{text}");
    assert_eq!(printed.to_json()["revision"]["1.3"]["env"][0], "FEATURE=on");
    assert!(example_file().contains("# [revision.NAME]\n"));
    let table = &schema()["properties"]["revision"]["additionalProperties"];
    assert!(table["properties"]["command"].is_object() && table["additionalProperties"] == false, "{table}");
    let of_pool = &schema()["properties"]["pool"]["additionalProperties"]["properties"];
    assert!(of_pool["revision"]["additionalProperties"]["properties"]["env"].is_object());
}

/// The problems of a file, without its name.
fn problems(text: &str) -> Vec<String> {
    let problems = file(text).problems();
    problems.iter().map(|problem| problem.trim_start_matches("ringherd.toml:").to_owned()).collect()
}

/// Has a file with one problem, which is told in these words.
fn assert_refused(text: &str, problem: &str) {
    let found = problems(text);
    assert!(found.len() == 1 && found[0].contains(problem), "{text}: {found:#?}");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_write() {
    let long = "x".repeat(65);
    let long = format!("[revision.{long}]\ncommand = 'a'");
    let letters = "must be 1 to 64 letters, digits, '.', '_' and '-'; as in v2 or 1.4.0";
    for (text, problem) in [
        (
            "[revision.v2]",
            "1: revision.v2: says nothing, and would be what there is without it; give it a command, an image or env",
        ),
        (
            "[revision.base]\ncommand = 'a'",
            "1: revision.base: is the name of what the configuration says without a revision; choose another",
        ),
        ("[revision.'a b']\ncommand = 'a'", &format!("1: revision.a b: {letters}")),
        ("[revision.'']\ncommand = 'a'", &format!("1: revision.: {letters}")),
        (&long, letters),
        (
            "[revision.v2]\ncommand = \"a 'b\"",
            "2: revision.v2.command = \"a 'b\": has a ' without its partner",
        ),
        ("[revision.v2]\ncomand = 'a'", "2: revision.v2.comand: unknown key; did you mean command?"),
        ("[revision.v2]\nimag = 'a'", "2: revision.v2.imag: unknown key; did you mean image?"),
        (
            "[revision.v2]\nenv = 'PORT=1'",
            "2: revision.v2.env = \"PORT=1\": sets PORT, which each replica is given",
        ),
        (
            "[revision.v2]\nenv = ['A=1', 'A=2']",
            "2: revision.v2.env = \"A=2\": sets a variable that is given already",
        ),
        (
            "[revision.v2]\nimage = 'a:2'",
            "2: revision.v2.image = \"a:2\": has no effect: --runtime process has no use for it; give a command, or \
             use --runtime docker",
        ),
        (
            "[replicas]\nupstreams = ['a:1']\n[revision.v2]\nimage = 'a:2'",
            "3: revision.v2: has no effect: with --runtime fixed there are no deploys; use --runtime process, docker or \
             swarm",
        ),
        (
            "[pool.a.replicas]\nupstreams = ['a:1']\n[pool.a.revision.v2]\nenv = ['A=1']",
            "3: pool.a.revision.v2: has no effect: with --runtime fixed there are no deploys",
        ),
        (
            "[pool.a.revision.v2]\nimage = 'a:2'",
            "2: pool.a.revision.v2.image = \"a:2\": has no effect: --runtime process has no use for it",
        ),
    ] {
        assert_refused(text, problem);
    }
}

#[test]
fn what_is_not_where_or_what_it_has_to_be_is_refused() {
    for (text, problem) in [
        ("[revisions.v2]\ncommand = 'a'", "1: revisions: unknown section; did you mean [revision]?"),
        (
            "[revision]\ncommand = 'a'",
            "2: revision.command: must be a table with a name; write [revision.NAME] above its keys",
        ),
        ("[[revision]]\ncommand = 'a'", "must be tables with names; write [revision.NAME] above its keys"),
        ("revision = 'v2'", "1: revision: must be tables with names; write [revision.NAME] above its keys"),
        (
            "[deploy]\nrevision = 'v3'\n[revision.v2]\ncommand = 'a'",
            "2: deploy.revision = \"v3\": is not the name of a revision; did you mean v2?",
        ),
        (
            "[deploy]\nrevision = 'green'\n[revision.v2]\ncommand = 'a'",
            "2: deploy.revision = \"green\": is not the name of a revision; there is base, v2",
        ),
        (
            "[pool.a.deploy]\nrevision = 'x'\n[pool.b.revision.x]\nenv = 'A=1'\n[[route]]\npool = 'a'",
            "2: pool.a.deploy.revision = \"x\": is not the name of a revision; there is base",
        ),
        (
            "[deploy]\nmax-slowdown = 0.5",
            "2: deploy.max-slowdown = \"0.5\": would take back deploys that are faster; give 1 or more, or 0 for any",
        ),
        ("[deploy]\norder = 'first'", "2: deploy.order = \"first\": must be start-first or stop-first"),
        ("[deploy]\nsurge = 0", "2: deploy.surge = \"0\": must be a whole number of replicas, 1 to 1000"),
        (
            "[replicas]\nupstreams = ['a:1']\n[deploy]\nsurge = 2",
            "4: deploy.surge = \"2\": has no effect: --runtime fixed has no use for it; use --runtime process, docker or \
             swarm",
        ),
    ] {
        assert_refused(text, problem);
    }
    let unknown = flags(&[("deploy-revision", "v2")]).problems();
    assert_eq!(unknown, ["--deploy-revision \"v2\": is not the name of a revision; there is base"]);
}

#[test]
fn there_is_a_limit_on_revisions() {
    let tables = |count: usize| -> String {
        (1..=count).map(|n| format!("[revision.v{n}]\nenv = 'N={n}'\n")).collect::<Vec<_>>().concat()
    };
    assert_eq!(told(&good(file(&tables(64))).config).len(), 64);
    let found = problems(&tables(65));
    assert!(found.len() == 1 && found[0].starts_with("129: revision.v65: is one too many"), "{found:#?}");
}

/// What is wrong for all pools is said once, and a revision that no pool has a use for is no mistake of theirs.
#[test]
fn what_is_wrong_for_all_is_said_once() {
    let found = problems("[revision.v2]\n[pool.a]\n[pool.b]\n[[route]]\npool = 'a'");
    assert!(found.len() == 1 && found[0].starts_with("1: revision.v2: says nothing"), "{found:#?}");
}

/// A deploy may put a program of the user's in the place of the built-in replicas.
#[test]
fn replicas_that_can_be_replaced_by_others_are_not_those_of_a_demo() {
    let is_demo = |text: &str| good(file(text)).config.has_only_demo_replicas();
    assert!(is_demo("[revision.v2]\nenv = 'A=1'"));
    assert!(!is_demo("[revision.v2]\ncommand = 'app'"));
}

#[test]
fn the_revision_of_the_start_needs_a_restart_and_others_do_not() {
    let before = good(file(FILE)).config;
    let other = FILE.replace("revision = \"v2\"", "revision = \"1.3\"").replace("app2", "app3");
    let other = other.replace("stop-first", "start-first");
    let after = good(file(&other)).config;
    assert_eq!(before.changes_needing_restart(&after), ["deploy-revision"]);
    assert_eq!(before.changes_of_replicas(&after), [""; 0]);
}
