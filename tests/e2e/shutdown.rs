//! How a balancer ends, and that nothing of it is left.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::common::held::held_replica;
use crate::common::load::read_answer;
use crate::common::{Balancer, PATIENCE, descendants, is_alive, request, wait_until};

fn all_gone(pids: &[rustix::process::Pid]) {
    wait_until("no replica is left", || pids.iter().all(|pid| !is_alive(*pid)).then_some(()));
}

#[test]
fn a_signal_stops_the_replicas_and_then_the_balancer() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut balancer = Balancer::start(&[]);
        let replicas = balancer.replica_pids();
        balancer.signal(signal);
        assert_eq!(balancer.wait().code(), Some(0));
        all_gone(&replicas);
    }
}

#[test]
fn what_is_in_flight_is_answered_before_the_end() {
    let held = held_replica();
    let mut balancer = Balancer::start(&["--upstream", &held.address]);
    balancer.wait_until_ready(1);
    let public = balancer.public;
    let client = std::thread::spawn(move || request(public, "GET", "/slow", None));
    held.arrived.recv_timeout(PATIENCE).expect("the request reaches the replica");
    balancer.signal(Signal::TERM);
    wait_until("it is not ready any more", || {
        (request(balancer.admin, "GET", "/readyz", None).status == 503).then_some(())
    });
    wait_until("nobody listens any more", || TcpStream::connect(public).is_err().then_some(()));
    held.release.send(()).expect("the replica waits");
    let answer = client.join().expect("no panic");
    assert_eq!((answer.status, answer.body.as_str()), (200, "held"));
    assert_eq!(balancer.wait().code(), Some(0));
}

/// A client with a connection it keeps may send on it in the very moment of the signal.
#[test]
fn a_request_on_a_kept_connection_is_not_lost_at_the_end() {
    let mut balancer = Balancer::start(&["--workers", "1", "--replicas", "1"]);
    let request = b"GET /home HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut clients: Vec<_> = (0..10)
        .map(|_| {
            let stream = TcpStream::connect(balancer.public).expect("it listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            let mut client = BufReader::new(stream);
            client.get_mut().write_all(request).expect("it reads");
            assert!(read_answer(&mut client).is_ok());
            client
        })
        .collect();
    // All of it happens while the balancer cannot look.
    balancer.signal(Signal::STOP);
    for client in &mut clients {
        client.get_mut().write_all(request).expect("the kernel takes it");
    }
    balancer.signal(Signal::TERM);
    balancer.signal(Signal::CONT);
    for client in &mut clients {
        assert!(read_answer(client).is_ok(), "an answer, not the end");
    }
    assert_eq!(balancer.wait().code(), Some(0));
}

/// Replicas that never come up must not hold up the end for as long as they may try.
#[test]
fn an_unfinished_add_does_not_hold_up_the_end() {
    let mut balancer = Balancer::start(&[
        "--replicas",
        "0",
        "--replica-command",
        "sleep 1000 {port}",
        "--start-timeout",
        "1h",
        "--grace",
        "1h",
    ]);
    let admin = balancer.admin;
    let client = std::thread::spawn(move || request(admin, "POST", "/add", Some(r#"{"n":2}"#)));
    wait_until("they are being started", || (descendants(balancer.pid()).len() >= 2).then_some(()));
    let started = descendants(balancer.pid());
    balancer.signal(Signal::TERM);
    let answer = client.join().expect("no panic");
    assert_eq!((answer.status, answer.header("x-ringherd-error")), (503, Some("stopping")));
    assert_eq!(balancer.wait().code(), Some(0));
    all_gone(&started);
}

#[test]
fn grace_and_patience_end() {
    // Nobody lets the request go: once the grace time, once a second signal ends the wait.
    for (grace, code) in [("100ms", 0), ("1h", 143)] {
        let held = held_replica();
        let mut balancer = Balancer::start(&["--upstream", &held.address, "--grace", grace]);
        balancer.wait_until_ready(1);
        let public = balancer.public;
        let client = std::thread::spawn(move || {
            std::panic::catch_unwind(|| request(public, "GET", "/slow", None)).is_err()
        });
        held.arrived.recv_timeout(PATIENCE).expect("the request reaches the replica");
        balancer.signal(Signal::TERM);
        balancer.wait_for_log("stopping; a second signal stops at once");
        if code != 0 {
            balancer.signal(Signal::TERM);
        }
        assert_eq!(balancer.wait().code(), Some(code), "grace {grace}");
        assert!(client.join().expect("caught"), "the request is cut off");
    }
}

#[test]
fn no_replica_outlives_a_killed_balancer() {
    let mut balancer = Balancer::start(&[]);
    let replicas = balancer.replica_pids();
    balancer.signal(Signal::KILL);
    balancer.wait();
    all_gone(&replicas);
}

#[test]
fn a_taken_address_is_an_error_that_says_so() {
    let balancer = Balancer::start(&["--replicas", "0"]);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringherd"))
        .args(["--listen", &balancer.public.to_string(), "--admin-listen", "127.0.0.1:0"])
        .env("RUST_BACKTRACE", "1")
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains(&format!("cannot listen on {}", balancer.public)), "{said}");
    assert!(!said.contains("backtrace") && !said.contains("panicked"), "{said}");
}
