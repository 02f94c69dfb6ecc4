//! `/rm` and the end: off the ring, drained, stopped.

use super::*;

#[test]
fn unpublished_then_answered_then_drained_then_stopped() {
    let mut herd = Herd::of(3);
    let id = herd.id(2);
    let actions = herd.remove(1, &["server 2"]);
    assert!(matches!(
        actions[..],
        [
            Action::Publish { .. },
            Action::Note(_),
            Action::Reply(TICKET, Ok(())),
            Action::Drain(drained),
            Action::Retire(retired),
        ] if drained == id && retired == id
    ));
    assert_eq!(published(&actions), [1, 3]);
    assert_eq!(herd.names(), ["Server 1", "Server 3"]);
    assert_eq!(stops(&herd.step(Event::Drained(id))), [id]);
    assert_eq!(stops(&herd.step(Event::Drained(id))), [], "once");
    assert_eq!(herd.exit(id), []);
}

#[test]
fn who_does_not_drain_is_stopped_at_the_deadline() {
    let mut herd = Herd::of(1);
    let id = herd.id(1);
    herd.remove(1, &[]);
    let half = ControlConfig::default().drain_timeout / 2;
    assert_eq!(stops(&herd.wait(half)), []);
    assert_eq!(stops(&herd.wait(half)), [id]);
}

#[test]
fn who_dies_while_draining_is_just_gone() {
    let mut herd = Herd::of(1);
    let id = herd.id(1);
    herd.remove(1, &[]);
    assert!(matches!(&herd.exit(id)[..], [Action::Note(change)] if change.transition == Transition::Stopped));
    assert_eq!(herd.step(Event::Drained(id)), []);
    assert_eq!(herd.pool.next_deadline(), None);
}

#[test]
fn a_name_and_a_number_are_free_as_soon_as_they_are_removed() {
    let mut herd = Herd::of(2);
    herd.remove(1, &["Server 1"]);
    let launched = launches(&herd.add(1, &["Server 1"]));
    assert_eq!((launched[0].number, &*launched[0].name), (1, "Server 1"));
}

#[test]
fn a_member_that_has_not_started_can_be_removed_too() {
    let mut herd = Herd::of(2);
    let dead = herd.id(1);
    let replacement = launches(&herd.exit(dead))[0].clone();
    let actions = herd.remove(1, &[&replacement.name]);
    assert_eq!(published(&actions), [2], "the dead one does not keep its place any longer");
    assert_eq!(stops(&actions), [replacement.id]);
    assert!(!actions.iter().any(|action| matches!(action, Action::Drain(_))));
}

#[test]
fn those_not_named_are_picked_at_random() {
    let survivors: std::collections::BTreeSet<_> = (0..40)
        .map(|seed| {
            let mut herd = Herd::of(4);
            herd.pool.rng.seed(seed);
            herd.remove(3, &["Server 4"]);
            herd.names()
        })
        .collect();
    let expected = [["Server 1"], ["Server 2"], ["Server 3"]].map(|names| names.map(str::to_owned).to_vec());
    assert_eq!(survivors, expected.into());
}

#[test]
fn what_is_refused_changes_nothing() {
    use ControlError as E;
    let mut herd = Herd::of(3);
    herd.add(1, &["Pending"]);
    let cases: [(u32, &[&str], ControlError); 5] = [
        (0, &[], E::Zero),
        (1, &["Server 1", "Server 2"], E::MoreNamesThanRemoved),
        (2, &["Server 1", "server 1"], E::NameTwice("server 1".to_owned())),
        (2, &["Server 1", "Server 9"], E::UnknownName("Server 9".to_owned())),
        (4, &["Server 1"], E::TooFew { asked: 4, present: 3 }),
    ];
    for (count, names, error) in cases {
        assert_eq!(herd.remove(count, names), [Action::Reply(TICKET, Err(error))]);
    }
    assert_eq!(herd.names().len(), 3);
}

#[test]
fn a_pool_that_stops_ends_everything_and_heals_nothing() {
    let mut herd = Herd::of(3);
    let (draining, dead) = (herd.id(1), herd.id(2));
    herd.remove(1, &["Server 1"]);
    herd.exit(dead);
    herd.step(Event::Request(Ticket(7), Request::Add(Add { count: 1, ..Add::default() })));
    let actions = herd.step(Event::Request(TICKET, Request::Stop));
    assert!(actions.contains(&Action::Reply(Ticket(7), Err(ControlError::Stopping))));
    assert_eq!(reply(&actions), None);
    let stopped = stops(&actions);
    assert!(stopped.len() == 4 && stopped.contains(&draining) && !stopped.contains(&dead), "{stopped:?}");
    assert_eq!(reply(&herd.add(1, &[])), Some(Err(ControlError::Stopping)));
    assert_eq!(reply(&herd.remove(1, &[])), Some(Err(ControlError::Stopping)));
    for &id in &stopped[..3] {
        assert_eq!(herd.exit(id), []);
    }
    assert_eq!(herd.exit(stopped[3]), [Action::Reply(TICKET, Ok(()))]);
    assert!(herd.pool.is_stopped());
    assert_eq!(herd.pool.next_deadline(), None);
    assert!(herd.pool.members().all(|member| member.state == State::Stopped));
}

#[test]
fn what_others_run_is_forgotten_without_waiting() {
    let mut herd = Herd::cold(ControlConfig::default(), Owner::Others, &["a:1", "b:1"]);
    assert_eq!(reply(&herd.step(Event::Request(TICKET, Request::Stop))), Some(Ok(())));
}

#[test]
fn one_that_is_being_added_can_be_removed_and_ends_the_add() {
    let mut herd = Herd::of(1);
    let launched = launches(&herd.add(2, &["New", "Other"]));
    herd.started(launched[0].id);
    let remove = Remove { count: 1, names: vec!["new".to_owned()] };
    let actions = herd.step(Event::Request(Ticket(2), Request::Remove(remove)));
    assert_eq!(reply(&actions), Some(Err(ControlError::RemovedMeanwhile(vec!["new".to_owned()]))));
    assert!(actions.contains(&Action::Reply(Ticket(2), Ok(()))), "{actions:?}");
    assert_eq!(stops(&actions), [launched[0].id, launched[1].id]);
    assert_eq!(herd.names(), ["Server 1"]);
}

#[test]
fn one_that_is_starting_can_be_removed() {
    let mut herd =
        Herd::cold(ControlConfig { replicas: 2, ..ControlConfig::default() }, Owner::Balancer, &[]);
    let launched = launches(&herd.first.clone());
    herd.started(launched[0].id);
    for (name, launch) in [("Server 1", &launched[0]), ("Server 2", &launched[1])] {
        let actions = herd.remove(1, &[name]);
        assert_eq!((reply(&actions), stops(&actions)), (Some(Ok(())), vec![launch.id]));
    }
    assert!(herd.names().is_empty());
}
