//! What `GET /metrics` says of the ring, of replicas that come and go, and who may read it.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which are exact")]

use crate::common::client::raw;
use crate::common::nobody::Nobody;
use crate::common::origin::Origin;
use crate::common::scrape::{OPEN, Scrape, ask};
use crate::common::{Balancer, request};

const RESTARTS: &str = "ringherd_replica_restarts_total";

/// The names that any series has.
fn named(scrape: &Scrape) -> Vec<String> {
    let mut names: Vec<_> =
        scrape.samples.iter().filter_map(|sample| sample.labels.get("replica").cloned()).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn a_killed_replicas_series_end_and_its_restart_has_a_reason() {
    let balancer = Balancer::start(&[]);
    let scrape = Scrape::when(&balancer, "all are up", |scrape| {
        scrape.value("ringherd_replicas", &[("state", "ready")]) == 3.0
    });
    assert_eq!(named(&scrape), ["Server 1", "Server 2", "Server 3"]);
    assert_eq!(scrape.find(RESTARTS, &[]).count(), 5, "the first restart must show as an increase");
    assert_eq!(scrape.sum(RESTARTS, &[]), 0.0);
    let kill = request(balancer.admin, "POST", "/replicas/Server%202/kill", Some("{}"));
    assert_eq!(kill.status, 200, "{kill:?}");
    let scrape = Scrape::when(&balancer, "it is replaced", |scrape| {
        named(scrape).iter().all(|name| name != "Server 2")
            && scrape.value("ringherd_replicas", &[("state", "ready")]) == 3.0
    });
    assert_eq!(scrape.by(RESTARTS, "reason"), [("exited", 1.0)].into());
    assert_eq!(named(&scrape).len(), 3);
    assert_eq!(scrape.value("ringherd_replica_up", &[("number", "2")]), 1.0, "under its number");
}

#[test]
fn an_add_and_a_removal_move_what_they_must_and_leave_no_series() {
    let balancer = Balancer::start(&[]);
    balancer.wait_until_ready(3);
    let before = Scrape::of(&balancer);
    let slots = before.value("ringherd_ring_slots", &[]);
    let change = |method, path| {
        let answer = request(balancer.admin, method, path, Some(r#"{"n":1,"hostnames":["S4"]}"#));
        assert_eq!(answer.status, 200, "{answer:?}");
        Scrape::of(&balancer)
    };
    let added = change("POST", "/add");
    assert_eq!(named(&added), ["S4", "Server 1", "Server 2", "Server 3"]);
    let removed = change("DELETE", "/rm");
    assert_eq!(named(&removed), ["Server 1", "Server 2", "Server 3"]);
    let of_s4 = added.value("ringherd_replica_slots", &[("replica", "S4")]);
    for (from, to) in [(&before, &added), (&added, &removed)] {
        let grown = |name| to.value(name, &[]) - from.value(name, &[]);
        assert_eq!(grown("ringherd_ring_publications_total"), 1.0);
        assert_eq!(grown("ringherd_ring_version"), 1.0);
        assert_eq!(grown("ringherd_ring_build_seconds_count"), 1.0);
        assert_eq!(grown("ringherd_ring_slots_moved_total"), of_s4, "those of S4 and no others");
        assert!((to.value("ringherd_ring_keys_moved_ratio", &[]) - of_s4 / slots).abs() < 1e-9);
    }
    assert_eq!(removed.sum(RESTARTS, &[]), 0.0, "neither is a restart");
}

#[test]
fn the_ring_is_the_one_that_the_api_shows() {
    let balancer = Balancer::start(&["--replicas", "4"]);
    balancer.wait_until_ready(4);
    let weight = request(balancer.admin, "PUT", "/replicas/Server%203", Some(r#"{"weight":40}"#));
    assert_eq!(weight.status, 200, "{weight:?}");
    let scrape = Scrape::of(&balancer);
    let ring = request(balancer.admin, "GET", "/ring", None).json();
    for (metric, field) in [
        ("ringherd_ring_slots", "slots"),
        ("ringherd_ring_virtual_nodes", "virtual_nodes"),
        ("ringherd_ring_version", "version"),
        ("ringherd_ring_peak_to_average", "peak_to_average"),
    ] {
        assert_eq!(Some(scrape.value(metric, &[])), ring[field].as_f64(), "{metric}");
    }
    for replica in balancer.ring() {
        let labels = [("replica", replica["name"].as_str().expect("a name"))];
        for (metric, field) in [
            ("ringherd_replica_slots", "slots"),
            ("ringherd_replica_share", "share"),
            ("ringherd_replica_weight", "weight"),
        ] {
            assert_eq!(Some(scrape.value(metric, &labels)), replica[field].as_f64(), "{metric} {labels:?}");
        }
    }
    assert!((scrape.sum("ringherd_replica_share", &[]) - 1.0).abs() < 1e-9);
}

#[test]
fn heartbeats_are_counted_by_their_result() {
    let origin = Origin::start();
    let nobody = Nobody::new();
    let upstreams = [origin.address.to_string(), nobody.address.to_string()];
    let balancer = Balancer::start(&["--upstream", &upstreams[0], "--upstream", &upstreams[1]]);
    let scrape = Scrape::when(&balancer, "both were asked", |scrape| {
        let count = |result| scrape.value("ringherd_heartbeats_total", &[("result", result)]);
        count("good") >= 2.0 && count("bad") >= 2.0
    });
    assert_eq!(scrape.by("ringherd_replicas", "state"), [("ready", 1.0), ("starting", 1.0)].into());
    assert_eq!(scrape.by("ringherd_replica_up", "number"), [("1", 1.0)].into());
    assert_eq!(scrape.value("ringherd_heartbeats_total", &[("result", "unsent")]), 0.0);
}

#[test]
fn an_engine_that_does_not_answer_is_an_outage_and_its_calls_are_counted() {
    let nobody = Nobody::new();
    let engine = format!("tcp://{}", nobody.address);
    let balancer = Balancer::start(&["--runtime", "docker", "--docker-host", &engine]);
    let scrape = Scrape::when(&balancer, "a call fails", |scrape| {
        scrape.value("ringherd_engine_calls_total", &[("result", "unreachable")]) >= 1.0
    });
    assert_eq!(scrape.value("ringherd_runtime_outage", &[]), 1.0);
    assert_eq!(scrape.find("ringherd_engine_calls_total", &[]).count(), 4);
    let calls = scrape.sum("ringherd_engine_calls_total", &[]);
    assert_eq!(scrape.value("ringherd_engine_call_duration_seconds_count", &[]), calls);
}

#[test]
fn the_process_and_its_version_are_told() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    let scrape = Scrape::of(&balancer);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(scrape.value("ringherd_build_info", &version), 1.0);
    let open = scrape.value("process_open_fds", &[]);
    assert!(open > 3.0 && open < scrape.value("process_max_fds", &[]), "{open}");
    assert!(scrape.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(scrape.value("process_cpu_seconds_total", &[]) > 0.0);
    let lost = |scrape: &Scrape| scrape.find("ringherd_access_log_lost_lines_total", &[]).count();
    assert_eq!(lost(&scrape), 0, "without an access log there is nothing to lose");
    assert_eq!(lost(&Scrape::of(&Balancer::start(&["--replicas", "0", "--access-log", "stdout"]))), 2);
}

#[test]
fn a_scraper_gets_the_format_that_it_reads() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    balancer.wait_until_ready(1);
    let open = ask(balancer.admin, "GET", OPEN);
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    for accept in ["", "Accept: */*\r\n", "Accept: text/plain\r\n"] {
        let classic = ask(balancer.admin, "GET", accept);
        assert_eq!(classic.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        assert!(classic.body.contains("\n# TYPE ringherd_requests_total counter\n"), "{accept}");
        // The same series, whatever their values have become.
        let series = |text: &str| {
            let samples = text.lines().filter(|line| !line.starts_with('#'));
            samples.map(|line| line.rsplit_once(' ').expect("a value").0.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(series(&classic.body), series(&open.body));
    }
    for accept in ["", OPEN] {
        let head = ask(balancer.admin, "HEAD", accept);
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert!(head.header("content-length").is_some_and(|length| length.len() > 3), "{head:?}");
    }
    assert_eq!(ask(balancer.admin, "POST", "").header("allow"), Some("GET, HEAD"));
}

#[test]
fn metrics_need_the_token_and_are_not_public() {
    let token = "a-token-of-tests";
    let balancer = Balancer::start_with(&["--replicas", "1", "--public-admin", "on"], |command| {
        command.env("RINGHERD_ADMIN_TOKEN", token);
    });
    for headers in ["", "Authorization: Bearer another-token\r\n"] {
        let refused = ask(balancer.admin, "GET", headers);
        assert_eq!(refused.status, 401);
        assert!(!refused.body.contains("ringherd_"), "{refused:?}");
    }
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(ask(balancer.admin, "GET", &bearer).status, 200);
    // There it is a path of the replicas, which know no such thing.
    let text = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{bearer}\r\n");
    let answer = raw(balancer.public, &text);
    assert_eq!((answer.status, answer.header("x-ringherd-error")), (400, None));
    assert!(!answer.body.contains("# TYPE"), "{answer:?}");
}
