//! The admin API as commands, beside a running balancer.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::folder::Folder;
use crate::common::held::held_replica;
use crate::common::{Balancer, PATIENCE, request, wait_until};

const TOKEN: &str = "of-these-tests";

fn command(admin: SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringherd"));
    command.args(args).env_clear().env("RINGHERD_ADMIN_LISTEN", admin.to_string()).stdin(Stdio::null());
    command
}

fn run(admin: SocketAddr, args: &[&str]) -> Output {
    command(admin, args).output().expect("the binary runs")
}

/// What a command that succeeds prints.
fn told(balancer: &Balancer, args: &[&str]) -> String {
    let output = run(balancer.admin, args);
    assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The exit code and the words of one that does not.
fn refused(admin: SocketAddr, args: &[&str]) -> (Option<i32>, String) {
    let output = run(admin, args);
    assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn replicas_come_and_go_by_command() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    balancer.wait_until_ready(1);
    let status = told(&balancer, &["status"]);
    assert!(status.starts_with(&format!("http://{}: 1 replica, 1 ready\n", balancer.admin)), "{status}");
    assert!(status.contains("Server 1  ready     100  100.00 %"), "{status}");

    let two = "there are 3 replicas now: Server 1, S4, S5\n";
    assert_eq!(told(&balancer, &["add", "S4", "--name", "S5"]), two);
    let shown = told(&balancer, &["status", "--json"]);
    let ring: Value = serde_json::from_str(&shown).expect("one document");
    assert_eq!(ring["replicas"].as_array().map(Vec::len), Some(3), "{shown}");

    let weight = told(&balancer, &["weight", "S5", "50"]);
    assert!(weight.starts_with("'S5' has weight 50 and owns "), "{weight}");
    let drained = "'S4' is drained: weight 0 (it had 100), no request in flight\n";
    assert_eq!(told(&balancer, &["drain", "S4", "--timeout", "0s"]), drained);
    assert_eq!(told(&balancer, &["drain", "S4", "--undo"]), "'S4' has weight 100 (it had 0)\n");
    // It gets the weight that it had, and not another; and a name is one in any of its spellings.
    let drained = "'server-1' is drained: weight 0 (it had 30), no request in flight\n";
    told(&balancer, &["weight", "Server 1", "30"]);
    assert_eq!(told(&balancer, &["drain", "server-1", "--timeout", "0s"]), drained);
    assert!(told(&balancer, &["drain", "server-1"]).contains("(it had 0)"), "twice is once");
    assert_eq!(told(&balancer, &["drain", "Server_1", "--undo"]), "'Server_1' has weight 30 (it had 0)\n");
    assert_eq!(told(&balancer, &["drain", "Server 1", "--undo"]), "'Server 1' has weight 30 (it had 30)\n");

    assert_eq!(told(&balancer, &["kill", "S4"]), "'S4' is being killed\n");
    wait_until("it is replaced", || (!balancer.replicas().contains(&"S4".to_owned())).then_some(()));
    balancer.wait_until_ready(3);
    let ring = told(&balancer, &["set", "slots=512", "virtual-nodes=9", "key=path"]);
    assert!(ring.contains(" 512 slots, 9 virtual nodes") && ring.contains("\nkey path,"), "{ring}");
    assert_eq!(told(&balancer, &["rm", "S5"]).split(':').next(), Some("there are 2 replicas now"));
    assert_eq!(told(&balancer, &["rm", "2"]), "there are no replicas now\n");
}

#[test]
fn a_command_is_about_the_pool_that_it_names() {
    let folder = Folder::new("pool");
    let text = "[replicas]\ncount = 1\n[pool.a]\n[pool.b.replicas]\ncount = 2\n[[route]]\npool = \"a\"\n";
    let balancer = Balancer::start(&["--config", &folder.write("ringherd.toml", text)]);
    let names = |args: &[&str]| -> Vec<String> {
        let json: Value = serde_json::from_str(&told(&balancer, args)).expect("JSON");
        let replicas = json["replicas"].as_array().expect("an array");
        replicas.iter().map(|replica| replica["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&["status", "--json"]).len(), 1);
    told(&balancer, &["add", "--pool", "b", "S7"]);
    told(&balancer, &["weight", "--pool", "b", "S7", "50"]);
    assert!(names(&["status", "--pool", "b", "--json"]).contains(&"S7".to_owned()));
    told(&balancer, &["drain", "--pool", "b", "S7"]);
    told(&balancer, &["rm", "--pool", "b", "S7"]);
    assert_eq!((names(&["status", "--pool", "b", "--json"]).len(), balancer.replicas().len()), (2, 1));
    let (code, words) = refused(balancer.admin, &["status", "--pool", "c"]);
    assert!(code == Some(1) && words.contains("there is no pool 'c'"), "{words}");
}

#[test]
fn a_drain_waits_for_requests_in_flight() {
    let held = held_replica();
    let balancer = Balancer::start(&["--upstream", &held.address]);
    let name = balancer.wait_until_ready(1)[0]["name"].as_str().expect("a name").to_owned();
    let public = balancer.public;
    let client = std::thread::spawn(move || request(public, "GET", "/slow", None));
    held.arrived.recv_timeout(PATIENCE).expect("the request reaches the replica");

    let (code, problem) = refused(balancer.admin, &["drain", &name, "--timeout", "1ms"]);
    assert_eq!(code, Some(1));
    assert!(problem.contains("still has 1 requests in flight after 1ms"), "{problem}");
    assert!(problem.contains(&format!("'ringherd drain {name:?} --undo'")), "{problem}");

    told(&balancer, &["drain", &name, "--undo"]);
    let waiting = command(balancer.admin, &["drain", &name, "--json"]).stdout(Stdio::piped()).spawn();
    let waiting = waiting.expect("the binary runs");
    // It has begun.
    wait_until("weight 0", || (balancer.ring()[0]["weight"] == 0).then_some(()));
    held.release.send(()).expect("the replica waits");
    let output = waiting.wait_with_output().expect("a child");
    let drained: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(
        drained,
        serde_json::json!({"name": name, "weight": 0, "former_weight": 100, "drained": true})
    );
    assert_eq!(client.join().expect("no panic").status, 200);

    let other = held_replica();
    let added = told(&balancer, &["add", "--endpoint", &other.address, "--name", "other"]);
    assert!(added.ends_with(", other\n"), "{added}");
}

#[test]
fn a_refusal_ends_with_1_and_nobody_there_with_69() {
    let balancer = Balancer::start(&["--replicas", "0"]);
    for args in [&["rm", "Nobody"][..], &["kill", "Nobody"], &["drain", "Nobody"], &["add", "--name", "a.b"]]
    {
        let (code, problem) = refused(balancer.admin, args);
        assert_eq!(code, Some(1), "{args:?}: {problem}");
        assert!(problem.contains(&format!("(http://{} answered 40", balancer.admin)), "{args:?}: {problem}");
    }
    for args in [
        &["rm"][..],
        &["weight", "a", "101"],
        &["set", "slots=many"],
        &["set", "slots=5", "slots=6"],
        &["status", "--url", "x:1"],
    ] {
        assert_eq!(refused(balancer.admin, args).0, Some(64), "{args:?}");
    }
    // The public address has no /ring of its own.
    let (code, problem) = refused(balancer.public, &["status"]);
    assert_eq!(code, Some(1), "{problem}");
    let admin = balancer.admin;
    drop(balancer);
    let (code, problem) = refused(admin, &["status"]);
    assert_eq!(code, Some(69), "{problem}");
    assert!(problem.starts_with(&format!("ringherd: no answer from http://{admin}: ")), "{problem}");
}

#[test]
fn a_token_is_found_in_a_file_or_in_the_environment() {
    let balancer = Balancer::start_with(&["--replicas", "0"], |command| {
        command.env("RINGHERD_ADMIN_TOKEN", TOKEN);
    });
    let (code, problem) = refused(balancer.admin, &["status"]);
    assert_eq!(code, Some(1));
    assert!(problem.contains("this needs the admin token"), "{problem}");
    assert!(problem.contains("give it with --token-file or RINGHERD_ADMIN_TOKEN"), "{problem}");

    let by_variable = command(balancer.admin, &["status"]).env("RINGHERD_ADMIN_TOKEN", TOKEN).output();
    assert!(by_variable.expect("it runs").status.success());
    let file = std::env::temp_dir().join(format!("ringherd-token-{}", std::process::id()));
    std::fs::write(&file, format!("{TOKEN}\n")).expect("a temporary file");
    let by_file = run(balancer.admin, &["status", "--token-file", file.to_str().expect("text")]);
    std::fs::remove_file(&file).expect("it was there");
    assert!(by_file.status.success(), "{by_file:?}");
}

#[cfg(feature = "tools")]
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    for args in [&["completions", "bash"][..], &["man"]] {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut child = command(nobody, args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        // More than a pipe holds is printed, so that it notices.
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a first line");
        assert!(child.wait().expect("a child").success());
        let mut complaint = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut complaint).expect("text");
        assert_eq!(complaint, "");
    }
}

#[cfg(feature = "tools")]
#[test]
fn manual_pages_are_written_into_a_folder() {
    let folder = std::env::temp_dir().join(format!("ringherd-man-{}", std::process::id()));
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let output = run(nobody, &["man", "--out", folder.to_str().expect("text")]);
    assert!(output.status.success(), "{output:?}");
    for page in ["ringherd.1", "ringherd-serve.1", "ringherd-status.1"] {
        assert!(folder.join(page).is_file(), "{page}");
    }
    std::fs::remove_dir_all(&folder).expect("it was there");
    let (code, problem) = refused(nobody, &["man", "--out", "/dev/null/man"]);
    assert_eq!(code, Some(74), "{problem}");
}
