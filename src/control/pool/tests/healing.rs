//! Death, illness and recovery: the ring stays what it was.

use std::collections::VecDeque;

use super::*;
use crate::control::HealthConfig;
use crate::control::pool::{STARTS, WINDOW};

#[test]
fn a_replacement_takes_over_the_number_under_a_new_name() {
    let mut herd = Herd::of(3);
    let before = herd.pool.publication();
    let dead = herd.id(2);
    let actions = herd.exit(dead);
    assert_eq!(actions[0], Action::SetUp(dead, false), "before all else");
    let launch = launches(&actions).remove(0);
    assert_eq!(launch.number, 2);
    assert!(launch.name.starts_with("Server-") && launch.name.len() == 13, "{}", launch.name);
    assert_eq!(publications(&actions).len(), 0, "the dead one keeps the place");
    assert_eq!(herd.names(), ["Server 1", &launch.name, "Server 3"]);
    assert_eq!(herd.state(2), State::Starting);
    assert_eq!(herd.member(2).note, "'Server 2' failed: signal 9");

    let actions = herd.bring_up(launch.id);
    let [after] = publications(&actions)[..] else { panic!("{actions:?}") };
    assert!(after.nodes().eq(before.nodes()), "the same ring");
    assert_eq!(after.members[1].id, launch.id);
    assert_eq!((herd.state(2), herd.member(2).note), (State::Ready, String::new()));
}

#[test]
fn a_weight_outlives_its_replica() {
    let mut herd = Herd::of(2);
    herd.step(Event::Request(TICKET, Request::SetWeight { name: "Server 1".to_owned(), weight: 40 }));
    let dead = herd.id(1);
    let launch = launches(&herd.exit(dead)).remove(0);
    let actions = herd.bring_up(launch.id);
    assert_eq!(publications(&actions)[0].members[0].weight, 40);
}

#[test]
fn a_replica_that_keeps_dying_comes_back_ever_later_and_keeps_its_name() {
    let mut herd = Herd::of(1);
    let dead = herd.id(1);
    let mut launch = launches(&herd.exit(dead)).remove(0);
    let mut starts = VecDeque::from([herd.now, herd.now]);
    let name = launch.name.clone();
    for failure in 2..60 {
        let failed_at = herd.now;
        herd.step(Event::Runtime(RuntimeEvent::StartFailed {
            id: launch.id,
            reason: "no such file".to_owned(),
        }));
        let note = herd.member(1).note;
        assert!(
            note.contains("no such file") && note.contains(&format!("failure {failure} in a row")),
            "{note}"
        );
        herd.now = herd.pool.next_deadline().expect("it is tried again");
        launch = launches(&herd.step(Event::Tick)).remove(0);
        assert_eq!(launch.name, name);
        let delay = herd.now - failed_at;
        assert!(delay >= Duration::from_millis(75) * 2u32.pow((failure - 2).min(8)), "{failure}: {delay:?}");
        starts.push_back(herd.now);
    }
    assert!(starts.make_contiguous().windows(STARTS + 1).all(|few| few[STARTS] - few[0] >= WINDOW));
}

#[test]
fn half_a_minute_of_health_makes_up_for_failures() {
    for (ready_for_s, at_once) in [(29, false), (30, true)] {
        let mut herd = Herd::of(1);
        let id = herd.id(1);
        let again = launches(&herd.exit(id)).remove(0);
        herd.bring_up(again.id);
        herd.now += Duration::from_secs(ready_for_s);
        assert_eq!(launches(&herd.exit(again.id)).len() == 1, at_once, "after {ready_for_s} s");
    }
}

#[test]
fn a_replica_from_the_start_that_never_came_up_is_tried_again_under_its_name() {
    let mut herd =
        Herd::cold(ControlConfig { replicas: 1, ..ControlConfig::default() }, Owner::Balancer, &[]);
    let id = herd.id(1);
    let actions = herd.step(Event::Runtime(RuntimeEvent::StartFailed { id, reason: "no port".to_owned() }));
    assert_eq!(launches(&actions)[0].name, "Server 1");
    let slow = herd.id(1);
    let actions = herd.wait(ControlConfig::default().start_timeout + Duration::from_secs(1));
    assert_eq!(stops(&actions), [slow]);
    assert_eq!(launches(&actions).len(), 1);
}

