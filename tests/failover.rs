//! What clients notice when replicas die, come and go: nothing. Each test prints its figures.
//!
//! A binary of its own, one test at a time, so that no other test's load disturbs the gaps.

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::load::Load;
use common::origin::Origin;
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
    assert!(gap < Duration::from_millis(500), "longest gap {gap:?}");
    assert!(healed < Duration::from_secs(2), "healed after {healed:?}");
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
        assert!(*at >= killed && *at < killed + Duration::from_secs(1), "{why}");
        assert!(why.contains("closed the connection before its answer"), "{why}");
    }
}

/// Many requests lose their replica at once, and each of their repetitions takes long.
#[test]
fn no_get_fails_when_a_slow_replica_dies() {
    let _alone = alone();
    let origins = [Origin::start(), Origin::start(), Origin::start()];
    let upstreams = origins.each_ref().map(|origin| origin.address.to_string());
    let balancer = Balancer::start(&[
        "--upstream",
        &upstreams[0],
        "--upstream",
        &upstreams[1],
        "--upstream",
        &upstreams[2],
    ]);
    balancer.wait_until_ready(3);
    let public = balancer.public;
    let clients: Vec<_> = (0..60)
        .map(|client| {
            std::thread::spawn(move || {
                let get = |round| request(public, "GET", &format!("/slow/{client}/{round}"), None).status;
                (0..5).map(get).filter(|status| *status != 200).collect::<Vec<_>>()
            })
        })
        .collect();
    wait_until("all are under way", || (origins[1].arrived("/slow").len() > 10).then_some(()));
    origins[1].die();
    let failed: Vec<_> = clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
    println!("a slow replica dies under 60 GETs at a time: {} of 300 failed", failed.len());
    assert_eq!(failed, [0_u16; 0]);
}

/// What a replica had begun when it died may have been done: nobody else is sent it.
#[test]
fn no_post_is_sent_twice_when_its_replica_dies() {
    let _alone = alone();
    let origins = [Origin::start(), Origin::start(), Origin::start()];
    let upstreams = origins.each_ref().map(|origin| origin.address.to_string());
    let balancer = Balancer::start(&[
        "--upstream",
        &upstreams[0],
        "--upstream",
        &upstreams[1],
        "--upstream",
        &upstreams[2],
    ]);
    balancer.wait_until_ready(3);
    let public = balancer.public;
    let clients: Vec<_> = (0..20)
        .map(|client| {
            std::thread::spawn(move || {
                let post =
                    |round| request(public, "POST", &format!("/slow/{client}/{round}"), Some("x")).status;
                (0..5).map(post).filter(|status| *status != 200).count()
            })
        })
        .collect();
    wait_until("all are under way", || (origins[1].arrived("/slow").len() > 3).then_some(()));
    origins[1].die();
    let failed: usize = clients.into_iter().map(|client| client.join().expect("no panic")).sum();
    let mut arrived: Vec<_> = origins.iter().flat_map(|origin| origin.arrived("/slow")).collect();
    let sent = arrived.len();
    arrived.sort_by(|one, other| one.head.cmp(&other.head));
    arrived.dedup_by_key(|arrived| arrived.head.split(' ').nth(1).map(str::to_owned));
    println!("a replica dies under POSTs: {failed} of 100 failed, {} arrived twice", sent - arrived.len());
    assert_eq!(sent, arrived.len(), "some arrived twice");
    assert!(failed <= 20, "only what was in flight fails: {failed}");
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
