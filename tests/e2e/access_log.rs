//! The access log, as whoever reads it finds it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::common::folder::Folder;
use crate::common::origin::Origin;
use crate::common::{Balancer, request, wait_until};

fn lines(file: &str) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits until the file has so many lines; returns them as JSON.
fn entries(file: &str, count: usize) -> Vec<Value> {
    let lines =
        wait_until("the lines are written", || Some(lines(file)).filter(|lines| lines.len() >= count));
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Sends a request with these header lines; returns its answer.
fn send(address: SocketAddr, target: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n")
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn each_request_is_a_line_that_says_what_became_of_it() {
    let folder = Folder::new("json");
    let file = folder.file("log");
    let balancer = Balancer::start(&["--replicas", "1", "--access-log", &file]);
    balancer.wait_until_ready(1);
    send(balancer.public, "/home?a='b'", "X-Request-Id: 42\r\n");
    send(balancer.public, "/rep", "");
    request(balancer.admin, "DELETE", "/rm", Some(r#"{"n":1}"#));
    send(balancer.public, "/gone", "");
    let entries = entries(&file, 3);

    let first = &entries[0];
    assert_eq!(first["path"], "/home?a='b'");
    assert_eq!((&first["request_id"], &first["replica"]), (&"42".into(), &"Server 1".into()));
    assert_eq!(
        (&first["status"], &first["attempts"], &first["spilled"]),
        (&200.into(), &1.into(), &false.into())
    );
    assert_eq!((&first["client"], &first["method"]), (&"127.0.0.1".into(), &"GET".into()));
    let seconds = |key: &str| first[key].as_f64().expect("seconds");
    assert!(seconds("upstream") > 0.0 && seconds("connect") > 0.0);
    assert!(seconds("duration") >= seconds("upstream"), "{first}");
    assert!(first["slot"].is_u64() && first["bytes"].as_u64() > Some(0) && first.get("reason").is_none());

    assert_eq!((&entries[1]["replica"], &entries[1]["slot"]), (&"".into(), &Value::Null), "answered here");
    assert_eq!((&entries[2]["status"], &entries[2]["reason"]), (&503.into(), &"no-replica".into()));
}

#[test]
fn the_common_format_is_that_of_other_servers() {
    let folder = Folder::new("common");
    let file = folder.file("log");
    let balancer =
        Balancer::start(&["--replicas", "1", "--access-log", &file, "--access-log-format", "common"]);
    balancer.wait_until_ready(1);
    send(balancer.public, "/home", "");
    let line = wait_until("a line", || lines(&file).pop());
    let (head, tail) = line.split_once(" - - [").expect("host, ident, user");
    assert_eq!(head, "127.0.0.1");
    let (time, tail) = tail.split_once("] ").expect("a time");
    assert!(time.ends_with(" +0000") && time.matches(['/', ':']).count() == 5, "{time}");
    let bytes = r#"{"message":"Request routed to Server 1","status":"successful"}"#.len();
    assert_eq!(tail, format!("\"GET /home HTTP/1.1\" 200 {bytes}"));
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_answer_is_logged_as_gone() {
    let folder = Folder::new("gone");
    let file = folder.file("log");
    let endless = endless_replica();
    let balancer = Balancer::start(&["--upstream", &endless, "--access-log", &file]);
    balancer.wait_until_ready(1);
    let mut stream = TcpStream::connect(balancer.public).expect("it listens");
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    stream.read_exact(&mut [0; 1000]).expect("a part of the answer");
    drop(stream);
    let entries = entries(&file, 1);
    assert_eq!((&entries[0]["path"], &entries[0]["status"]), (&"/endless".into(), &200.into()));
    assert_eq!(entries[0]["reason"], "client-gone");
}

/// A replica whose answers have no end, but for heartbeats; it ends with the test.
fn endless_replica() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut head = [0; 1024];
                let read = stream.read(&mut head).unwrap_or(0);
                let end = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
                if head[..read].starts_with(b"GET /heartbeat") {
                    let _ = write!(stream, "{end}Content-Length: 0\r\n\r\n");
                    return;
                }
                let _ = write!(stream, "{end}\r\n");
                while stream.write_all(&[b'x'; 8192]).is_ok() {}
            });
        }
    });
    address
}

#[test]
fn after_a_rename_the_next_line_is_in_a_new_file() {
    let folder = Folder::new("rotate");
    let (file, old) = (folder.file("log"), folder.file("log.1"));
    let mut balancer = Balancer::start(&["--replicas", "1", "--access-log", &file]);
    balancer.wait_until_ready(1);
    send(balancer.public, "/first", "");
    entries(&file, 1);
    fs::rename(&file, &old).expect("a rename");
    balancer.signal(Signal::USR1);
    // The signal may come after the next lines: until then they go to the old file.
    wait_until("a line in the new file", || {
        send(balancer.public, "/next", "");
        (!lines(&file).is_empty()).then_some(())
    });
    balancer.wait_for_log("access log reopened");
    assert!(lines(&old)[0].contains("/first") && !lines(&file).iter().any(|line| line.contains("/first")));
}

