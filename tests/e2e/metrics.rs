//! What `GET /metrics` says after traffic that the test knows exactly.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which are exact")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::client::raw;
use crate::common::held::{Held, held_replica};
use crate::common::load::Load;
use crate::common::origin::Origin;
use crate::common::scrape::{Sample, Scrape};
use crate::common::{Balancer, request, wait_until};

const REQUESTS: &str = "ringherd_requests_total";
const FAILURES: &str = "ringherd_request_failures_total";

/// Sends a request on a connection of its own; returns the length of the answer's body.
fn send(balancer: &Balancer, method: &str, path: &str) -> usize {
    request(balancer.public, method, path, None).body.len()
}

#[test]
fn requests_are_counted_by_class_and_by_replica() {
    let balancer = Balancer::start(&[]);
    let mut bytes: usize = (0..30).map(|_| send(&balancer, "GET", "/home")).sum();
    bytes += (0..7).map(|_| send(&balancer, "GET", "/other")).sum::<usize>();
    bytes += (0..2).map(|_| send(&balancer, "GET", "/rep")).sum::<usize>();
    bytes += raw(balancer.public, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").body.len();
    bytes += raw(balancer.public, "GET /home HTTP/1.1\r\nConnection: close\r\n\r\n").body.len();
    let scrape = Scrape::after(&balancer, 41);
    assert_eq!(scrape.by(REQUESTS, "class"), [("2xx", 32.0), ("4xx", 8.0), ("5xx", 1.0)].into());
    assert_eq!(
        scrape.by(FAILURES, "reason"),
        [("bad-request", 1.0), ("method-not-forwarded", 1.0)].into(),
        "an answer of a replica is none, whatever its status"
    );
    let replica = |class| scrape.sum("ringherd_replica_responses_total", &[("class", class)]);
    assert_eq!(["1xx", "2xx", "3xx", "4xx", "5xx"].map(replica), [0.0, 30.0, 0.0, 7.0, 0.0]);
    assert_eq!(scrape.sum("ringherd_replica_requests_total", &[]), 37.0);
    assert_eq!(scrape.value("ringherd_upstream_duration_seconds_count", &[]), 37.0);
    let connects = scrape.value("ringherd_connect_duration_seconds_count", &[]);
    assert!((3.0..=37.0).contains(&connects), "{connects} connections to three replicas");
    assert_eq!(scrape.value("ringherd_connections_accepted_total", &[]), 41.0);
    assert_eq!(scrape.sum("ringherd_response_body_bytes_total", &[]), bytes as f64);
    for name in ["ringherd_retries_total", "ringherd_requests_in_flight", "ringherd_retries_in_flight"] {
        assert_eq!(scrape.value(name, &[]), 0.0, "{name}");
    }
    assert_eq!(scrape.sum("ringherd_spills_total", &[("owner", "down")]), 0.0);
}

#[test]
fn without_replicas_there_are_failures_and_no_series_of_replicas() {
    let balancer = Balancer::start(&["--replicas", "0"]);
    for _ in 0..5 {
        send(&balancer, "GET", "/home");
    }
    let scrape = Scrape::after(&balancer, 5);
    assert_eq!(scrape.by(REQUESTS, "class"), [("5xx", 5.0)].into());
    assert_eq!(scrape.by(FAILURES, "reason"), [("no-replica", 5.0)].into());
    assert_eq!(scrape.sum("ringherd_replicas", &[]), 0.0);
    let named: Vec<_> =
        scrape.samples.iter().filter(|sample| sample.labels.contains_key("replica")).collect();
    assert!(named.is_empty(), "{named:?}");
}

#[test]
fn what_fails_at_a_replica_is_counted_with_its_reason() {
    let origin = Origin::start();
    let balancer = Balancer::start(&["--upstream", &origin.address.to_string()]);
    balancer.wait_until_ready(1);
    // Sent twice, answered once; sent twice, never answered; answered in part; not HTTP.
    for path in ["/close-once/a", "/close/b", "/cut/c", "/garbage/d"] {
        balancer.wait_until_ready(1);
        let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(!raw(balancer.public, &text).headers.is_empty());
    }
    let scrape = Scrape::after(&balancer, 4);
    assert_eq!(scrape.by(REQUESTS, "class"), [("2xx", 2.0), ("5xx", 2.0)].into());
    let reasons = [("upstream-closed", 1.0), ("response-cut", 1.0), ("bad-response", 1.0)];
    assert_eq!(scrape.by(FAILURES, "reason"), reasons.into());
    assert_eq!(scrape.value("ringherd_retries_total", &[]), 2.0);
    assert_eq!(scrape.sum("ringherd_replica_requests_total", &[]), 6.0, "each attempt is one");
    assert_eq!(scrape.sum("ringherd_replica_failures_total", &[]), 5.0);
}

/// A status that no class of RFC 9110 has is passed on, and is no 5xx in the metrics.
#[test]
fn a_status_outside_of_all_classes_is_a_class_of_its_own() {
    let origin = Origin::start();
    let balancer = Balancer::start(&["--upstream", &origin.address.to_string()]);
    balancer.wait_until_ready(1);
    assert_eq!(request(balancer.public, "GET", "/odd", None).status, 777);
    let scrape = Scrape::after(&balancer, 1);
    assert_eq!(scrape.by(REQUESTS, "class"), [("other", 1.0)].into());
    assert_eq!(scrape.sum("ringherd_replica_responses_total", &[("class", "other")]), 1.0);
    assert_eq!(scrape.sum("ringherd_replica_responses_total", &[]), 1.0);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_answer_is_counted() {
    let origin = Origin::start();
    let balancer = Balancer::start(&["--upstream", &origin.address.to_string()]);
    balancer.wait_until_ready(1);
    let mut client = TcpStream::connect(balancer.public).expect("it listens");
    client.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    client.read_exact(&mut [0; 12]).expect("the answer begins");
    drop(client);
    let scrape = Scrape::after(&balancer, 1);
    assert_eq!(scrape.by(REQUESTS, "class"), [("2xx", 1.0)].into());
    assert_eq!(scrape.by(FAILURES, "reason"), [("client-gone", 1.0)].into());
    assert!(scrape.sum("ringherd_response_body_bytes_total", &[]) < 10e6, "not all of it went out");
    assert_eq!(scrape.value("ringherd_requests_in_flight", &[]), 0.0);
}

/// However many replicas it is tried at.
#[test]
fn a_request_passes_over_its_owner_once() {
    let origins = [Origin::start(), Origin::start(), Origin::start()];
    let upstreams = origins.each_ref().map(|origin| origin.address.to_string());
    let args: Vec<_> = upstreams.iter().flat_map(|upstream| ["--upstream", upstream]).collect();
    let balancer = Balancer::start(&args);
    balancer.wait_until_ready(3);
    send(&balancer, "GET", "/close/everywhere");
    let scrape = Scrape::after(&balancer, 1);
    let arrived: usize = origins.iter().map(|origin| origin.arrived("/close").len()).sum();
    assert_eq!(arrived, 3, "it was tried at all of them");
    assert_eq!(scrape.value("ringherd_retries_total", &[]), 2.0);
    assert_eq!(scrape.by("ringherd_spills_total", "owner"), [("down", 1.0)].into());
}

#[test]
fn requests_under_way_are_in_flight_and_the_bound_makes_them_spill() {
    const SENT: usize = 20;
    let held = [held_replica(), held_replica()];
    let balancer = Balancer::start(&[
        "--upstream",
        &held[0].address,
        "--upstream",
        &held[1].address,
        "--bounded-load",
        "1",
        "--key",
        "header:X-User",
    ]);
    balancer.wait_until_ready(2);
    let public = balancer.public;
    let arrivals = |held: &[Held; 2]| held.iter().position(|held| held.arrived.try_recv().is_ok());
    let mut arrived = [0, 0];
    let mut clients = Vec::new();
    let mut owner = None;
    for _ in 0..SENT {
        let text = "GET /held HTTP/1.1\r\nHost: a\r\nX-User: one\r\nConnection: close\r\n\r\n";
        clients.push(std::thread::spawn(move || raw(public, text)));
        // One after the other, so that each meets the load of all before it.
        let at = wait_until("it arrives", || arrivals(&held));
        owner.get_or_insert(at);
        arrived[at] += 1;
    }
    let spilled = SENT - arrived[owner.expect("some were sent")];
    assert!(spilled > 0 && spilled < SENT, "{arrived:?}");
    let scrape = Scrape::of(&balancer);
    assert_eq!(scrape.by("ringherd_spills_total", "owner"), [("full", spilled as f64)].into());
    assert_eq!(scrape.value("ringherd_requests_in_flight", &[]), SENT as f64);
    assert_eq!(scrape.value("ringherd_connections", &[]), SENT as f64);
    assert_eq!(scrape.value("ringherd_retries_allowed", &[]), 4.0, "a fifth of what is in flight");
    assert_eq!(scrape.by(REQUESTS, "class"), BTreeMap::new(), "nothing is answered yet");
    for (number, arrived) in [("1", arrived[0]), ("2", arrived[1])] {
        let labels = [("number", number)];
        assert_eq!(scrape.value("ringherd_replica_requests_in_flight", &labels), arrived as f64);
    }
    for (held, arrived) in held.iter().zip(arrived) {
        (0..arrived).for_each(|_| held.release.send(()).expect("the replica waits"));
    }
    for client in clients {
        assert_eq!(client.join().expect("no panic").status, 200);
    }
    let scrape = Scrape::after(&balancer, SENT as u32);
    assert_eq!(scrape.by(REQUESTS, "class"), [("2xx", SENT as f64)].into());
    assert_eq!(scrape.sum("ringherd_replica_requests_in_flight", &[]), 0.0);
}

/// Clients at work while replicas die, come and go: no counter ever goes back, each scrape is
/// consistent in itself, and in the end every request is counted once.
#[test]
fn counters_grow_and_add_up_whatever_happens() {
    let balancer = Balancer::start(&[]);
    let load = Load::start(balancer.public, 4, 200, "GET");
    let mut last = Scrape::of(&balancer);
    let mut look = |balancer: &Balancer| {
        let next = Scrape::of(balancer);
        is_later(&last, &next);
        last = next;
    };
    let kill = request(balancer.admin, "POST", "/replicas/Server%202/kill", Some("{}"));
    assert_eq!(kill.status, 200, "{kill:?}");
    wait_until("it is replaced", || {
        look(&balancer);
        let ring = balancer.ring();
        (ring[1]["name"] != "Server 2" && ring[1]["state"] == "ready").then_some(())
    });
    for (method, path) in [("POST", "/add"), ("DELETE", "/rm")] {
        let change = request(balancer.admin, method, path, Some(r#"{"n":1,"hostnames":["S4"]}"#));
        assert_eq!(change.status, 200, "{change:?}");
        look(&balancer);
    }
    let report = load.stop();
    let sent = report.good.len() + report.failed.len();
    assert!(sent > 0);
    let scrape = Scrape::after(&balancer, sent as u32);
    is_later(&last, &scrape);
    assert_eq!(scrape.sum(REQUESTS, &[]), sent as f64);
    assert_eq!(scrape.sum(REQUESTS, &[("class", "2xx")]), report.good.len() as f64);
}

fn is_later(before: &Scrape, after: &Scrape) {
    let counts = |name: &str| ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end));
    for sample in before.samples.iter().filter(|sample| counts(&sample.name)) {
        let same = |now: &&Sample| now.name == sample.name && now.labels == sample.labels;
        // A removed replica's are gone.
        if let Some(now) = after.samples.iter().find(same) {
            assert!(now.value >= sample.value, "{sample:?} became {now:?}");
        } else {
            assert!(sample.labels.contains_key("replica"), "{sample:?} is gone");
        }
    }
    for family in after.families.iter().filter(|family| family.kind == "histogram") {
        for count in after.find(&format!("{}_count", family.name), &[]) {
            let labels: Vec<_> =
                count.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let buckets: Vec<_> = after.find(&format!("{}_bucket", family.name), &labels).collect();
            assert!(buckets.is_sorted_by(|a, b| a.value <= b.value), "{buckets:?}");
            let last = buckets.last().expect("there is one");
            assert_eq!((last.labels["le"].as_str(), last.value), ("+Inf", count.value), "{}", family.name);
        }
    }
}
