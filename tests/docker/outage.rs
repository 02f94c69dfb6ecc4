//! The engine goes away while clients keep coming.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, alone, docker};
use crate::common::load::Load;
use crate::common::wait_until;
use crate::engine::gate::Gate;
use crate::engine::{self, Pool};

const CLIENTS: u32 = 16;
const RATE: u32 = 400;

fn url(gate: &Gate) -> String {
    format!("unix://{}", gate.path().display())
}

fn outage(name: &str, lasting: Duration, lose: impl Fn(&Gate)) {
    let gate = Gate::new();
    let cluster = Cluster::of_pool(Pool::new(), &["--docker-host", &url(&gate)]);
    let load = Load::start(cluster.balancer.public, CLIENTS, RATE, "GET");
    cluster.wait_for_requests(200);
    let away = Instant::now();
    let containers = cluster.containers();
    lose(&gate);
    let asked = Instant::now();
    let refused = cluster.add(r#"{"n":1}"#);
    let answered = asked.elapsed();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.header("x-ringherd-error"), Some("runtime-unavailable"));
    assert!(cluster.balancer.replicas().len() == 3, "nothing has changed");
    while away.elapsed() < lasting {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(cluster.containers(), containers, "nothing was started or removed");
    gate.open();
    let restored = Instant::now();
    wait_until("replicas can be added again", || (cluster.add(r#"{"n":1}"#).status == 200).then_some(()));
    let recovered = restored.elapsed();
    cluster.balancer.wait_until_ready(4);
    let report = load.stop();
    println!(
        "engine {name} for {lasting:?} under {RATE} GET/s: {} good, {} failed, /add answered 503 after \
         {answered:?}, an /add succeeded {recovered:?} after its return",
        report.good.len(),
        report.failed.len(),
    );
    assert_eq!(report.failed, []);
    wait_until("nothing half-made is left", || (cluster.containers().len() == 4).then_some(()));
}

#[test]
fn an_engine_that_is_gone_costs_no_request() {
    let _alone = alone();
    if engine::available() {
        outage("gone", Duration::from_secs(20), Gate::close);
    }
}

#[test]
fn an_engine_that_hangs_costs_no_request() {
    let _alone = alone();
    if engine::available() {
        outage("hung", Duration::from_secs(8), Gate::hang);
    }
}

#[test]
fn what_died_during_an_outage_is_replaced_after_it() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let gate = Gate::new();
    let cluster = Cluster::of_pool(Pool::new(), &["--docker-host", &url(&gate)]);
    gate.close();
    wait_until("the outage is known", || {
        let answer = crate::common::request(cluster.balancer.admin, "GET", "/ring", None);
        answer.json()["outage"].is_string().then_some(())
    });
    docker(&["kill", &cluster.container("Server 2")]);
    wait_until("it is ejected", || (cluster.balancer.ring()[1]["state"] == "ejected").then_some(()));
    assert_eq!(cluster.balancer.ring()[1]["name"], "Server 2", "and not replaced");
    gate.open();
    let restored = Instant::now();
    cluster.wait_for_replacement(1, "Server 2");
    println!("killed during an outage: replaced {:?} after its end", restored.elapsed());
    wait_until("the dead one is removed", || (cluster.containers().len() == 3).then_some(()));
}
