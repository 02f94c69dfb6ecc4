//! Running out of descriptors is not the replicas' fault.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use crate::common::{Balancer, metric, request, wait_until};

/// Runs the balancer with at most `limit` descriptors, soft and hard.
fn limited(command: &mut Command, limit: u32) {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    shell.stderr(std::process::Stdio::piped());
    *command = shell;
}

#[test]
fn idle_clients_cannot_take_the_replicas_descriptors() {
    let balancer = Balancer::start_with(
        &["--replicas", "2", "--max-replicas", "4", "--replace-after", "1s", "--workers", "1"],
        |command| limited(command, 256),
    );
    let before = balancer.wait_until_ready(2);
    // More than there is room for: the rest waits in the kernel's queue.
    let mut idle: Vec<TcpStream> = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(balancer.public).expect("the kernel accepts it");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX: ").expect("the kernel takes it");
        idle.push(stream);
    }
    // Long enough for a verdict on every replica, were there to be one.
    let beats = |balancer: &Balancer| balancer.ring().iter().all(|replica| replica["state"] == "ready");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(3);
    wait_until("three seconds without a verdict", || {
        assert!(beats(&balancer), "{:?}", balancer.ring());
        (std::time::Instant::now() > end).then_some(())
    });
    drop(idle);
    assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
    let after = balancer.ring();
    let instances =
        |ring: &[serde_json::Value]| ring.iter().map(|r| r["instance"].clone()).collect::<Vec<_>>();
    assert_eq!(instances(&before), instances(&after), "none was replaced");
}

#[test]
fn the_limit_on_connections_follows_the_replicas_that_exist() {
    let args = ["--replicas", "2", "--max-replicas", "4000", "--workers", "1"];
    let balancer = Balancer::start_with(&args, |command| limited(command, 256));
    let allowed = || metric(&balancer, "ringherd_connections_max", &[]);
    let with_two = allowed();
    assert!(with_two >= 64, "{with_two}");
    // As many at the same time, each with a request under way.
    let mut clients: Vec<_> = (0..with_two)
        .map(|_| {
            let mut stream = TcpStream::connect(balancer.public).expect("it listens");
            stream.write_all(b"GET /home HTTP/1.1\r\nHost: a\r\n\r\n").expect("the kernel takes it");
            std::io::BufReader::new(stream)
        })
        .collect();
    assert!(clients.iter_mut().all(|client| crate::common::load::read_answer(client).is_ok()));
    drop(clients);
    assert_eq!(request(balancer.public, "POST", "/add", Some(r#"{"n":4}"#)).status, 200);
    wait_until("the limit has followed", || (allowed() == with_two - 16).then_some(()));
    assert_eq!(request(balancer.public, "DELETE", "/rm", Some(r#"{"n":4}"#)).status, 200);
    wait_until("the limit has followed", || (allowed() == with_two).then_some(()));
}

#[test]
fn too_few_descriptors_are_told_before_anything_starts() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringherd"));
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--workers", "1"]);
    limited(&mut command, 40);
    let output = command.output().expect("the shell starts");
    assert_eq!(output.status.code(), Some(71));
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("the limit on open files is 40") && said.contains("ulimit -n"), "{said}");
}
