//! Deploys on a Swarm that two balancers share: what clients of either notice, which key is whose, and what is left of
//! a deploy whose balancer dies.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::balancer::{BalancerContainer, alone, wait_long};
use crate::common::load::{Load, Report};
use crate::lab::Lab;

mod trouble;

const KEYS: u32 = 2_000;
const THREE: [&str; 3] = ["Server 1", "Server 2", "Server 3"];

const SETTINGS: &str = r#"
[deploy]
min-healthy = "500ms"
window = "500ms"
max-slowdown = 0                   # two busy cores say nothing of times

[revision.v2]
env = ["COLOUR=green"]

[revision.v3]
env = ["COLOUR=blue"]

[revision.broken]
command = "replica --listen nowhere:5000"
"#;

struct Shared {
    lab: Lab,
    one: BalancerContainer,
    two: BalancerContainer,
}

impl Shared {
    /// Two balancers of one pool of three.
    fn up(name: &str, args: &[&str]) -> Option<Self> {
        let (lab, one) = lab_with_one(name, 2, args)?;
        let two = start(&lab, 2, args);
        Some(Self { lab, one, two })
    }

    /// Waits until both have the same replicas, all of them ready.
    fn agreed(&self) -> Vec<(u64, String)> {
        wait_long("both balancers agree", || {
            let (first, second) = (self.one.settled()?, self.two.settled()?);
            (first == second).then_some(first)
        })
    }

    /// Names and revisions of the services there are, once none leaves.
    fn services(&self, count: usize) -> BTreeMap<String, String> {
        services(&self.lab, count)
    }

    /// Load on both balancers.
    fn load(&self) -> [Load; 2] {
        [&self.one, &self.two].map(|it| it.within(|public, _| Load::start(public, 4, 100, "GET")))
    }
}

/// Two nodes, so many of them managers, and a balancer of three replicas on the first one.
fn lab_with_one(name: &str, managers: u32, args: &[&str]) -> Option<(Lab, BalancerContainer)> {
    let lab = Lab::up(name, 2, managers)?;
    std::fs::write(lab.files().join("ringherd.toml"), SETTINGS).expect("a file");
    BalancerContainer::network(&lab);
    let one = start(&lab, 1, args);
    Some((lab, one))
}

/// A balancer on a node, with three replicas that are ready.
fn start(lab: &Lab, node: u32, args: &[&str]) -> BalancerContainer {
    let args = [&["--config=/files/ringherd.toml"], args].concat();
    let balancer = BalancerContainer::start(lab, node, &format!("lb{node}"), &args);
    balancer.wait_for(&THREE);
    balancer
}

/// Names and revisions of the services there are, once there are so many.
fn services(lab: &Lab, count: usize) -> BTreeMap<String, String> {
    wait_long("the services are those that are wanted", || {
        // It may have no leader for a moment.
        let ids = lab.try_docker(1, &["service", "ls", "-q"]);
        let ids = String::from_utf8(ids.stdout).expect("text");
        let ids: Vec<_> = ids.split_whitespace().collect();
        if ids.len() != count {
            return None;
        }
        let shown = lab.try_docker(1, &[&["service", "inspect"], &ids[..]].concat());
        let shown: Vec<Value> = serde_json::from_slice(&shown.stdout).ok()?;
        let label = |service: &Value, key: &str| {
            service["Spec"]["Labels"][format!("io.ringherd.{key}")].as_str().unwrap_or("").to_owned()
        };
        let one = |service: &Value| (label(service, "name"), label(service, "revision"));
        Some(shown.iter().map(one).collect())
    })
}

/// The number that each key has at a balancer.
fn numbers(balancer: &BalancerContainer) -> BTreeMap<u32, u64> {
    let settled = balancer.settled().unwrap_or_else(|| panic!("all are ready: {:?}", balancer.ring()));
    let number = |body: &String| {
        let of_body = |(_, name): &&(u64, String)| body.contains(&format!("to {name}\""));
        settled.iter().find(of_body).unwrap_or_else(|| panic!("{body} of {settled:?}")).0
    };
    balancer.owners(KEYS).iter().map(|(key, body)| (*key, number(body))).collect()
}

fn begin(balancer: &BalancerContainer, body: &str) {
    let begun = balancer.ask("POST", "/deploy", Some(body));
    assert_eq!(begun.status, 202, "{begun:?}");
}

/// Waits until a deploy is in this state; returns it.
fn until(balancer: &BalancerContainer, state: &str) -> Value {
    let deploy = wait_long(state, || {
        let deploy = balancer.ask("GET", "/deploy", None).json();
        (deploy["ended"] == true || deploy["state"] == state).then_some(deploy)
    });
    assert_eq!(deploy["state"], state, "{deploy}");
    deploy
}

fn nothing_failed(loads: [Load; 2], what: &str) {
    let reports: Vec<Report> = loads.into_iter().map(Load::stop).collect();
    for report in &reports {
        assert!(report.failed.is_empty(), "{what}: {:?}", report.failed);
        assert!(report.good.len() > 50, "{what}: {} requests are no load", report.good.len());
    }
    let good: usize = reports.iter().map(|report| report.good.len()).sum();
    println!("{what}: 0 of {good} requests failed at two balancers");
}