#[test]
fn bad_heartbeats_eject_and_a_good_one_brings_back() {
    let mut herd = Herd::of(2);
    let id = herd.id(1);
    let actions = herd.bad(id);
    assert_eq!((herd.state(1), actions.len()), (State::Ready, 0), "one is not enough");
    let before = herd.now;
    let actions = herd.bad(id);
    assert!(herd.now - before < HealthConfig::default().interval / 4, "the second follows sooner");
    assert_eq!(actions[0], Action::SetUp(id, false));
    assert_eq!(publications(&actions).len(), 0, "the ring stays as it is");
    assert_eq!((herd.state(1), herd.member(1).note), (State::Ejected, "answered 503".to_owned()));

    while checks(&herd.step(Event::Tick)) != [id] {
        herd.now = herd.pool.next_deadline().expect("the next heartbeat");
    }
    assert_eq!(herd.step(Event::Heartbeat(id, Verdict::Good))[0], Action::SetUp(id, true));
    assert_eq!((herd.state(1), herd.member(1).note), (State::Ready, String::new()));
}

#[test]
fn a_replica_that_stays_ill_is_replaced() {
    let mut herd = Herd::of(1);
    let id = herd.id(1);
    herd.bad(id);
    herd.bad(id);
    let actions = herd.wait(ControlConfig::default().replace_after);
    assert_eq!(stops(&actions), [id]);
    let launch = launches(&actions).remove(0);
    assert_eq!(launch.number, 1);
    assert_eq!(herd.exit(id), [], "its end was asked for");
    assert_eq!(published(&herd.bring_up(launch.id)), [1]);
}

#[test]
fn what_others_run_is_ejected_but_never_replaced() {
    let mut herd = Herd::cold(ControlConfig::default(), Owner::Others, &["a:1"]);
    let id = herd.id(1);
    herd.started(id);
    herd.step(Event::Heartbeat(id, Verdict::Bad("refused".to_owned())));
    let actions = herd.wait(Duration::from_secs(60));
    assert_eq!((stops(&actions), launches(&actions)), (vec![], vec![]), "it may come when it likes");
    assert_eq!(published(&herd.step(Event::Heartbeat(id, Verdict::Good))), [1]);
    herd.bad(id);
    herd.bad(id);
    assert_eq!(herd.state(1), State::Ejected);
    let actions = herd.wait(Duration::from_secs(600));
    assert_eq!((stops(&actions), launches(&actions)), (vec![], vec![]));
    assert_eq!(herd.step(Event::Heartbeat(id, Verdict::Good))[0], Action::SetUp(id, true));
}

#[test]
fn a_failed_request_leads_to_one_check() {
    let mut herd = Herd::of(1);
    let id = herd.id(1);
    herd.now += Duration::from_millis(100);
    assert_eq!(checks(&herd.step(Event::RequestFailed(id))), [id]);
    assert_eq!(herd.step(Event::RequestFailed(id)), [], "one is under way");
    herd.step(Event::Heartbeat(id, Verdict::Good));
    assert_eq!(herd.step(Event::RequestFailed(id)), [], "one was just made");
    assert_eq!(checks(&herd.wait(Duration::from_millis(20))), [id]);
}

#[test]
fn events_about_the_unknown_change_nothing() {
    let mut herd = Herd::of(2);
    let dead = herd.id(1);
    herd.exit(dead);
    for id in [dead, ReplicaId(0), ReplicaId(999)] {
        let reason = || "?".to_owned();
        let address = ([127, 0, 0, 1], 9).into();
        for event in [
            Event::Runtime(RuntimeEvent::Started { id, address, instance: reason() }),
            Event::Runtime(RuntimeEvent::StartFailed { id, reason: reason() }),
            Event::Runtime(RuntimeEvent::Exited { id, reason: reason() }),
            Event::Heartbeat(id, Verdict::Good),
            Event::Heartbeat(id, Verdict::Bad(reason())),
            Event::RequestFailed(id),
            Event::Drained(id),
        ] {
            assert_eq!(herd.step(event.clone()), [], "{event:?}");
        }
    }
}

#[test]
fn a_heartbeat_that_could_not_be_sent_is_no_verdict() {
    let mut herd = Herd::of(1);
    let id = herd.id(1);
    for _ in 0..10 {
        let actions = herd.wait(HealthConfig::default().interval * 2);
        assert_eq!(checks(&actions), [id], "it is tried again");
        let reason = "too many open files".to_owned();
        assert_eq!(herd.step(Event::Heartbeat(id, Verdict::Unknown(reason))), []);
        assert_eq!(herd.state(1), State::Ready);
    }
}
