//! Containers that others run, such as those of `docker compose up --scale app=5`.

use std::time::Instant;

use rustix::process::Signal;

use crate::cluster::{Cluster, alone, docker};
use crate::common::load::Load;
use crate::common::{request, wait_until};
use crate::engine::{self, image};

/// Starts a container of others.
fn run_app(cluster: &Cluster, name: &str) -> String {
    let name = format!("{}-{name}", cluster.pool.name);
    let (cleanup, app) = (cluster.pool.stranger(), format!("app={}", cluster.pool.name));
    let network = format!("ringherd-{}", cluster.pool.name);
    docker(&[
        "run",
        "-d",
        "--name",
        &name,
        "--network",
        &network,
        "--label",
        &cleanup,
        "--label",
        &app,
        "--env",
        &format!("SERVER_ID={name}"),
        image(),
        "replica",
        "--listen",
        "0.0.0.0:5000",
    ]);
    name
}

#[test]
fn containers_of_others_join_and_leave_with_their_label() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let pool = engine::Pool::new();
    let app = format!("app={}", pool.name);
    let mut cluster = Cluster::of_pool(pool, &["--discover", &app]);
    let load = Load::start(cluster.balancer.public, 8, 200, "GET");
    let began = Instant::now();
    let names = [run_app(&cluster, "one"), run_app(&cluster, "two")];
    cluster.balancer.wait_until_ready(5);
    println!("two containers of others serve {:?} after the first was started", began.elapsed());
    let replicas = cluster.balancer.replicas();
    assert_eq!(replicas[3..], names, "{replicas:?}");
    let serve = || cluster.balancer.ring()[3..].iter().all(|app| app["requests"].as_u64() > Some(0));
    wait_until("both get requests", || serve().then_some(()));

    for (method, path) in [("DELETE", "/rm"), ("POST", "/add")] {
        let body = format!(r#"{{"n":1,"hostnames":["{}"]}}"#, names[0]);
        let answer = request(cluster.balancer.admin, method, path, Some(&body));
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body.contains("--discover"), "{answer:?}");
    }

    docker(&["stop", &names[0]]);
    wait_until("it is off the ring", || (cluster.balancer.replicas().len() == 4).then_some(()));
    docker(&["start", &names[0]]);
    cluster.balancer.wait_until_ready(5);
    docker(&["rm", "-f", &names[1]]);
    wait_until("the other is off the ring", || (cluster.balancer.replicas().len() == 4).then_some(()));
    let report = load.stop();
    println!("joined and left under load: {} good, {} failed", report.good.len(), report.failed.len());
    assert_eq!(report.failed, []);
    let answered = |name: &String| report.bodies.keys().any(|body| body.contains(name));
    assert!(names.iter().all(answered), "{:?}", report.bodies);

    // They are nobody's to stop.
    cluster.balancer.signal(Signal::TERM);
    assert_eq!(cluster.balancer.wait().code(), Some(0));
    assert_eq!(docker(&["inspect", "--format", "{{.State.Running}}", &names[0]]), "true");
}
