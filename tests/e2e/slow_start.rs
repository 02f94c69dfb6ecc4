//! Slow start: a replica that joins takes more and more of its keys.

use crate::common::backend::Backend;
use crate::common::{Balancer, before, metric, request, wait_until};

const PATHS: usize = 300;

fn homes(balancer: &Balancer) -> Vec<String> {
    (0..PATHS).map(|n| request(balancer.public, "GET", &format!("/{n}"), None).body).collect()
}

fn add(balancer: &Balancer, backend: &Backend) {
    let body = format!(r#"{{"n":1,"endpoints":["{}"]}}"#, backend.address);
    let answer = request(balancer.admin, "POST", "/add", Some(&body));
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_replica_that_joins_takes_a_growing_share_of_its_keys() {
    let backends = [Backend::start("one"), Backend::start("two")];
    let third = Backend::start("three");
    let at_once = before(&backends, &["--key", "path"]);
    let first = homes(&at_once);
    add(&at_once, &third);
    let last = homes(&at_once);
    let its_keys = last.iter().filter(|home| *home == "three").count();
    assert!(its_keys > PATHS / 6, "{its_keys}");

    let slowly = before(&backends, &["--key", "path", "--slow-start", "1h"]);
    assert_eq!(homes(&slowly), first, "those from the start begin with all");
    add(&slowly, &third);
    let now = homes(&slowly);
    let taken = now.iter().filter(|home| *home == "three").count();
    assert!(taken > 0 && taken < its_keys / 2, "{taken} of {its_keys}");
    for n in 0..PATHS {
        assert!(now[n] == last[n] || last[n] == "three", "/{n} is at {}", now[n]);
    }
    assert!(metric(&slowly, "ringherd_spills_total", &[("owner", "warming")]) >= (its_keys - taken) as u64);

    let soon = before(&backends, &["--key", "path", "--slow-start", "200ms"]);
    add(&soon, &third);
    wait_until("it takes all of its keys", || (homes(&soon) == last).then_some(()));
}
