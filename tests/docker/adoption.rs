//! One balancer after another: the next takes over the containers of the one before.

use std::time::Instant;

use rustix::process::Signal;

use crate::cluster::{Cluster, alone, docker};
use crate::common::wait_until;
use crate::engine;

const KEYS: u32 = 10_000;

#[test]
fn a_killed_balancer_is_followed_by_one_with_the_same_ring() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let args = ["--bounded-load", "off"];
    let mut cluster = Cluster::start(&args);
    assert_eq!(cluster.add(r#"{"n":1,"hostnames":["S4"]}"#).status, 200);
    // A hole in the numbers, to see that they are kept.
    let body = Some(r#"{"n":1,"hostnames":["Server 2"]}"#);
    assert_eq!(crate::common::request(cluster.balancer.admin, "DELETE", "/rm", body).status, 200);
    wait_until("it is gone", || (cluster.containers().len() == 3).then_some(()));
    let (containers, owners) = (cluster.containers(), cluster.owners(KEYS));
    let numbers_before = numbers(&cluster);

    let killed = Instant::now();
    cluster.kill_balancer();
    cluster.start_balancer(&args);
    let serving = killed.elapsed();
    println!("kill -9 of the balancer: the next one serves with all replicas after {serving:?}");
    assert_eq!(cluster.containers(), containers, "nothing is started twice, nothing is left over");
    assert_eq!(numbers_before, numbers(&cluster));
    let moved = cluster.owners(KEYS).iter().filter(|(key, owner)| owners[key] != **owner).count();
    println!("of {KEYS} keys {moved} have another replica than before");
    assert_eq!(moved, 0);

    cluster.balancer.signal(Signal::TERM);
    assert_eq!(cluster.balancer.wait().code(), Some(0));
    assert_eq!(cluster.containers(), Vec::<String>::new(), "what was adopted is owned");
}

#[test]
fn what_died_meanwhile_is_replaced_and_what_is_half_made_removed() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    cluster.kill_balancer();
    docker(&["kill", &cluster.container("Server 3")]);
    let label = |key: &str| {
        let format = format!("{{{{index .Config.Labels \"io.ringherd.{key}\"}}}}");
        let value = docker(&["inspect", "--format", &format, &cluster.container("Server 1")]);
        format!("io.ringherd.{key}={value}")
    };
    let (pool, instance) = (label("pool"), label("instance"));
    let half_made = docker(&["create", "--label", &pool, "--label", &instance, engine::image(), "replica"]);
    // The same pool, but another balancer's.
    let strange = docker(&["create", "--label", &pool, engine::image(), "replica"]);

    cluster.start_balancer(&[]);
    assert_eq!(numbers(&cluster), [1, 2, 3]);
    assert_eq!(cluster.running().len(), 3);
    wait_until("the remains are removed", || (cluster.containers().len() == 4).then_some(()));
    assert!(!cluster.containers().contains(&half_made));
    assert!(cluster.containers().contains(&strange), "never touched");
}

#[test]
fn replicas_are_kept_on_exit_if_asked() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let mut cluster = Cluster::start(&["--on-exit", "keep"]);
    let containers = cluster.containers();
    cluster.balancer.signal(Signal::TERM);
    assert_eq!(cluster.balancer.wait().code(), Some(0));
    assert_eq!(cluster.containers(), containers);
    assert_eq!(cluster.running().len(), 3);
}

fn numbers(cluster: &Cluster) -> Vec<u64> {
    cluster.balancer.ring().iter().map(|replica| replica["number"].as_u64().expect("a number")).collect()
}
