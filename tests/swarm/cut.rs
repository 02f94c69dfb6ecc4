//! A node is cut off.

use std::time::{Duration, Instant};

use crate::balancer::{BalancerContainer, alone, wait_long};
use crate::common::load::Load;
use crate::lab::Lab;

const KEYS: u32 = 10_000;
const CLIENTS: u32 = 16;

#[test]
fn replicas_of_a_lost_node_move_and_the_ring_stays() {
    let _alone = alone();
    let Some(lab) = Lab::up("ecut", 2, 1) else { return };
    lab.notice_losses_soon();
    BalancerContainer::network(&lab);
    let balancer = BalancerContainer::start(
        &lab,
        1,
        "lb",
        &["--replicas=4", "--response-timeout=3s", "--health-timeout=1s"],
    );
    let four = ["Server 1", "Server 2", "Server 3", "Server 4"];
    balancer.wait_for(&four);
    let lost: Vec<_> = balancer
        .ring()
        .into_iter()
        .filter(|replica| replica["instance"].as_str().is_some_and(|place| place.ends_with(" on node2")))
        .collect();
    assert!(!lost.is_empty(), "none runs there: {:?}", balancer.ring());
    let before = balancer.owners(KEYS);

    let load = balancer.within(|public, _| Load::start(public, CLIENTS, 200, "GET"));
    let cut = Instant::now();
    lab.act("cut", 2);
    wait_long("those of the lost node are out of the choice", || {
        let ring = balancer.ring();
        let out =
            lost.iter().all(|gone| ring.iter().any(|r| r["name"] == gone["name"] && r["state"] != "ready"));
        out.then_some(())
    });
    let out = cut.elapsed();
    balancer.wait_for(&four);
    let moved = cut.elapsed();
    let report = load.stop();
    println!(
        "a node with {} of 4 replicas is cut off: out of the choice after {out:?}, all serve again after \
         {moved:?}; {} good, {} failed",
        lost.len(),
        report.good.len(),
        report.failed.len()
    );
    let served = report.good.iter().filter(|at| **at > cut).count();
    assert!(served > 100, "{served} good answers after the cut");
    assert_eq!(balancer.owners(KEYS), before, "the ring has changed");
    // At most what each client had in flight there before that was known.
    assert!(report.failed.len() <= CLIENTS as usize, "{:?}", report.failed);
    for (at, why) in &report.failed {
        assert!(*at <= cut + out + Duration::from_secs(6), "{why}");
    }
}
