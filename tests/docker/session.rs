//! The session of the README, with containers.

use rustix::process::Signal;

use crate::cluster::{Cluster, alone, docker};
use crate::common::{request, wait_until};
use crate::engine;

#[test]
fn the_first_interface_works_with_containers() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    assert_eq!(cluster.balancer.replicas(), ["Server 1", "Server 2", "Server 3"]);
    let added = cluster.add(r#"{"n":2,"hostnames":["S4","S5"]}"#);
    assert_eq!(added.status, 200, "{added:?}");
    assert_eq!(cluster.balancer.replicas(), ["Server 1", "Server 2", "Server 3", "S4", "S5"]);
    let expected = ["S4", "S5", "Server 1", "Server 2", "Server 3"].map(|name| cluster.container(name));
    assert_eq!(cluster.running(), expected);
    let hostname = docker(&["inspect", "--format", "{{.Config.Hostname}}", &cluster.container("S4")]);
    assert_eq!(hostname, "s4");

    // A name that makes the same host name is the same name.
    let again = cluster.add(r#"{"n":1,"hostnames":["s4"]}"#);
    assert_eq!(again.status, 400, "{again:?}");
    let bodies: std::collections::BTreeSet<_> = cluster.owners(500).into_values().collect();
    assert_eq!(bodies.len(), 5, "{bodies:?}");

    let body = Some(r#"{"n":2,"hostnames":["S4","S5"]}"#);
    assert_eq!(request(cluster.balancer.admin, "DELETE", "/rm", body).status, 200);
    assert_eq!(cluster.balancer.replicas(), ["Server 1", "Server 2", "Server 3"]);
    wait_until("the removed containers are gone", || (cluster.containers().len() == 3).then_some(()));
    // The name is free at once, even while the old container is still ending.
    assert_eq!(cluster.add(r#"{"n":1,"hostnames":["S4"]}"#).status, 200);

    cluster.balancer.signal(Signal::TERM);
    assert_eq!(cluster.balancer.wait().code(), Some(0));
    assert_eq!(cluster.containers(), Vec::<String>::new(), "nothing is left behind");
}

#[test]
fn a_name_is_free_again_while_its_container_drains() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let cluster = Cluster::start(&[]);
    for _ in 0..3 {
        let body = r#"{"n":1,"hostnames":["Server 2"]}"#;
        let removed = request(cluster.balancer.admin, "DELETE", "/rm", Some(body));
        assert_eq!(removed.status, 200, "{removed:?}");
        let added = cluster.add(body);
        assert_eq!(added.status, 200, "{added:?}");
    }
    wait_until("the old ones are gone", || (cluster.containers().len() == 3).then_some(()));
}

#[test]
fn a_container_that_is_killed_through_the_admin_api_is_replaced() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let answer = request(cluster.balancer.admin, "POST", "/replicas/server-2/kill", Some("{}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    cluster.wait_for_replacement(1, "Server 2");
    let again = request(cluster.balancer.admin, "POST", "/replicas/Server%202/kill", Some("{}"));
    assert_eq!(again.status, 404, "{again:?}");
}