#[test]
fn without_an_access_log_its_signal_does_nothing() {
    let mut balancer = Balancer::start(&["--replicas", "1"]);
    balancer.signal(Signal::USR1);
    balancer.wait_for_log("SIGUSR1 is ignored: there is no access log");
    balancer.wait_until_ready(1);
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error_at_the_start() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringherd"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--access-log", "/nowhere/log"])
        .output()
        .expect("it runs");
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(69), "{error}");
    assert!(error.contains("cannot open the access log /nowhere/log (--access-log): "), "{error}");
}

/// Requests for what the balancer answers itself, one after another on one connection.
fn ask_often(address: SocketAddr, times: usize) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let mut buffer = [0; 4096];
    for _ in 0..times {
        stream.write_all(b"GET /rep HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").expect("it reads");
        let read = stream.read(&mut buffer).expect("an answer");
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..read]));
    }
}

fn lost(balancer: &Balancer, why: &str) -> u64 {
    let metrics = request(balancer.admin, "GET", "/metrics", None).body;
    let name = format!("ringherd_access_log_lost_lines_total{{why=\"{why}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name)).expect("it is counted");
    line.parse().expect("a number")
}

#[test]
fn a_reader_that_stalls_or_leaves_costs_lines_and_nothing_else() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let balancer = Balancer::start_with(&["--replicas", "1", "--access-log", "stdout"], |command| {
        command.stdout(Stdio::from(writer));
    });
    balancer.wait_until_ready(1);
    // More than the pipe and the queue hold.
    ask_often(balancer.public, 10_000);
    assert!(lost(&balancer, "waiting") > 0);
    ask_often(balancer.public, 10);
    drop(reader);
    ask_often(balancer.public, 10);
    wait_until("it is seen that nobody reads", || (lost(&balancer, "writing") > 0).then_some(()));
    ask_often(balancer.public, 10);
}

#[test]
fn trace_context_is_passed_on_and_begun_where_asked_for() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let given = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-00\r\ntracestate: a=1\r\n");
    for how in ["pass", "start"] {
        let folder = Folder::new(how);
        let file = folder.file("log");
        let origin = Origin::start();
        let upstream = origin.address.to_string();
        let balancer =
            Balancer::start(&["--upstream", &upstream, "--access-log", &file, "--trace-context", how]);
        balancer.wait_until_ready(1);
        send(balancer.public, "/given", &given);
        send(balancer.public, "/none", "");
        let entries = entries(&file, 2);
        assert_eq!(entries[0]["trace_id"], TRACE);

        let of = |path: &str| origin.arrived(path).pop().expect("it came");
        assert_eq!(of("/given").header("traceparent"), [&given[13..68]], "as it was");
        assert_eq!(of("/given").header("tracestate"), ["a=1"]);
        let without = of("/none");
        let begun = without.header("traceparent");
        match entries[1].get("trace_id") {
            Some(id) => {
                let id = id.as_str().expect("text");
                assert_eq!((how, begun.len()), ("start", 1));
                assert!(begun[0].starts_with(&format!("00-{id}-")) && begun[0].ends_with("-01"), "{begun:?}");
            }
            None => assert_eq!((how, begun.len()), ("pass", 0)),
        }
    }
}

#[test]
fn a_stalled_reader_does_not_hold_up_the_end() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let args = ["--replicas", "1", "--access-log", "stdout", "--grace", "200ms"];
    let mut balancer = Balancer::start_with(&args, |command| {
        command.stdout(Stdio::from(writer));
    });
    balancer.wait_until_ready(1);
    ask_often(balancer.public, 2000);
    balancer.signal(Signal::TERM);
    balancer.wait_for_log("the end of the access log could not be written in time");
    assert!(balancer.wait().success());
    drop(reader);
}

#[test]
fn what_waits_is_written_before_the_end() {
    let folder = Folder::new("end");
    let file = folder.file("log");
    let mut balancer = Balancer::start(&["--replicas", "1", "--access-log", &file]);
    balancer.wait_until_ready(1);
    ask_often(balancer.public, 3000);
    balancer.signal(Signal::TERM);
    assert!(balancer.wait().success());
    assert_eq!(lines(&file).len(), 3000);
}

#[test]
fn a_pipe_is_refused_as_a_file() {
    let folder = Folder::new("fifo");
    let file = folder.file("fifo");
    let made = std::process::Command::new("mkfifo").arg(&file).status().expect("mkfifo");
    assert!(made.success());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringherd"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--access-log", &file])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("it is a pipe"), "{output:?}");
}
