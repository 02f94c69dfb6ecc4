//! Outlier detection: a replica that answers heartbeats and fails requests.

use serde_json::Value;

use crate::common::backend::Backend;
use crate::common::{Balancer, before, metric, request, wait_until};

fn status(balancer: &Balancer, method: &str) -> u16 {
    request(balancer.public, method, "/x", None).status
}

fn state(balancer: &Balancer, index: usize) -> Value {
    balancer.ring()[index]["state"].clone()
}

#[test]
fn a_replica_that_fails_requests_is_ejected_and_comes_back_after_its_trial() {
    let backends = ["one", "two", "three"].map(Backend::start);
    let mut balancer = before(&backends, &["--outlier-base-ejection-time", "300ms"]);
    backends[0].respond_with(503);
    // Whatever the method: what a replica answers is passed on.
    let ejected = wait_until("it is ejected", || {
        status(&balancer, "POST");
        Some(balancer.ring().swap_remove(0)).filter(|replica| replica["state"] == "ejected")
    });
    let note = ejected["note"].as_str().expect("text");
    assert!(note.contains("requests in a row failed; the last: a response with 502, 503 or 504"), "{note}");
    let event = balancer.find_log("it is told", |event| event["message"] == "replica ejected");
    assert_eq!((&event["level"], &event["number"]), (&"WARN".into(), &1.into()));

    // Its trials fail, and a request that may be repeated notices nothing of them.
    let trials = metric(&balancer, "ringherd_outlier_trials_total", &[("result", "failed")]);
    wait_until("two trials have failed", || {
        assert_eq!(status(&balancer, "GET"), 200);
        (metric(&balancer, "ringherd_outlier_trials_total", &[("result", "failed")]) >= trials + 2)
            .then_some(())
    });
    assert!(metric(&balancer, "ringherd_outlier_ejections_total", &[("cause", "consecutive")]) >= 1);
    assert!(metric(&balancer, "ringherd_outlier_ejections_total", &[("cause", "trial")]) >= 2);

    backends[0].respond_with(200);
    wait_until("it is back", || {
        assert_eq!(status(&balancer, "GET"), 200);
        (state(&balancer, 0) == "ready").then_some(())
    });
    let served = backends[0].served();
    wait_until("it is used", || {
        assert_eq!(status(&balancer, "POST"), 200);
        (backends[0].served() > served).then_some(())
    });
    assert_eq!(metric(&balancer, "ringherd_replica_restarts_total", &[("reason", "unhealthy")]), 0);
}

#[test]
fn the_keys_of_the_others_stay_where_they_are() {
    let backends = ["one", "two", "three"].map(Backend::start);
    let balancer = before(&backends, &["--key", "path", "--outlier-base-ejection-time", "1h"]);
    let at = |path: &str| request(balancer.public, "GET", path, None).body;
    let paths: Vec<_> = (0..40).map(|n| format!("/{n}")).collect();
    let homes: Vec<_> = paths.iter().map(|path| at(path)).collect();
    backends[1].respond_with(0);
    wait_until("it is ejected", || {
        for path in &paths {
            at(path);
        }
        (state(&balancer, 1) == "ejected").then_some(())
    });
    for (path, home) in paths.iter().zip(&homes) {
        let now = at(path);
        assert!(if home == "two" { now != "two" } else { now == *home }, "{path}: {home}, now {now}");
    }
}

#[test]
fn half_of_them_stay_whatever_happens_and_that_is_told() {
    let backends = ["one", "two"].map(Backend::start);
    let mut balancer = before(&backends, &["--outlier-base-ejection-time", "1h"]);
    for backend in &backends {
        backend.respond_with(500);
    }
    for _ in 0..20 {
        assert_eq!(status(&balancer, "GET"), 500, "a 500 is the application's own");
    }
    assert_eq!((state(&balancer, 0), state(&balancer, 1)), ("ready".into(), "ready".into()));
    for backend in &backends {
        backend.respond_with(502);
    }
    wait_until("one is ejected and the other is not", || {
        assert_eq!(status(&balancer, "GET"), 502);
        let refused = metric(&balancer, "ringherd_outlier_ejections_refused_total", &[]) > 0;
        (refused && (state(&balancer, 0) == "ejected") != (state(&balancer, 1) == "ejected")).then_some(())
    });
    balancer.find_log("it is told", |event| {
        event["message"].as_str().is_some_and(|message| message.starts_with("replica is not ejected"))
    });
}
