//! What clients notice when containers die, hang, or are stopped by others. The tests print how long
//! things took; a bound on that would fail on a busy machine.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cluster::{Cluster, alone, docker, events};
use crate::common::load::Load;
use crate::common::{request, wait_until};
use crate::engine::{self, Pool};

/// Requests a second while something happens.
const RATE: u32 = 400;
const CLIENTS: u32 = 32;
/// Good answers that must have come before and after an event for it to count as under load.
const ENOUGH: u64 = 200;

#[test]
fn no_get_fails_when_a_container_is_killed() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let load = Load::start(cluster.balancer.public, CLIENTS, RATE, "GET");
    cluster.wait_for_requests(ENOUGH);
    let (before, began) = (Instant::now(), SystemTime::now());
    docker(&["kill", "-s", "KILL", &cluster.container("Server 2")]);
    cluster.wait_for_change(1, "Server 2", "ready");
    let seen = SystemTime::now();
    cluster.wait_for_replacement(1, "Server 2");
    let healed = before.elapsed();
    // The engine tells of the signal before it tells of the end.
    let out = seen.duration_since(death(&cluster.pool, began)).unwrap_or_default();
    cluster.wait_for_requests(ENOUGH);
    let report = load.stop();
    let gap = report.longest_gap(before);
    println!(
        "docker kill under {RATE} GET/s: {} good, {} failed, longest gap {gap:?}, out of the choice after \
         {out:?}, replacement ready after {healed:?}",
        report.good.len(),
        report.failed.len(),
    );
    assert_eq!(report.failed, []);
}

/// Off the ring, drained, told to end, removed: nobody notices, whatever the method.
#[test]
fn nothing_fails_when_containers_are_added_and_removed() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let load = Load::start(cluster.balancer.public, CLIENTS, RATE, "POST");
    cluster.wait_for_requests(ENOUGH);
    let body = r#"{"n":2,"hostnames":["S4","S5"]}"#;
    for _ in 0..3 {
        let added = cluster.add(body);
        assert_eq!(added.status, 200, "{added:?}");
        cluster.wait_for_requests(ENOUGH);
        let removed = request(cluster.balancer.admin, "DELETE", "/rm", Some(body));
        assert_eq!(removed.status, 200, "{removed:?}");
    }
    wait_until("the removed ones are gone", || (cluster.containers().len() == 3).then_some(()));
    let report = load.stop();
    let seen = |name: &str| report.bodies.keys().any(|body| body.contains(name));
    println!("/add and /rm under {RATE} POST/s: {} good, {} failed", report.good.len(), report.failed.len());
    assert_eq!(report.failed, []);
    assert!(seen("S4") && seen("S5"), "{:?}", report.bodies);
}

/// When the engine told of the first death in a pool since `since`, by its own clock.
fn death(pool: &Pool, since: SystemTime) -> SystemTime {
    let events = events(pool, since, &["die"], "{{.TimeNano}}");
    let first = events.lines().next().expect("one died").parse().expect("nanoseconds");
    UNIX_EPOCH + Duration::from_nanos(first)
}

#[test]
fn a_container_that_others_stop_finishes_its_requests() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let load = Load::start(cluster.balancer.public, CLIENTS, RATE, "POST");
    cluster.wait_for_requests(ENOUGH);
    let before = Instant::now();
    docker(&["stop", &cluster.container("Server 2")]);
    cluster.wait_for_replacement(1, "Server 2");
    let healed = before.elapsed();
    cluster.wait_for_requests(ENOUGH);
    let report = load.stop();
    println!(
        "docker stop under {RATE} POST/s: {} good, {} failed, replacement ready after {healed:?}",
        report.good.len(),
        report.failed.len(),
    );
    // Between the signal and the event a request may still be sent to it: those in flight.
    assert!(report.failed.len() <= CLIENTS as usize, "{:?}", report.failed);
    for (at, why) in &report.failed {
        assert!(*at >= before, "{why}");
    }
    wait_until("the stopped one is removed", || (cluster.containers().len() == 3).then_some(()));
}

#[test]
fn a_paused_container_is_ejected_and_comes_back() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let cluster = Cluster::start(&["--response-timeout", "20s"]);
    let load = Load::start(cluster.balancer.public, CLIENTS, RATE, "GET");
    cluster.wait_for_requests(ENOUGH);
    let paused = Instant::now();
    docker(&["pause", &cluster.container("Server 2")]);
    let ejected = wait_until("it is ejected", || {
        Some(cluster.balancer.ring().swap_remove(1)).filter(|replica| replica["state"] == "ejected")
    });
    let detected = paused.elapsed();
    let in_flight = ejected["in_flight"].as_u64().expect("a number");
    wait_until("those in flight have failed", || {
        (cluster.balancer.ring()[1]["in_flight"].as_u64() == Some(0)).then_some(())
    });
    cluster.wait_for_requests(ENOUGH);
    docker(&["unpause", &cluster.container("Server 2")]);
    let unpaused = Instant::now();
    wait_until("it is back", || (cluster.balancer.ring()[1]["state"] == "ready").then_some(()));
    let back = unpaused.elapsed();
    cluster.wait_for_requests(ENOUGH);
    let report = load.stop();
    println!(
        "docker pause under {RATE} GET/s: detected after {detected:?}, {in_flight} in flight at it, {} good, \
         {} failed, ready {back:?} after unpause",
        report.good.len(),
        report.failed.len(),
    );
    assert!(report.failed.len() as u64 <= in_flight, "{:?}", report.failed);
    assert_eq!(cluster.balancer.ring()[1]["name"], "Server 2", "it is the same one");
}

#[test]
fn a_container_that_stays_paused_is_replaced_and_removed() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let cluster = Cluster::start(&["--replace-after", "1s"]);
    let paused = Instant::now();
    docker(&["pause", &cluster.container("Server 2")]);
    cluster.wait_for_replacement(1, "Server 2");
    let replaced = paused.elapsed();
    wait_until("the paused one is removed", || (cluster.containers().len() == 3).then_some(()));
    let removed = paused.elapsed();
    println!("docker pause with --replace-after 1s: replaced after {replaced:?}, removed after {removed:?}");
}

#[test]
fn all_killed_at_once_come_back() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let victims = ["Server 1", "Server 2", "Server 3"].map(|name| cluster.container(name));
    let mut args = vec!["kill", "-s", "KILL"];
    args.extend(victims.iter().map(String::as_str));
    docker(&args);
    let killed = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut refused = 0;
    wait_until("a replica answers", || {
        let asked = Instant::now();
        let answer = request(cluster.balancer.public, "GET", "/home", None);
        slowest = slowest.max(asked.elapsed());
        if answer.status == 503 {
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            refused += 1;
        }
        (answer.status == 200).then_some(())
    });
    let first = killed.elapsed();
    cluster.balancer.wait_until_ready(3);
    let restored = killed.elapsed();
    println!(
        "all killed at once: {refused} answers 503, the slowest answer after {slowest:?}, first good one after \
         {first:?}, all restored after {restored:?}"
    );
}
