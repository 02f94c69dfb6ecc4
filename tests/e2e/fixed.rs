//! Replicas that others run: `--runtime fixed`.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::nobody::Nobody;
use crate::common::{Balancer, request, wait_until};

/// A replica that the test runs itself.
struct Upstream {
    child: Child,
    address: SocketAddr,
}

impl Upstream {
    fn start(name: &str) -> Self {
        Self::start_at(name, "127.0.0.1:0")
    }

    fn start_at(name: &str, listen: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringherd"))
            .args(["replica", "--name", name, "--listen", listen])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it reports");
        let report: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let address = report["listening"].as_str().expect("an address").parse().expect("an address");
        Self { child, address }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_hung_replica_is_ejected_and_comes_back() {
    let (first, second) = (Upstream::start("one"), Upstream::start("two"));
    let upstreams = [first.address.to_string(), second.address.to_string()];
    let balancer = Balancer::start(&["--upstream", &upstreams[0], "--upstream", &upstreams[1]]);
    balancer.wait_until_ready(2);
    first.signal(Signal::STOP);
    wait_until("the hung one is ejected", || (balancer.ring()[0]["state"] == "ejected").then_some(()));
    for _ in 0..10 {
        let answer = request(balancer.public, "GET", "/home", None);
        assert_eq!(answer.json()["message"], "Request routed to two");
    }
    first.signal(Signal::CONT);
    balancer.wait_until_ready(2);
}

/// One that does not answer must not keep the others from serving.
#[test]
fn a_dead_upstream_is_noted_and_the_others_serve() {
    let alive = Upstream::start("one");
    let dead = Nobody::new();
    let mut balancer =
        Balancer::start(&["--upstream", &dead.address.to_string(), "--upstream", &alive.address.to_string()]);
    for _ in 0..10 {
        assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
    }
    let ring = balancer.ring();
    assert_eq!((&ring[0]["state"], &ring[1]["state"]), (&"starting".into(), &"ready".into()));
    assert!(ring[0]["note"].as_str().is_some_and(|note| note.contains("cannot connect")), "{ring:?}");
    let event = balancer.find_log("it is told", |event| event["message"] == "replica is not ready");
    assert_eq!((&event["level"], &event["replica"]), (&"WARN".into(), &"Server 1".into()));
    let reason = event["reason"].as_str().expect("text");
    assert!(reason.contains("cannot connect") && reason.ends_with("correct --upstream"), "{reason}");
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn replicas_are_added_by_address_and_never_healed() {
    let (first, second) = (Upstream::start("one"), Upstream::start("two"));
    let balancer = Balancer::start(&["--upstream", &first.address.to_string()]);
    let without = request(balancer.admin, "POST", "/add", Some(r#"{"n":1}"#));
    assert_eq!(without.status, 400, "{without:?}");
    // As --upstream takes it, and no other way.
    let bad = request(balancer.admin, "POST", "/add", Some(r#"{"n":1,"endpoints":["-a:80"]}"#));
    assert_eq!((bad.status, bad.header("x-ringherd-error")), (400, Some("bad-request")), "{bad:?}");
    let add = format!(r#"{{"n":1,"hostnames":["Two"],"endpoints":["{}"]}}"#, second.address);
    let added = request(balancer.admin, "POST", "/add", Some(&add));
    assert_eq!(added.status, 200, "{added:?}");
    assert_eq!(balancer.replicas(), ["Server 1", "Two"]);
    drop(second);
    wait_until("the dead one is ejected", || (balancer.ring()[1]["state"] == "ejected").then_some(()));
    assert_eq!(balancer.replicas(), ["Server 1", "Two"], "it keeps its place");
    for _ in 0..10 {
        assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
    }
}

/// A server on one loopback address, and a socket that keeps its port of the other one from servers of other
/// tests. It does not listen.
fn at_one_loopback_address(listen: &str) -> (Upstream, socket2::Socket) {
    loop {
        let upstream = Upstream::start_at("one", listen);
        let mut other = upstream.address;
        other.set_ip(if other.is_ipv4() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() });
        let socket = socket2::Socket::new(socket2::Domain::for_address(other), socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        // Where there is no IPv6, nobody has its ports.
        if socket.bind(&other.into()).is_ok() || other.is_ipv6() {
            return (upstream, socket);
        }
    }
}

#[test]
fn localhost_is_either_loopback_address() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        if std::net::TcpListener::bind(listen).is_err() {
            println!("skipped: no IPv6");
            continue;
        }
        let (upstream, _reserved) = at_one_loopback_address(listen);
        let balancer = Balancer::start(&["--upstream", &format!("localhost:{}", upstream.address.port())]);
        let ring = balancer.wait_until_ready(1);
        assert_eq!(ring[0]["address"], upstream.address.to_string());
        let answer = request(balancer.public, "GET", "/home", None);
        assert_eq!(answer.json()["message"], "Request routed to one");
    }
}

/// As a server does that restarts: the old process still serves its connections, and the new one has
/// not begun to listen.
#[test]
fn a_replica_that_takes_no_new_connections_is_ejected() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let upstream = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (kept, _) = listener.accept().expect("a heartbeat");
        drop(listener);
        let mut lines = BufReader::new(&kept).lines().map_while(Result::ok);
        while lines.find(String::is_empty).is_some() {
            let _ = (&kept).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let balancer = Balancer::start(&["--upstream", &upstream.to_string()]);
    balancer.wait_until_ready(1);
    assert_eq!(request(balancer.public, "GET", "/home", None).status, 503);
    wait_until("it is ejected", || (balancer.ring()[0]["state"] == "ejected").then_some(()));
}
