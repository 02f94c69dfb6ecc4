//! `ringherd experiment` with the real binary: what it writes, and that it leaves everything as it
//! was.

mod common;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use common::nobody::Nobody;
use common::origin::Origin;
use common::{Balancer, descendants, is_alive, request, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// An empty folder of this name.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("experiment-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn command(out: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringherd"));
    command.args(["experiment", "--concurrency", "16", "--seed", "7", "--out"]).arg(out).args(words);
    command
        .env_remove("RINGHERD_ADMIN_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The same on a running balancer.
fn at(balancer: &Balancer, out: &Path, words: &[&str]) -> Command {
    let mut command = command(out, words);
    command.arg("--target").arg(format!("http://{}", balancer.admin));
    command.arg("--public").arg(format!("http://{}", balancer.public));
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("the binary starts")
}

fn start(mut command: Command) -> Child {
    command.spawn().expect("the binary starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn results(out: &Path) -> Value {
    let text = fs::read_to_string(out.join("results.json")).expect("results");
    serde_json::from_str(&text).expect("JSON")
}

/// What must be the same afterwards: the ring, and of each replica number, name and weight.
fn state(balancer: &Balancer) -> Value {
    let mut ring = request(balancer.admin, "GET", "/ring", None).json();
    for key in ["version", "peak_to_average"] {
        ring.as_object_mut().expect("an object").remove(key);
    }
    for replica in ring["replicas"].as_array_mut().expect("replicas") {
        let replica = replica.as_object_mut().expect("an object");
        replica.retain(|key, _| ["number", "name", "weight", "slots", "instance"].contains(&key.as_str()));
    }
    ring
}

/// A spread's counts sum up to its requests, and its shares to a whole.
fn assert_consistent(spread: &Value, requests: u64) {
    let sum = |field: &str| {
        let replicas = spread["replicas"].as_array().expect("replicas");
        replicas.iter().map(|replica| replica[field].as_f64().expect("a number")).sum::<f64>()
    };
    assert_eq!(spread["requests"], requests);
    assert!((sum("requests") - requests as f64).abs() < 1e-6, "{spread}");
    assert!((sum("slot_share") - 1.0).abs() < 1e-9 && (sum("expected_share") - 1.0).abs() < 1e-9, "{spread}");
    assert_eq!(spread["elsewhere"], 0, "without a bound each request is answered by its owner");
}

#[test]
fn all_experiments_leave_a_report_and_nothing_else() {
    let out = folder("all");
    fs::write(out.join("notes.txt"), "mine").expect("a file");
    let mut child = start(command(&out, &["all", "--requests", "200"]));
    let pid = Pid::from_child(&child);
    let mut seen = HashSet::new();
    wait_until("its balancer and replicas run", || {
        seen.extend(descendants(pid));
        (seen.len() >= 5).then_some(())
    });
    // Read to the end: its output would fill the pipe.
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().expect("piped"), &mut text).expect("text");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(seen.iter().all(|pid| !is_alive(*pid)), "processes are left");
    assert!(text.contains("A-1") && text.contains("Peak-to-average") && text.contains("####"), "{text}");

    let files = [
        "a1.svg",
        "a2.svg",
        "a3.svg",
        "a4.svg",
        "movement.svg",
        "evenness.svg",
        "strays.svg",
        "zipf.svg",
        "latency.svg",
    ];
    for file in files.iter().chain(&["index.html", "results.json", "summary.md"]) {
        let text = fs::read_to_string(out.join(file)).expect(file);
        assert!(!text.contains("NaN") && text.len() > 1_000, "{file}");
    }
    assert_eq!(fs::read_to_string(out.join("notes.txt")).expect("still there"), "mine");

    let results = results(&out);
    assert_eq!((&results["seed"], &results["lost"]), (&7.into(), &0.into()));
    assert_eq!(results["skipped"], Value::Array(Vec::new()));
    assert_consistent(&results["a1"], 200);
    assert_eq!(results["a1"]["replicas"].as_array().map(Vec::len), Some(3));
    let sizes = |spreads: &Value| {
        let spreads = spreads.as_array().expect("spreads");
        for spread in spreads {
            assert_consistent(spread, 200);
        }
        spreads.iter().map(|spread| spread["replicas"].as_array().map_or(0, Vec::len)).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&results["a2"]), [2, 3, 4, 5, 6]);
    for sweep in results["a4"].as_array().expect("rings") {
        assert_eq!(sizes(&sweep["spreads"]), [2, 3, 4, 5, 6]);
    }
    for movement in results["movement"].as_array().expect("rings") {
        assert_eq!(movement["changed_after_return"], 0, "a ring is a function of its members");
    }
    assert!(results["a3"]["checks"].as_array().expect("checks").iter().all(|check| check["good"] == true));
    let kill = &results["a3"]["kill"];
    assert_eq!((&kill["n_before"], &kill["n_after"]), (&3.into(), &3.into()));
    let timeline = kill["timeline"].as_array().expect("buckets");
    let counted: u64 =
        timeline.iter().flat_map(|b| b.as_array().expect("counts")).filter_map(Value::as_u64).sum();
    assert_eq!(kill["requests"], counted);
    let bars = results["latency"]["histogram"].as_array().expect("bars");
    assert_eq!(bars.iter().filter_map(|bar| bar[1].as_u64()).sum::<u64>(), 200);
}

#[test]
fn the_same_seed_gives_the_same_counts() {
    let counts = |name: &str| {
        let out = folder(name);
        let output = run(command(&out, &["a1", "--requests", "300"]));
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        results(&out)["a1"]["replicas"].clone()
    };
    assert_eq!(counts("seed-one"), counts("seed-two"));
}

#[test]
fn its_balancer_ends_however_it_ends() {
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        let mut child = start(command(&folder("ended"), &["a2", "--requests", "1000000"]));
        let pid = Pid::from_child(&child);
        let all = wait_until("its balancer and replicas run", || {
            let all = descendants(pid);
            (all.len() >= 5).then_some(all)
        });
        kill_process(pid, signal).expect("it runs");
        assert_eq!(child.wait().expect("it ends").code(), code);
        wait_until("all of them end", || all.iter().all(|pid| !is_alive(*pid)).then_some(()));
    }
}

