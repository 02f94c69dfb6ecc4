//! A replica that leaves answers what it has begun.

use crate::common::held::held_replica;
use crate::common::{Balancer, PATIENCE, descendants, request, wait_until};

#[test]
fn a_request_in_flight_outlives_the_removal_of_its_replica() {
    let held = held_replica();
    let balancer = Balancer::start(&["--upstream", &held.address]);
    balancer.wait_until_ready(1);
    let public = balancer.public;
    let client = std::thread::spawn(move || request(public, "GET", "/slow", None));
    held.arrived.recv_timeout(PATIENCE).expect("the request reaches the replica");
    let removed = request(balancer.admin, "DELETE", "/rm", Some(r#"{"n":1}"#));
    assert_eq!(removed.status, 200, "{removed:?}");
    assert_eq!(balancer.replicas(), [""; 0], "it has left the ring");
    assert_eq!(request(balancer.public, "GET", "/home", None).status, 503);
    held.release.send(()).expect("the replica waits");
    let answer = client.join().expect("no panic");
    assert_eq!((answer.status, answer.body.as_str()), (200, "held"));
}

#[test]
fn a_name_is_free_again_as_soon_as_its_replica_is_removed() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    for _ in 0..5 {
        for (method, path) in [("POST", "/add"), ("DELETE", "/rm")] {
            let answer = request(balancer.public, method, path, Some(r#"{"n":1,"hostnames":["Same"]}"#));
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    wait_until("only one process is left", || (descendants(balancer.pid()).len() == 1).then_some(()));
}
