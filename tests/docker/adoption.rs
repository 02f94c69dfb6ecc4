//! One balancer after another: the next takes over the containers of the one before.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::wait_until;
use crate::engine;
use crate::herd::{Herd, alone, docker};

const KEYS: u32 = 10_000;

#[test]
fn a_killed_balancer_is_followed_by_one_with_the_same_ring() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let args = ["--bounded-load", "off"];
    let mut herd = Herd::start(&args);
    assert_eq!(herd.add(r#"{"n":1,"hostnames":["S4"]}"#).status, 200);
    // A hole in the numbers, to see that they are kept.
    let body = Some(r#"{"n":1,"hostnames":["Server 2"]}"#);
    assert_eq!(crate::common::request(herd.balancer.admin, "DELETE", "/rm", body).status, 200);
    wait_until("it is gone", || (herd.containers().len() == 3).then_some(()));
    let (containers, owners) = (herd.containers(), herd.owners(KEYS));
    let numbers_before = numbers(&herd);

    let killed = Instant::now();
    herd.kill_balancer();
    herd.start_balancer(&args);
    let serving = killed.elapsed();
    println!("kill -9 of the balancer: the next one serves with all replicas after {serving:?}");
    assert_eq!(herd.containers(), containers, "nothing is started twice, nothing is left over");
    assert_eq!(numbers_before, numbers(&herd));
    let moved = herd.owners(KEYS).iter().filter(|(key, owner)| owners[key] != **owner).count();
    println!("of {KEYS} keys {moved} have another replica than before");
    assert_eq!(moved, 0);
    assert!(serving < Duration::from_secs(2), "{serving:?}");

    herd.balancer.signal(Signal::TERM);
    assert_eq!(herd.balancer.wait().code(), Some(0));
    assert_eq!(herd.containers(), Vec::<String>::new(), "what was adopted is owned");
}

#[test]
fn what_died_meanwhile_is_replaced_and_what_is_half_made_removed() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let mut herd = Herd::start(&[]);
    herd.kill_balancer();
    docker(&["kill", &herd.container("Server 3")]);
    let label = |key: &str| {
        let format = format!("{{{{index .Config.Labels \"io.ringherd.{key}\"}}}}");
        let value = docker(&["inspect", "--format", &format, &herd.container("Server 1")]);
        format!("io.ringherd.{key}={value}")
    };
    let (pool, instance) = (label("pool"), label("instance"));
    let half_made = docker(&["create", "--label", &pool, "--label", &instance, engine::image(), "replica"]);
    // The same pool, but another balancer's.
    let strange = docker(&["create", "--label", &pool, engine::image(), "replica"]);

    herd.start_balancer(&[]);
    assert_eq!(numbers(&herd), [1, 2, 3]);
    assert_eq!(herd.running().len(), 3);
    wait_until("the remains are removed", || (herd.containers().len() == 4).then_some(()));
    assert!(!herd.containers().contains(&half_made));
    assert!(herd.containers().contains(&strange), "never touched");
}

#[test]
fn replicas_are_kept_on_exit_if_asked() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let mut herd = Herd::start(&["--on-exit", "keep"]);
    let containers = herd.containers();
    herd.balancer.signal(Signal::TERM);
    assert_eq!(herd.balancer.wait().code(), Some(0));
    assert_eq!(herd.containers(), containers);
    assert_eq!(herd.running().len(), 3);
}

fn numbers(herd: &Herd) -> Vec<u64> {
    herd.balancer.ring().iter().map(|replica| replica["number"].as_u64().expect("a number")).collect()
}