#[test]
fn a_running_pool_is_put_back_as_it_was() {
    let balancer = Balancer::start(&["--replicas", "4", "--slots", "512", "--virtual-nodes", "9"]);
    balancer.wait_until_ready(4);
    let weighed = request(balancer.admin, "PUT", "/replicas/Server%202", Some(r#"{"weight":50}"#));
    assert_eq!(weighed.status, 200, "{weighed:?}");
    let before = state(&balancer);
    let out = folder("target");
    let output = run(at(&balancer, &out, &["a1", "a2", "zipf", "--requests", "100"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(state(&balancer), before);
    let results = results(&out);
    assert_consistent(&results["a1"], 100);
    assert_eq!(results["a1"]["ring"]["slots"], 512, "the ring it had is the one that is measured");
    let bounds: Vec<_> =
        (0..2).map(|run| results["zipf"]["runs"][run]["spread"]["bounded_load"].clone()).collect();
    assert_eq!(bounds, [Value::Null, 1.25.into()]);
}

#[test]
fn a_running_pool_is_put_back_after_a_signal() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let balancer = Balancer::start(&[]);
        balancer.wait_until_ready(3);
        let before = state(&balancer);
        let child = start(at(&balancer, &folder("signal"), &["a4", "--requests", "200000"]));
        wait_until("it has changed the ring and the weights", || {
            let now = state(&balancer);
            (now["slots"] == 512 && now["replicas"][2]["weight"] == 0).then_some(())
        });
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert_eq!(said(&output), "ringherd: putting the pool back; a second signal leaves it as it is\n");
        assert_eq!(state(&balancer), before);
    }
}

/// A server whose heartbeat is good and whose every other answer is a 500.
fn ill() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = |mut stream: TcpStream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let status = if line.contains("/heartbeat") { "200 OK" } else { "500 Internal Server Error" };
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line).ok()?;
        }
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

#[test]
fn a_lost_request_is_a_failure_and_is_told() {
    let balancer = Balancer::start(&["--upstream", &ill().to_string()]);
    balancer.wait_until_ready(1);
    let out = folder("lost");
    let output = run(at(&balancer, &out, &["a1", "--requests", "50"]));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("50 of 50 requests were lost: 500 Internal Server Error"),
        "{}",
        said(&output)
    );
    assert_eq!(results(&out)["lost"], 50);
}

#[test]
fn answers_that_are_no_replicas_are_a_failure() {
    let (balancer, other) = (Balancer::start(&[]), Balancer::start(&["--replicas", "4"]));
    balancer.wait_until_ready(3);
    let before = state(&balancer);
    let out = folder("nobodys");
    other.wait_until_ready(4);
    // The admin API has no such path, and the pool of another balancer is not the same.
    for (public, why) in [(balancer.admin, "were lost: 404 Not Found"), (other.public, "check that --public")]
    {
        let mut command = command(&out, &["a1", "--requests", "50"]);
        command.arg("--target").arg(format!("http://{}", balancer.admin));
        let output = run({
            command.arg("--public").arg(format!("http://{public}"));
            command
        });
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(why), "{}", said(&output));
        assert_eq!(state(&balancer), before);
    }
}

