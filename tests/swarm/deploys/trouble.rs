//! The managers do not answer in the middle of a deploy, or a node is lost.

use std::time::Instant;

use serde_json::Value;

use super::{Shared, begin, lab_with_one, numbers, services, until};
use crate::balancer::{alone, wait_long};
use crate::common::load::Load;

#[test]
fn a_canary_is_taken_back_when_the_managers_do_not_answer() {
    let _alone = alone();
    let Some(shared) = Shared::up("edfr", &[]) else { return };
    let (one, two) = (&shared.one, &shared.two);
    let (settled, made) = (shared.agreed(), shared.services(3));
    begin(one, r#"{"revision":"v2","canary":50}"#);
    until(one, "waiting");
    wait_long("the other one follows", || (two.settled()? != settled).then_some(()));

    // No request is counted: with its engines a Swarm may lose its overlay network for some seconds.
    let frozen = Instant::now();
    (1..=2).for_each(|node| shared.lab.act("freeze", node));
    // At once where it is, which takes no manager: those before it are ready.
    wait_long("the old replicas serve again", || (one.settled()? == settled).then_some(()));
    println!("an outage of the managers is noticed, and a canary taken back, after {:?}", frozen.elapsed());
    (1..=2).for_each(|node| shared.lab.act("thaw", node));
    let reverted = until(one, "reverted");
    println!("taken back: {}", reverted["reason"]);
    // The other one is told of it when that can be written.
    assert_eq!(shared.services(3), made);
    wait_long("both have what they had before", || (shared.agreed() == settled).then_some(()));
}

#[test]
fn a_deploy_ends_as_it_should_when_a_node_is_lost() {
    let _alone = alone();
    let Some((lab, one)) = lab_with_one("edcut", 1, &["--health-timeout=1s"]) else { return };
    lab.notice_losses_soon();
    let (settled, before, made) = (one.settled(), numbers(&one), services(&lab, 3));
    begin(&one, r#"{"revision":"v2","canary":50}"#);
    until(&one, "waiting");

    let load = one.within(|public, _| Load::start(public, 4, 100, "GET"));
    let cut = Instant::now();
    lab.act("cut", 2);
    // A canary of which one is lost is taken back by itself; one that has lost none may wait on.
    let is_left = |replica: &Value| {
        let instance = replica["instance"].as_str();
        replica["state"] == "ready" && instance.is_some_and(|at| at.ends_with(" on node1"))
    };
    let have_moved = || one.ring().iter().all(is_left);
    let deploy = wait_long("the canary is taken back, or waits and all are ready again", || {
        // In this order: one that is being taken back has its old replicas ready before it has ended.
        let have_moved = have_moved();
        let deploy = one.ask("GET", "/deploy", None).json();
        (deploy["ended"] == true || have_moved && deploy["state"] == "waiting").then_some(deploy)
    });
    println!("after {:?} without a node: {} {}", cut.elapsed(), deploy["state"], deploy["reason"]);
    if deploy["ended"] != true {
        assert!([200, 202].contains(&one.ask("DELETE", "/deploy", None).status));
    }
    wait_long("the old replicas serve again, all on the node that is left", || {
        let ended = one.ask("GET", "/deploy", None).json()["ended"] == true;
        (ended && have_moved() && one.settled() == settled).then_some(())
    });
    let report = load.stop();
    println!(
        "all as before after {:?}: {} good, {} failed",
        cut.elapsed(),
        report.good.len(),
        report.failed.len()
    );
    assert_eq!((services(&lab, 3), numbers(&one)), (made, before));
    assert!(report.failed.len() <= 8, "more than what was in flight twice: {:?}", report.failed);
}
