//! How evenly requests spread, counted where they arrive.

use std::collections::BTreeMap;

use crate::common::load::read_answers;
use crate::common::{Balancer, request};

const REQUESTS: usize = 10_000;

/// Peak-to-average over 10,000 requests with random six-digit ids, by the replicas' answers. The
/// ids are the same in each run, so that a rare draw does not fail it.
#[test]
fn ten_thousand_requests_spread_evenly_over_two_to_six_replicas() {
    let balancer = Balancer::start(&["--replicas", "2"]);
    for replicas in 2..=6 {
        let counts = counted(&balancer, REQUESTS);
        let peak = *counts.values().max().expect("answers");
        let ratio = peak as f64 * f64::from(replicas) / REQUESTS as f64;
        println!("N={replicas}: peak-to-average {ratio:.3} {counts:?}");
        assert_eq!(counts.len(), replicas as usize, "every replica has its share");
        assert_eq!(counts.values().sum::<usize>(), REQUESTS);
        assert!(ratio <= 1.10, "N={replicas}: peak-to-average {ratio:.3}, counted {counts:?}");
        if replicas < 6 {
            assert_eq!(request(balancer.public, "POST", "/add", Some(r#"{"n":1}"#)).status, 200);
        }
    }
}

fn counted(balancer: &Balancer, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut rng = fastrand::Rng::with_seed(1);
    let request =
        |_| format!("GET /home HTTP/1.1\r\nHost: t\r\nX-Request-Id: {}\r\n\r\n", rng.u32(100_000..1_000_000));
    let requests: Vec<String> = (0..requests).map(request).collect();
    for body in read_answers(balancer.public, &requests) {
        *counts.entry(body).or_default() += 1;
    }
    counts
}
