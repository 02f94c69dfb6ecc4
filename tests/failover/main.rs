//! What clients notice when replicas die, come and go: nothing. Each test prints its figures.
//!
//! A binary of its own, one test at a time, so that no other test's load disturbs the gaps.

#[path = "../common/mod.rs"]
mod common;
mod deploys;
mod program;
mod tunnels;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::load::{Load, Wire};
use common::origin::Origin;
use common::tls::{Pair, TlsClient};
use common::{Balancer, request, wait_until};
use rustix::process::{Signal, kill_process};

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requests a second while something happens.
const RATE: u32 = 400;
const CLIENTS: u32 = 32;

/// Good answers that must have come before and after an event for it to count as under load.
const ENOUGH: u64 = 200;

fn wait_for_requests(balancer: &Balancer, more: u64) {
    let total = |balancer: &Balancer| {
        balancer.ring().iter().map(|replica| replica["requests"].as_u64().expect("a number")).sum::<u64>()
    };
    let goal = total(balancer) + more;
    wait_until("requests go on", || (total(balancer) >= goal).then_some(()));
}

/// Kills a replica under load; returns when it happened and how long until its replacement was
/// ready.
fn kill_one(balancer: &Balancer) -> (Instant, Duration) {
    let victim = balancer.replica_pid("Server 2");
    let killed = Instant::now();
    kill_process(victim, Signal::KILL).expect("it runs");
    wait_until("the replacement is on the ring", || {
        let ring = balancer.ring();
        (ring[1]["name"] != "Server 2" && ring[1]["state"] == "ready").then_some(())
    });
    (killed, killed.elapsed())
}

#[test]
fn no_get_fails_when_a_replica_is_killed() {
    let _alone = alone();
    let balancer = Balancer::start(&[]);
    let load = Load::start(balancer.public, CLIENTS, RATE, "GET");
    wait_for_requests(&balancer, ENOUGH);
    let (killed, healed) = kill_one(&balancer);
    wait_for_requests(&balancer, ENOUGH);
    let report = load.stop();
    let gap = report.longest_gap(killed);
    println!(
        "kill -9 under {RATE} GET/s: {} good, {} failed, longest gap {gap:?}, replacement ready after {healed:?}",
        report.good.len(),
        report.failed.len(),
    );
    assert_eq!(report.failed, []);
}

