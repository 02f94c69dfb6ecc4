//! Which replica a request goes to, and what the replica is told about it.

use std::collections::BTreeSet;

use crate::common::{Balancer, client::raw, request};

fn owner(balancer: &Balancer, head: &str) -> String {
    let answer =
        raw(balancer.public, &format!("{head}Host: {}\r\nConnection: close\r\n\r\n", balancer.public));
    assert_eq!(answer.status, 200, "{answer:?}");
    let message = answer.json()["message"].as_str().expect("text").to_owned();
    message.strip_prefix("Request routed to ").expect("the answer of a replica").to_owned()
}

/// The golden owners of the default ring with replicas 1, 2 and 3.
#[test]
fn a_request_id_that_is_a_number_is_the_rings_request_id() {
    let balancer = Balancer::start(&[]);
    for (id, number) in
        [(0, 2), (1, 1), (5, 3), (132_574, 3), (999_999, 1), (4_294_967_303, 3), (u64::MAX, 2)]
    {
        let owner = owner(&balancer, &format!("GET /home HTTP/1.1\r\nX-Request-Id: {id}\r\n"));
        assert_eq!(owner, format!("Server {number}"), "request id {id}");
    }
}

#[test]
fn a_key_of_the_client_keeps_its_replica() {
    let balancer = Balancer::start(&["--key", "header:X-User", "--replicas", "5"]);
    let owners: BTreeSet<_> = (0..40)
        .map(|user| {
            let head = format!("GET /home HTTP/1.1\r\nX-User: user-{user}\r\n");
            let first = owner(&balancer, &head);
            assert_eq!(first, owner(&balancer, &head), "user {user} moved");
            first
        })
        .collect();
    assert_eq!(owners.len(), 5, "forty users meet every replica: {owners:?}");
}

#[test]
fn the_ring_changes_under_running_requests() {
    let balancer = Balancer::start(&[]);
    let classic = r#"{"family":"classic","slots":512,"virtual_nodes":9}"#;
    let answer = request(balancer.admin, "PUT", "/ring", Some(classic));
    assert_eq!(answer.status, 200, "{answer:?}");
    let ring = request(balancer.admin, "GET", "/ring", None).json();
    assert_eq!((&ring["family"], &ring["slots"]), (&"classic".into(), &512.into()));
    let slots: Vec<_> = balancer.ring().iter().map(|replica| replica["slots"].clone()).collect();
    assert_eq!(slots, [457, 22, 33], "the golden shares of the classic ring");
    // One that cannot hold its replicas is refused, and nothing changes.
    let answer = request(balancer.admin, "PUT", "/ring", Some(r#"{"virtual_nodes":500}"#));
    assert_eq!(answer.status, 409, "{answer:?}");
    assert_eq!(request(balancer.admin, "GET", "/ring", None).json()["virtual_nodes"], 9);
    assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
}

#[test]
fn weight_zero_keeps_a_replica_without_requests() {
    let balancer = Balancer::start(&["--replicas", "2"]);
    let answer = request(balancer.admin, "PUT", "/replicas/Server%201", Some(r#"{"weight":0}"#));
    assert_eq!(answer.status, 200, "{answer:?}");
    for _ in 0..20 {
        assert_eq!(owner(&balancer, "GET /home HTTP/1.1\r\n"), "Server 2");
    }
    assert_eq!(balancer.replicas(), ["Server 1", "Server 2"]);
    let answer = request(balancer.admin, "PUT", "/replicas/Server%201", Some(r#"{"weight":101}"#));
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[test]
fn ambiguous_requests_are_refused() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    for head in [
        "GET /home HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /home HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "POST /home HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ] {
        let answer = raw(balancer.public, head);
        assert_eq!(answer.status, 400, "{head:?}: {answer:?}");
        assert_eq!(answer.header("x-ringherd-error"), Some("bad-request"));
    }
}
