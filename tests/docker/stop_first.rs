//! Deploys of containers of which no number may have two.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::cluster::{Cluster, DEPLOY, PAUSE, alone, events};
use crate::common::folder::Folder;
use crate::common::load::Load;
use crate::common::{request, wait_until, wait_within};
use crate::engine;

const SETTINGS: &str = r#"
[health]
interval = "50ms"

[deploy]
order = "stop-first"
min-healthy = "100ms"
window = "100ms"
max-slowdown = 0                   # two busy cores say nothing of times

[revision.v2]
env = "FEATURE=on"
"#;

fn begin(cluster: &Cluster, revision: &str) {
    let body = json!({ "revision": revision }).to_string();
    let begun = request(cluster.balancer.admin, "POST", "/deploy", Some(&body));
    assert_eq!(begun.status, 202, "{begun:?}");
}

fn deploy(cluster: &Cluster) -> Value {
    request(cluster.balancer.admin, "GET", "/deploy", None).json()
}

fn revisions(cluster: &Cluster) -> Vec<String> {
    let revision = |replica: &Value| replica["revision"].as_str().expect("text").to_owned();
    cluster.balancer.ring().iter().map(revision).collect()
}

/// Of each number the containers that started and ended since then, in this order, are one after the other.
fn assert_never_two(cluster: &Cluster, since: SystemTime) {
    let format = "{{.Action}} {{index .Actor.Attributes \"io.ringherd.number\"}}";
    let events = events(&cluster.pool, since, &["start", "die"], format);
    let mut alive: BTreeMap<&str, i32> = BTreeMap::new();
    for line in events.lines() {
        let (action, number) = line.split_once(' ').expect("two words");
        // One of each was there before.
        let alive = alive.entry(number).or_insert(1);
        *alive += if action == "start" { 1 } else { -1 };
        assert!((0..=1).contains(alive), "number {number} had {alive}: {events}");
    }
    assert_eq!(alive.len(), 3, "each number had another: {events}");
}

#[test]
fn the_old_container_has_ended_before_the_new_one_starts_and_nobody_notices() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let folder = Folder::new("docker-stop-first");
    let cluster = Cluster::start(&["--config", &folder.write("ringherd.toml", SETTINGS)]);
    let load = Load::start(cluster.balancer.public, 8, 200, "POST");
    cluster.wait_for_requests(50);
    let began = SystemTime::now();
    begin(&cluster, "v2");
    let has_ended = || Some(deploy(&cluster)).filter(|now| now["ended"] == true);
    let ended = wait_within(DEPLOY, PAUSE, "the deploy ends", has_ended);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(revisions(&cluster), ["v2"; 3]);
    cluster.wait_for_requests(50);
    let report = load.stop();
    println!("a deploy with stop-first: {} POSTs good, {} failed", report.good.len(), report.failed.len());
    assert_eq!(report.failed, []);
    assert_never_two(&cluster, began);
}

#[test]
fn after_a_crash_in_the_middle_the_next_balancer_comes_to_one_revision() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let folder = Folder::new("docker-stop-first-crash");
    let file = folder.write("ringherd.toml", SETTINGS);
    let mut cluster = Cluster::start(&["--config", &file]);
    begin(&cluster, "v2");
    wait_until("the second number is under way", || {
        (deploy(&cluster)["numbers"][1]["step"] != "pending").then_some(())
    });
    cluster.kill_balancer();
    cluster.start_balancer(&["--config", &file]);
    let revisions = wait_within(DEPLOY, PAUSE, "all have one revision", || {
        let revisions = revisions(&cluster);
        let is_over = deploy(&cluster)["ended"] != false;
        (is_over && revisions.iter().all(|revision| *revision == revisions[0])).then_some(revisions)
    });
    println!("kill -9 in the middle of a deploy with stop-first: all have {}", revisions[0]);
    wait_until("nothing is left over", || (cluster.containers().len() == 3).then_some(()));
}