/// Everything at once that clients must not notice: a kill, replicas that come and go, another ring, a reload.
fn disturb(balancer: &mut Balancer) {
    wait_for_requests(balancer, ENOUGH);
    kill_one(balancer);
    wait_for_requests(balancer, ENOUGH);
    let body = Some(r#"{"n":1,"hostnames":["Came"]}"#);
    for (method, path) in [("POST", "/add"), ("DELETE", "/rm")] {
        let changed = request(balancer.public, method, path, body);
        assert_eq!(changed.status, 200, "{changed:?}");
        wait_for_requests(balancer, ENOUGH);
    }
    let changed = request(balancer.admin, "PUT", "/ring", Some(r#"{"placement":"rendezvous"}"#));
    assert_eq!(changed.status, 200, "{changed:?}");
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("configuration reloaded");
    wait_for_requests(balancer, ENOUGH);
}

#[test]
fn nothing_fails_over_tls() {
    let _alone = alone();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("failover-tls");
    std::fs::create_dir_all(&folder).expect("a folder");
    let pair = Pair::write(&folder, "t", &["t.test"], 30);
    let text = |path: &std::path::Path| path.to_str().expect("text").to_owned();
    let (cert, key) = (text(&pair.cert), text(&pair.key));
    let tls = ["--tls-listen", "127.0.0.1:0", "--tls-certificate", &cert, "--tls-key", &key];
    let mut balancer = Balancer::start(&tls);
    let event = balancer.find_log("it listens for TLS", |event| event["message"] == "listening for TLS");
    let address = event["address"].as_str().expect("an address").parse().expect("an address");
    let wire = Wire::Tls(TlsClient::trusting([&pair.der]), "t.test");
    let load = Load::over(&wire, address, CLIENTS, RATE, "GET");
    disturb(&mut balancer);
    let report = load.stop();
    println!("all at once under {RATE} GET/s over TLS: {} good", report.good.len());
    assert_eq!(report.failed, []);
}

#[test]
fn nothing_fails_over_http2() {
    let _alone = alone();
    let mut balancer = Balancer::start(&[]);
    let load = Load::over(&Wire::Http2, balancer.public, CLIENTS, RATE, "GET");
    disturb(&mut balancer);
    let report = load.stop();
    println!("all at once under {RATE} GET/s over HTTP/2: {} good", report.good.len());
    assert_eq!(report.failed, []);
}

#[test]
fn only_posts_in_flight_on_a_killed_replica_fail() {
    let _alone = alone();
    let balancer = Balancer::start(&[]);
    let load = Load::start(balancer.public, CLIENTS, RATE, "POST");
    wait_for_requests(&balancer, ENOUGH);
    let (killed, healed) = kill_one(&balancer);
    wait_for_requests(&balancer, ENOUGH);
    let report = load.stop();
    println!(
        "kill -9 under {RATE} POST/s: {} good, {} failed, replacement ready after {healed:?}",
        report.good.len(),
        report.failed.len()
    );
    // At most what each client had in flight at that moment, and nothing before or later.
    assert!(report.failed.len() <= CLIENTS as usize, "{:?}", report.failed);
    for (at, why) in &report.failed {
        assert!(*at >= killed, "{why}");
        assert!(why.contains("closed the connection before its response"), "{why}");
    }
}

/// Requests that take long, one of three replicas dying under them.
struct SlowDeath {
    origins: [Origin; 3],
    /// Statuses other than 200.
    failed: Vec<u16>,
}

/// Each of `clients` clients sends five requests to replicas that take 300 ms for an answer; once
/// some are at the second replica, that dies.
fn slow_death(clients: usize, method: &'static str, body: Option<&'static str>) -> SlowDeath {
    let origins = [Origin::start(), Origin::start(), Origin::start()];
    let upstreams = origins.each_ref().map(|origin| origin.address.to_string());
    let balancer = Balancer::start(&["--upstream", &upstreams.join(",")]);
    balancer.wait_until_ready(3);
    let public = balancer.public;
    let send = move |path: String| request(public, method, &path, body).status;
    let rounds = move |client| (0..5).map(move |round| send(format!("/slow/{client}/{round}")));
    let clients: Vec<_> = (0..clients)
        .map(|client| std::thread::spawn(move || rounds(client).filter(|status| *status != 200).collect()))
        .collect();
    wait_until("some are under way", || (origins[1].arrived("/slow").len() > 3).then_some(()));
    origins[1].die();
    let failed: Vec<Vec<u16>> = clients.into_iter().map(|client| client.join().expect("no panic")).collect();
    SlowDeath { origins, failed: failed.concat() }
}

/// Many requests lose their replica at once, and each of their repetitions takes long.
#[test]
fn no_get_fails_when_a_slow_replica_dies() {
    let _alone = alone();
    let SlowDeath { failed, .. } = slow_death(60, "GET", None);
    println!("a slow replica dies under 60 GETs at a time: {} of 300 failed", failed.len());
    assert_eq!(failed, [0_u16; 0]);
}

/// What a replica had begun when it died may have been done: nobody else is sent it.
#[test]
fn no_post_is_sent_twice_when_its_replica_dies() {
    let _alone = alone();
    let SlowDeath { origins, failed } = slow_death(20, "POST", Some("x"));
    let arrived: Vec<_> = origins.iter().flat_map(|origin| origin.arrived("/slow")).collect();
    let paths: HashSet<_> = arrived.iter().map(|arrived| arrived.head.split(' ').nth(1)).collect();
    let twice = arrived.len() - paths.len();
    println!(
        "a slow replica dies under 20 POSTs at a time: {} of 100 failed, {twice} arrived twice",
        failed.len()
    );
    assert_eq!(twice, 0);
    assert!(failed.len() <= 20, "only what was in flight fails: {failed:?}");
}

#[test]
fn nothing_fails_while_replicas_come_and_go() {
    let _alone = alone();
    let balancer = Balancer::start(&[]);
    let load = Load::start(balancer.public, CLIENTS, RATE, "GET");
    let body = Some(r#"{"n":2,"hostnames":["Came","Went"]}"#);
    for _ in 0..5 {
        let added = request(balancer.public, "POST", "/add", body);
        assert_eq!(added.status, 200, "{added:?}");
        wait_for_requests(&balancer, ENOUGH);
        let ring = balancer.ring();
        let requests = |name: &str| {
            ring.iter().find(|r| r["name"] == name).map_or(0, |r| r["requests"].as_u64().unwrap_or(0))
        };
        // Far from what chance explains, yet far from a replica that is hardly asked.
        let fair = ENOUGH / 5;
        for name in ["Came", "Went"] {
            assert!(requests(name) >= fair / 3, "{name} has {} of about {fair} requests", requests(name));
        }
        let removed = request(balancer.public, "DELETE", "/rm", body);
        assert_eq!(removed.status, 200, "{removed:?}");
    }
    let report = load.stop();
    println!(
        "/add and /rm in a loop under {RATE} GET/s: {} good, {} failed, by replica {:?}",
        report.good.len(),
        report.failed.len(),
        report.bodies
    );
    assert_eq!(report.failed, []);
}

#[test]
fn nothing_fails_while_the_ring_is_rebuilt() {
    let _alone = alone();
    let balancer = Balancer::start(&[]);
    let load = Load::start(balancer.public, CLIENTS, RATE, "GET");
    for ring in [
        r#"{"family":"classic","slots":512,"virtual_nodes":9}"#,
        r#"{"placement":"rendezvous"}"#,
        r#"{"family":"modified","placement":"ring","slots":65539,"virtual_nodes":256}"#,
    ]
    .repeat(3)
    {
        let changed = request(balancer.admin, "PUT", "/ring", Some(ring));
        assert_eq!(changed.status, 200, "{changed:?}");
        wait_for_requests(&balancer, 20);
    }
    let report = load.stop();
    println!("nine rebuilds under {RATE} GET/s: {} good, {} failed", report.good.len(), report.failed.len());
    assert_eq!(report.failed, []);
}

#[test]
fn when_all_die_clients_are_told_to_come_back_and_all_are_replaced() {
    let _alone = alone();
    let balancer = Balancer::start(&[]);
    for pid in balancer.replica_pids() {
        kill_process(pid, Signal::KILL).expect("it runs");
    }
    let killed = Instant::now();
    let answer = request(balancer.public, "GET", "/home", None);
    println!("all killed: first answer {} after {:?}", answer.status, killed.elapsed());
    // Replaced already, or not listening, or dying with the request in their hands.
    match (answer.status, answer.header("x-ringherd-error")) {
        (200, None) | (502, Some("upstream-closed")) => {}
        (503, Some(_)) => assert_eq!(answer.header("retry-after"), Some("1")),
        _ => panic!("{answer:?}"),
    }
    balancer.wait_until_ready(3);
    println!("all killed: three ready again after {:?}", killed.elapsed());
    assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
}
