//! `/add`: all or nothing, and what it refuses.

use super::*;
use crate::control::HealthConfig;
use crate::ring::{Family, Params, Placement, Probing};

#[test]
fn replicas_enter_the_ring_together_after_their_first_good_heartbeats() {
    let mut herd = Herd::of(3);
    let actions = herd.add(2, &["S4", "S5"]);
    let launched = launches(&actions);
    assert_eq!(launched.iter().map(|l| (l.number, &*l.name)).collect::<Vec<_>>(), [(4, "S4"), (5, "S5")]);
    assert_eq!((publications(&actions).len(), reply(&actions)), (0, None));
    assert_eq!(herd.names().len(), 3, "not members yet");

    let actions = herd.bring_up(launched[0].id);
    assert_eq!((publications(&actions).len(), reply(&actions)), (0, None), "waits for the other");
    let actions = herd.bring_up(launched[1].id);
    assert_eq!(published(&actions), [1, 2, 3, 4, 5]);
    assert_eq!(reply(&actions), Some(Ok(())));
    assert_eq!(herd.names(), ["Server 1", "Server 2", "Server 3", "S4", "S5"]);
}

#[test]
fn one_failure_stops_the_others_and_frees_numbers_and_names() {
    let mut herd = Herd::of(1);
    let launched = launches(&herd.add(3, &["A", "B"]));
    herd.bring_up(launched[0].id);
    let actions = herd.step(Event::Runtime(RuntimeEvent::StartFailed {
        id: launched[1].id,
        reason: "no memory".to_owned(),
    }));
    assert_eq!(stops(&actions), [launched[0].id, launched[2].id]);
    assert_eq!(publications(&actions).len(), 0);
    let failures = vec![("B".to_owned(), "no memory".to_owned())];
    assert_eq!(reply(&actions), Some(Err(ControlError::StartFailed(failures))));
    let again = launches(&herd.add(2, &["b", "a"]));
    assert_eq!(again.iter().map(|l| l.number).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn who_is_not_ready_in_time_fails_the_whole_and_is_named() {
    let mut herd = Herd::of(1);
    let launched = launches(&herd.add(4, &["Good", "Sick", "Slow", "Held up"]));
    herd.bring_up(launched[0].id);
    herd.started(launched[1].id);
    herd.step(Event::Heartbeat(launched[1].id, Verdict::Bad("answered 503".to_owned())));
    let told = ["no node", "no image"].map(|reason| {
        let actions = herd
            .step(Event::Runtime(RuntimeEvent::Delayed { id: launched[3].id, reason: reason.to_owned() }));
        let warned = |action: &Action| matches!(action, Action::Unready { name, .. } if name == "Held up");
        actions.iter().any(warned)
    });
    assert_eq!(told, [true, false], "once");
    let actions = herd.wait(ControlConfig::default().start_timeout);
    let failures = vec![
        (
            "Sick".to_owned(),
            "no good heartbeat within 10s: answered 503; if it is slow to start, raise --start-timeout"
                .to_owned(),
        ),
        (
            "Slow".to_owned(),
            "did not start within 10s; if that is too short, raise --start-timeout".to_owned(),
        ),
        ("Held up".to_owned(), "did not start within 10s: no image".to_owned()),
    ];
    assert_eq!(reply(&actions), Some(Err(ControlError::StartFailed(failures))));
    assert_eq!(stops(&actions).len(), 4);
    assert_eq!(herd.names(), ["Server 1"]);
}

#[test]
fn the_smallest_free_numbers_are_taken() {
    let mut herd = Herd::of(4);
    herd.remove(2, &["Server 1", "Server 3"]);
    let numbers = |actions: &[Action]| launches(actions).iter().map(|l| l.number).collect::<Vec<_>>();
    assert_eq!(numbers(&herd.add(1, &[])), [1]);
    assert_eq!(numbers(&herd.add(2, &[])), [3, 5], "those of an unfinished /add are taken");
}

#[test]
fn what_is_refused_changes_nothing() {
    use ControlError as E;
    let mut herd = Herd::of(3);
    herd.add(1, &["Pending"]);
    let taken = |name: &str| E::NameTaken(name.to_owned());
    let cases: [(u32, &[&str], ControlError); 7] = [
        (0, &[], E::Zero),
        (1, &["A", "B"], E::MoreNamesThanAdded),
        (2, &["A", "a"], E::NameTwice("a".to_owned())),
        (1, &["SERVER 2"], taken("SERVER 2")),
        (1, &["pending"], taken("pending")),
        (61, &[], E::TooMany { asked: 61, total: 65, max: 64 }),
        (u32::MAX, &[], E::TooMany { asked: u32::MAX, total: 4 + u64::from(u32::MAX), max: 64 }),
    ];
    for (count, names, error) in cases {
        assert_eq!(herd.add(count, names), [Action::Reply(TICKET, Err(error))]);
    }
    assert!(matches!(reply(&herd.add(1, &["-"])), Some(Err(E::Name(_)))));
    let add = Add { count: 1, endpoints: vec!["a:1".to_owned()], ..Add::default() };
    let actions = herd.step(Event::Request(TICKET, Request::Add(add)));
    assert_eq!(reply(&actions), Some(Err(E::EndpointsNotTaken("test"))));
    assert_eq!(herd.names().len(), 3);
}

#[test]
fn a_full_ring_is_known_before_anything_is_started() {
    let ring =
        Params::new(Family::Modified, Probing::Quadratic, Placement::Ring, 16, 4).expect("a power of two");
    let mut herd =
        Herd::cold(ControlConfig { ring, replicas: 3, ..ControlConfig::default() }, Owner::Balancer, &[]);
    assert_eq!(launches(&herd.add(1, &[])).len(), 1);
    let actions = herd.add(1, &[]);
    let Some(Err(ControlError::Ring(why))) = reply(&actions) else { panic!("{actions:?}") };
    assert!(why.contains('5') && why.contains('4'), "{why}");
    assert_eq!(actions.len(), 1);
}

#[test]
fn a_pool_that_cannot_be_is_refused() {
    let new = |config, owner, endpoints: &[&str]| {
        let facts = RuntimeFacts { kind: "test", owner, lists: false, prepares: false };
        let endpoints = endpoints.iter().map(ToString::to_string).collect();
        Pool::new(config, facts, endpoints, 1, Instant::now()).map(drop)
    };
    let many = ControlConfig { replicas: 65, ..ControlConfig::default() };
    assert_eq!(new(many, Owner::Balancer, &[]), Err(ControlError::TooMany { asked: 65, total: 65, max: 64 }));
    let many = ControlConfig { replicas: 300, max_replicas: 1000, ..ControlConfig::default() };
    assert!(matches!(new(many, Owner::Balancer, &[]), Err(ControlError::Ring(_))));
    let bad = ControlError::BadEndpoint("a".to_owned());
    assert_eq!(new(ControlConfig::default(), Owner::Others, &["a"]), Err(bad));
    let twice = ControlError::EndpointTaken("A:1".to_owned());
    assert_eq!(new(ControlConfig::default(), Owner::Others, &["a:1", "A:1"]), Err(twice));
}

#[test]
fn where_replicas_are_not_ours_an_add_brings_its_endpoints() {
    use ControlError as E;
    let mut herd = Herd::cold(ControlConfig::default(), Owner::Others, &["a:1"]);
    let first = launches(&herd.first);
    assert_eq!(first[0].existing.as_deref(), Some("a:1"));
    herd.bring_up(first[0].id);
    let mut add = |endpoints: &[&str]| {
        let endpoints = endpoints.iter().map(ToString::to_string).collect();
        let actions =
            herd.step(Event::Request(TICKET, Request::Add(Add { count: 2, names: Vec::new(), endpoints })));
        (reply(&actions), launches(&actions))
    };
    assert_eq!(add(&[]).0, Some(Err(E::EndpointsNeeded(2))));
    assert_eq!(add(&["b:1"]).0, Some(Err(E::EndpointsNeeded(2))));
    assert_eq!(add(&["b:1", "B:1"]).0, Some(Err(E::EndpointTaken("B:1".to_owned()))));
    assert_eq!(add(&["b:1", "a:1"]).0, Some(Err(E::EndpointTaken("a:1".to_owned()))));
    assert_eq!(add(&["b:1", "c"]).0, Some(Err(E::BadEndpoint("c".to_owned()))));
    let (reply, launched) = add(&["b:1", "c:1"]);
    assert_eq!((reply, launched.len()), (None, 2));
    herd.bring_up(launched[0].id);
    assert_eq!(published(&herd.bring_up(launched[1].id)), [1, 2, 3]);
}

#[test]
fn a_starting_replica_is_asked_again_quickly() {
    let mut herd = Herd::of(0);
    let id = launches(&herd.add(1, &[]))[0].id;
    herd.started(id);
    let asked_at = herd.now;
    herd.step(Event::Heartbeat(id, Verdict::Bad("refused".to_owned())));
    let pause = herd.pool.next_deadline().expect("the next heartbeat") - asked_at;
    assert!(pause < HealthConfig::default().interval / 10, "{pause:?}");
}

/// A runtime that brings up a few at a time: the last of many may take longer than one alone.
#[test]
fn time_to_start_counts_from_when_the_one_before_came_up() {
    let mut herd = Herd::of(1);
    let many = launches(&herd.add(5, &[]));
    let limit = ControlConfig::default().start_timeout;
    for launch in &many {
        assert_eq!(reply(&herd.wait(limit * 9 / 10)), None);
        herd.started(launch.id);
        herd.step(Event::Heartbeat(launch.id, Verdict::Good));
    }
    assert_eq!(herd.pool.members().count(), 6);

    // One of which nothing is heard does not hang on others for ever.
    let silent = launches(&herd.add(1, &["Silent"]));
    let mut answer = None;
    for _ in 0..20 {
        let mut actions = herd.member(1).id.map(|id| herd.exit(id)).unwrap_or_default();
        actions.extend(herd.wait(limit / 2));
        for launch in launches(&actions) {
            herd.started(launch.id);
        }
        answer = answer.or(reply(&actions));
    }
    assert!(matches!(answer, Some(Err(ControlError::StartFailed(_)))), "{answer:?} {silent:?}");
}

#[test]
fn an_add_whose_replica_falls_ill_before_the_others_are_ready_fails_in_time() {
    let mut herd = Herd::of(1);
    let two = launches(&herd.add(2, &["A", "B"]));
    herd.bring_up(two[0].id);
    herd.bad(two[0].id);
    herd.bad(two[0].id);
    herd.started(two[1].id);
    herd.step(Event::Heartbeat(two[1].id, Verdict::Good));
    let actions = herd.wait(ControlConfig::default().start_timeout * 2);
    assert!(matches!(reply(&actions), Some(Err(ControlError::StartFailed(_)))), "{actions:?}");
}