#[test]
fn a_deploy_moves_no_key_at_any_balancer_and_is_taken_back_if_its_own_dies() {
    let _alone = alone();
    let Some(shared) = Shared::up("edep", &[]) else { return };
    let (one, two) = (&shared.one, &shared.two);
    let before = numbers(one);
    assert_eq!(numbers(two), before);

    // A canary: the other balancer follows, and changes nothing meanwhile. Then it is taken back.
    let load = shared.load();
    begin(one, r#"{"revision":"v2","canary":10}"#);
    until(one, "waiting");
    let canary = shared.agreed();
    assert_eq!(canary.iter().filter(|(_, name)| !THREE.contains(&name.as_str())).count(), 1, "{canary:?}");
    assert_eq!((numbers(one), numbers(two)), (before.clone(), before.clone()));
    for (path, body) in [("/add", r#"{"n":1}"#), ("/deploy", r#"{"revision":"v2"}"#)] {
        let refused = two.ask("POST", path, Some(body));
        assert_eq!(refused.status, 409, "{refused:?}");
    }
    assert_eq!(one.ask("DELETE", "/deploy", None).status, 202);
    until(one, "aborted");
    two.wait_for(&THREE);
    one.wait_for(&THREE);
    shared.services(3);
    nothing_failed(load, "a canary that was taken back");

    // To all numbers.
    let load = shared.load();
    let began = Instant::now();
    begin(one, r#"{"revision":"v2"}"#);
    until(one, "succeeded");
    println!("a deploy of three replicas on a Swarm took {:?}", began.elapsed());
    let services = shared.services(3);
    assert!(services.values().all(|revision| revision == "v2"), "{services:?}");
    let deployed = shared.agreed();
    assert!(deployed.iter().all(|(_, name)| services.contains_key(name)), "{deployed:?} of {services:?}");
    assert_eq!((numbers(one), numbers(two)), (before.clone(), before.clone()));
    nothing_failed(load, "a deploy");

    // What the other balancer adds runs what was deployed. It may learn a little later that the deploy is over.
    let s4 = Some(r#"{"n":1,"hostnames":["S4"]}"#);
    let added = wait_long("the other balancer may add", || {
        let answer = two.ask("POST", "/add", s4);
        (answer.status != 409).then_some(answer)
    });
    assert_eq!(added.status, 200, "{added:?}");
    let four = shared.services(4);
    assert_eq!(four["S4"], "v2");
    // The first one may learn a little later that there is a fourth, and before that refuses to remove it.
    one.wait_for(&four.keys().map(String::as_str).collect::<Vec<_>>());
    let removed = one.ask("DELETE", "/rm", s4);
    assert_eq!(removed.status, 200, "{removed:?}");
    shared.services(3);
    assert_eq!(shared.agreed(), deployed);

    // One that does not start, through the other balancer.
    let load = shared.load();
    begin(two, r#"{"revision":"broken"}"#);
    let reverted = until(two, "reverted");
    println!("one that does not start: {}", reverted["reason"]);
    let reason = reverted["reason"].as_str().expect("a text");
    assert!(reason.contains(" failed: non-zero exit (64); the last line of its log is '"), "{reason}");
    assert_eq!(shared.services(3), services);
    assert_eq!(shared.agreed(), deployed);
    nothing_failed(load, "a revision that does not start");

    // The balancer of a canary dies: the other one takes it back.
    let load = shared.load();
    begin(two, r#"{"revision":"v3","canary":50}"#);
    until(two, "waiting");
    assert_ne!(shared.agreed(), deployed);
    shared.lab.docker(2, &["kill", "lb2"]);
    let killed = Instant::now();
    wait_long("the canary is taken back", || (one.settled()? == deployed).then_some(()));
    println!("a canary whose balancer dies is taken back after {:?}", killed.elapsed());
    let [at_one, at_two] = load.map(Load::stop);
    assert!(at_one.failed.is_empty(), "{:?}", at_one.failed);
    assert!(!at_two.failed.is_empty(), "it is dead");
    assert_eq!(shared.services(3), services);
    assert_eq!(numbers(one), before);
}

#[test]
fn a_replica_that_has_to_go_first_is_changed_where_it_is() {
    let _alone = alone();
    let Some(shared) = Shared::up("edst", &["--deploy-order=stop-first"]) else { return };
    let (one, two) = (&shared.one, &shared.two);
    let before = numbers(one);

    let load = shared.load();
    let began = Instant::now();
    begin(one, r#"{"revision":"v2"}"#);
    until(one, "succeeded");
    println!("a deploy of three replicas in place took {:?}", began.elapsed());
    one.wait_for(&THREE);
    two.wait_for(&THREE);
    let services = shared.services(3);
    assert!(services.values().all(|revision| revision == "v2"), "{services:?}");
    assert_eq!((numbers(one), numbers(two)), (before.clone(), before.clone()));
    nothing_failed(load, "a deploy in place");

    let load = shared.load();
    begin(two, r#"{"revision":"broken"}"#);
    until(two, "reverted");
    one.wait_for(&THREE);
    two.wait_for(&THREE);
    assert_eq!(shared.services(3), services);
    assert_eq!((numbers(one), numbers(two)), (before.clone(), before));
    nothing_failed(load, "a revision that does not start, in place");
    // Both know that it is over.
    wait_long("the other one may deploy again", || {
        (one.ask("POST", "/deploy", Some(r#"{"revision":"v3"}"#)).status == 202).then_some(())
    });
    until(one, "succeeded");
}
