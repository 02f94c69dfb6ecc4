//! Running out of descriptors is not the replicas' fault.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use crate::common::{Balancer, request, wait_until};

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
