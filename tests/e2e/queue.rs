//! The cap of requests for each replica, and the queue of those that find all replicas full.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use crate::common::backend::Backend;
use crate::common::client::Answer;
use crate::common::{Balancer, before, metric, request, wait_until};

fn get(public: SocketAddr, path: &str) -> JoinHandle<Answer> {
    let path = path.to_owned();
    std::thread::spawn(move || request(public, "GET", &path, None))
}

fn queued(balancer: &Balancer) -> u64 {
    metric(balancer, "ringherd_requests_queued", &[("pool", "default")])
}

fn wait_for_queue(balancer: &Balancer, length: u64) {
    wait_until("requests wait", || (queued(balancer) == length).then_some(()));
}

const PATIENT: [&str; 2] = ["--queue-timeout", "30s"];

#[test]
fn a_cap_is_never_exceeded_and_all_that_wait_are_served() {
    let backends = [Backend::start("one"), Backend::start("two")];
    let balancer = before(&backends, &["--max-requests-per-replica", "2", PATIENT[0], PATIENT[1]]);
    backends.iter().for_each(Backend::hold);
    let clients: Vec<_> = (0..24).map(|n| get(balancer.public, &format!("/{n}"))).collect();
    wait_for_queue(&balancer, 20);
    // What is not in the queue is on its way.
    let at_once = || (backends[0].at_once(), backends[1].at_once());
    wait_until("both are full", || (at_once() == (2, 2)).then_some(()));
    backends.iter().for_each(Backend::release);
    for client in clients {
        assert_eq!(client.join().expect("an answer").status, 200);
    }
    assert_eq!((backends[0].most(), backends[1].most()), (2, 2));
    assert_eq!(queued(&balancer), 0);
    assert_eq!(metric(&balancer, "ringherd_queued_requests_total", &[]), 20);
}

#[test]
fn who_waits_longest_is_first() {
    let backends = [Backend::start("one")];
    // One worker, so that there is one queue.
    let upstream = backends[0].address.to_string();
    let args = ["--upstream", &upstream, "--workers", "1", "--max-requests-per-replica", "1"];
    let balancer = Balancer::start(&[&args[..], &PATIENT].concat());
    balancer.wait_until_ready(1);
    backends[0].hold();
    let mut clients = vec![get(balancer.public, "/first")];
    wait_until("it is busy", || (backends[0].at_once() == 1).then_some(()));
    for n in 0..4 {
        clients.push(get(balancer.public, &format!("/{n}")));
        wait_for_queue(&balancer, n + 1);
    }
    backends[0].release();
    for client in clients {
        assert_eq!(client.join().expect("an answer").status, 200);
    }
    let paths: Vec<_> = backends[0].heads().iter().map(|head| head[..10].to_owned()).collect();
    let expected = ["GET /first", "GET /0 HTT", "GET /1 HTT", "GET /2 HTT", "GET /3 HTT"];
    assert_eq!(paths, expected);
}

#[test]
fn the_next_replica_takes_what_is_above_the_cap() {
    let backends = [Backend::start("one"), Backend::start("two")];
    let balancer = before(&backends, &["--max-requests-per-replica", "1", "--key", "path"]);
    let home = request(balancer.public, "GET", "/x", None).body;
    let (home, other) = if home == "one" { (0, 1) } else { (1, 0) };
    backends[home].hold();
    let held = get(balancer.public, "/x");
    wait_until("it is busy", || (backends[home].at_once() == 1).then_some(()));
    assert_eq!(request(balancer.public, "GET", "/x", None).body, ["one", "two"][other]);
    assert_eq!(metric(&balancer, "ringherd_spills_total", &[("owner", "full")]), 1);
    backends[home].release();
    assert_eq!(held.join().expect("an answer").status, 200);
}

#[test]
fn a_full_queue_and_a_long_wait_are_told_apart() {
    let backends = [Backend::start("one")];
    let args = ["--max-requests-per-replica", "1", "--queue", "1", "--queue-timeout", "5s"];
    let balancer = before(&backends, &args);
    backends[0].hold();
    let held = get(balancer.public, "/held");
    wait_until("it is busy", || (backends[0].at_once() == 1).then_some(()));
    let waiting = get(balancer.public, "/waiting");
    wait_for_queue(&balancer, 1);
    let refused = request(balancer.public, "GET", "/refused", None);
    assert_eq!((refused.status, refused.header("x-ringherd-error")), (503, Some("overloaded")));
    assert_eq!(refused.header("retry-after"), Some("1"));
    let late = waiting.join().expect("an answer");
    assert_eq!((late.status, late.header("x-ringherd-error")), (503, Some("queue-timeout")));
    assert_eq!(late.header("retry-after"), Some("1"));
    backends[0].release();
    assert_eq!(held.join().expect("an answer").status, 200);
    assert_eq!(metric(&balancer, "ringherd_request_failures_total", &[("reason", "overloaded")]), 1);
    assert_eq!(backends[0].served(), 1);
}

#[test]
fn a_client_that_leaves_gives_its_place_up() {
    use std::io::Write;
    let backends = [Backend::start("one")];
    let balancer = before(&backends, &["--max-requests-per-replica", "1", PATIENT[0], PATIENT[1]]);
    backends[0].hold();
    let held = get(balancer.public, "/held");
    wait_until("it is busy", || (backends[0].at_once() == 1).then_some(()));
    let mut leaves = std::net::TcpStream::connect(balancer.public).expect("it listens");
    leaves.write_all(b"GET /leaves HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    wait_for_queue(&balancer, 1);
    drop(leaves);
    wait_for_queue(&balancer, 0);
    backends[0].release();
    assert_eq!(held.join().expect("an answer").status, 200);
    assert_eq!(request(balancer.public, "GET", "/after", None).status, 200);
    assert_eq!(backends[0].served(), 2, "nobody asked for it any more");
}

#[test]
fn where_nobody_may_be_picked_nobody_waits_for_room() {
    let backends = [Backend::start("one")];
    let balancer = before(&backends, &["--max-requests-per-replica", "1"]);
    let path = "/replicas/Server%201";
    assert_eq!(request(balancer.admin, "PUT", path, Some(r#"{"weight":0}"#)).status, 200);
    let refused = request(balancer.public, "GET", "/x", None);
    assert_eq!((refused.status, refused.header("x-ringherd-error")), (503, Some("no-replica")));
    assert_eq!(metric(&balancer, "ringherd_queued_requests_total", &[]), 0);
}

#[test]
fn a_cap_that_is_taken_away_lets_all_in() {
    use rustix::process::Signal;
    let backends = [Backend::start("one")];
    let path = std::env::temp_dir().join(format!("ringherd-queue-{}.toml", std::process::id()));
    let write = |cap: u32| {
        let text = format!("[queue]\nmax-requests-per-replica = {cap}\ntimeout = '30s'\n");
        std::fs::write(&path, text).expect("it can be written");
    };
    write(1);
    let mut balancer = before(&backends, &["--config", path.to_str().expect("UTF-8")]);
    backends[0].hold();
    let clients: Vec<_> = (0..6).map(|n| get(balancer.public, &format!("/{n}"))).collect();
    wait_for_queue(&balancer, 5);
    write(0);
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("configuration reloaded");
    wait_until("all are let in", || (backends[0].at_once() == 6).then_some(()));
    let last = get(balancer.public, "/last");
    wait_until("the last too", || (backends[0].at_once() == 7).then_some(()));
    backends[0].release();
    for client in clients.into_iter().chain([last]) {
        assert_eq!(client.join().expect("an answer").status, 200);
    }
    std::fs::remove_file(&path).expect("it was there");
}
