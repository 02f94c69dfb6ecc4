//! How many heartbeats there are at a time, and what is not held against a replica.

use super::*;
use crate::control::HealthConfig;

/// Replicas that run and were not asked yet, with one heartbeat at a time.
fn crowd(replicas: u32) -> (Herd, Vec<Launch>) {
    let config = ControlConfig { replicas, ..ControlConfig::default() };
    let mut herd = Herd::cold(config, Owner::Balancer, &[]);
    herd.pool.limit_heartbeats(1);
    let launched = launches(&herd.first.clone());
    (herd, launched)
}

#[test]
fn heartbeats_beyond_the_limit_wait_in_the_order_in_which_they_were_due() {
    let (mut herd, launched) = crowd(3);
    let ids: Vec<_> = launched.iter().map(|launch| launch.id).collect();
    assert_eq!(checks(&herd.started(ids[0])), [ids[0]]);
    for &id in &ids[1..] {
        herd.now += Duration::from_millis(1);
        assert_eq!(checks(&herd.started(id)), []);
    }
    for pair in ids.windows(2) {
        assert_eq!(checks(&herd.step(Event::Heartbeat(pair[0], Verdict::Good))), [pair[1]]);
    }
}

#[test]
fn one_that_is_gone_keeps_no_place_in_the_queue() {
    let (mut herd, launched) = crowd(3);
    let ids: Vec<_> = launched.iter().map(|launch| launch.id).collect();
    for id in &ids {
        herd.started(*id);
    }
    herd.exit(ids[1]);
    assert_eq!(checks(&herd.step(Event::Heartbeat(ids[0], Verdict::Good))), [ids[2]]);
}

#[test]
fn the_wait_for_a_heartbeat_is_not_held_against_a_replica() {
    let (mut herd, launched) = crowd(2);
    let limit = ControlConfig::default().start_timeout;
    herd.started(launched[0].id);
    herd.started(launched[1].id);
    // The one heartbeat that is allowed hangs; its replica has had its time.
    let stopped = stops(&herd.wait(limit * 2));
    assert!(stopped.contains(&launched[0].id) && !stopped.contains(&launched[1].id), "{stopped:?}");
    let actions = herd.step(Event::Heartbeat(launched[0].id, Verdict::Bad("no answer".to_owned())));
    assert_eq!(checks(&actions), [launched[1].id]);
    assert_eq!(stops(&herd.wait(limit / 2)), [], "its time has begun");
    assert_eq!(published(&herd.step(Event::Heartbeat(launched[1].id, Verdict::Good))), [2]);
}

#[test]
fn replicas_are_asked_at_moments_of_their_own() {
    let mut herd = Herd::of(8);
    let interval = HealthConfig::default().interval;
    let first = herd.pool.next_deadline().expect("a heartbeat");
    let mut busiest = 0;
    let mut asked = std::collections::BTreeMap::<ReplicaId, u32>::new();
    let end = first + interval * 10;
    while let Some(at) = herd.pool.next_deadline().filter(|&at| at < end) {
        herd.now = at;
        let due = checks(&herd.step(Event::Tick));
        busiest = busiest.max(due.len());
        for id in due {
            *asked.entry(id).or_default() += 1;
            herd.step(Event::Heartbeat(id, Verdict::Good));
        }
    }
    assert_eq!(busiest, 1, "never together");
    assert!(asked.len() == 8 && asked.values().all(|&times| times == 10), "{asked:?}");
}