#[test]
fn an_admin_api_that_never_answers_does_not_hold_up_a_signal() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let child = start(command(&folder("silent"), &["a1", "--target", &url]));
    let _held = silent.accept().expect("it asks");
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
}

#[test]
fn a_folder_that_takes_no_files_is_an_error_before_anything_is_done() {
    let out = folder("unwritable").join("file");
    fs::write(&out, "").expect("a file");
    let output = run(command(&out, &["a1", "--target", "http://127.0.0.1:9"]));
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
}

#[test]
fn a_report_that_cannot_be_written_in_the_end_does_not_hide_what_was_found() {
    let balancer = Balancer::start(&["--upstream", &ill().to_string()]);
    balancer.wait_until_ready(1);
    let out = folder("blocked");
    fs::create_dir(out.join("results.json")).expect("a folder where a file must go");
    let output = run(at(&balancer, &out, &["a1", "--requests", "50"]));
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("A-1: three replicas"));
    let said = said(&output);
    assert!(said.contains("50 of 50 requests were lost") && said.contains("results.json"), "{said}");
}

#[test]
fn a_replica_of_the_user_is_never_taken_away() {
    let balancer = Balancer::start(&[]);
    balancer.wait_until_ready(3);
    let added = request(balancer.admin, "POST", "/add", Some(r#"{"n":1,"hostnames":["experiment-a"]}"#));
    assert_eq!(added.status, 200, "{added:?}");
    let before = names(&balancer);
    let output = run(at(&balancer, &folder("names"), &["a3", "--requests", "20"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let after = names(&balancer);
    assert_eq!(after.len(), before.len(), "{after:?}");
    assert!(after.contains(&"experiment-a".to_owned()), "{after:?}");
}

fn names(balancer: &Balancer) -> Vec<String> {
    let ring = request(balancer.admin, "GET", "/ring", None).json();
    let replicas = ring["replicas"].as_array().expect("replicas");
    replicas.iter().map(|replica| replica["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn what_a_pool_cannot_do_is_skipped_with_the_reason() {
    let origin = Origin::start();
    let balancer = Balancer::start(&["--upstream", &origin.address.to_string()]);
    balancer.wait_until_ready(1);
    let before = state(&balancer);
    let out = folder("fixed");
    let output = run(at(&balancer, &out, &["a1", "a2", "a3", "--requests", "50"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let results = results(&out);
    // The origin does not say its name: the balancer counts.
    assert_eq!(results["a1"]["replicas"][0]["requests"], 50);
    assert_eq!(results["a1"]["elsewhere"], Value::Null);
    let skipped = &results["skipped"][0];
    assert!(skipped["what"].as_str().expect("text").starts_with("A-2"), "{skipped}");
    assert!(skipped["why"].as_str().expect("text").contains("endpoints"), "{skipped}");
    let notes = results["notes"].to_string();
    assert!(notes.contains("A-3 neither added") && notes.contains("A-3 killed no replica"), "{notes}");
    assert_eq!(state(&balancer), before);
}

#[test]
fn nobody_there_is_a_clear_error() {
    let closed = Nobody::new();
    let url = format!("http://{}", closed.address);
    let out = folder("nobody");
    let output = run(command(&out, &["a1", "--target", &url]));
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains(&format!("no answer from {url}")), "{}", said(&output));

    let balancer = Balancer::start(&[]);
    balancer.wait_until_ready(3);
    let before = state(&balancer);
    let admin = format!("http://{}", balancer.admin);
    let output = run(command(&out, &["a2", "--target", &admin, "--public", &url]));
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains("give --public URL"), "{}", said(&output));
    assert_eq!(state(&balancer), before);
    assert!(!out.join("results.json").exists());
}

#[test]
fn a_target_with_a_token_is_given_it() {
    const TOKEN: &str = "a-secret-of-ours";
    let balancer = Balancer::start_with(&[], |command| {
        command.env("RINGHERD_ADMIN_TOKEN", TOKEN);
    });
    let out = folder("token");
    let file = out.join("token");
    fs::write(&file, format!("{TOKEN}\n")).expect("a file");
    let words = ["a1", "--requests", "20"];
    let output = run(at(&balancer, &out, &words));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("401"), "{}", said(&output));
    let mut with_file = at(&balancer, &out, &words);
    with_file.arg("--token-file").arg(&file);
    assert_eq!(run(with_file).status.code(), Some(0));
    let mut with_variable = at(&balancer, &out, &words);
    with_variable.env("RINGHERD_ADMIN_TOKEN", TOKEN);
    assert_eq!(run(with_variable).status.code(), Some(0));
    for file in ["results.json", "summary.md", "index.html"] {
        assert!(!fs::read_to_string(out.join(file)).expect(file).contains(TOKEN), "{file} tells the token");
    }
}
