//! While the runtime does not answer, and when others stop what is ours.

use super::*;

impl Herd {
    fn unavailable(&mut self) -> Actions {
        self.step(Event::Runtime(RuntimeEvent::Unavailable { reason: "no engine".to_owned() }))
    }
}

#[test]
fn nobody_is_started_or_replaced_during_an_outage() {
    let mut herd = Herd::of(3);
    assert_eq!(herd.unavailable(), []);
    // Even one that is known to be dead, and one that is ill for long.
    let dead = herd.id(1);
    assert_eq!(launches(&herd.exit(dead)), []);
    let ill = herd.id(2);
    herd.bad(ill);
    assert!(herd.bad(ill).contains(&Action::SetUp(ill, false)));
    let actions = herd.wait(ControlConfig::default().replace_after * 2);
    assert_eq!((launches(&actions).len(), stops(&actions)), (0, vec![]));
    assert!(!checks(&actions).is_empty(), "heartbeats go on");

    let actions = herd.step(Event::Runtime(RuntimeEvent::Available));
    let numbers: Vec<_> = launches(&actions).iter().map(|launch| launch.number).collect();
    assert_eq!((numbers, stops(&actions)), (vec![1, 2], vec![ill]));
}

#[test]
fn membership_does_not_change_during_an_outage() {
    let mut herd = Herd::of(3);
    let waiting = launches(&herd.add(1, &["S4"]));
    let actions = herd.unavailable();
    let refused = Some(Err(ControlError::Unavailable("no engine".to_owned())));
    assert_eq!(reply(&actions), refused, "who waits is told at once");
    assert_eq!(stops(&actions), [waiting[0].id]);
    assert_eq!(reply(&herd.add(1, &[])), refused);
    assert_eq!(reply(&herd.remove(1, &[])), refused);
    assert_eq!(herd.names(), ["Server 1", "Server 2", "Server 3"]);
    herd.step(Event::Runtime(RuntimeEvent::Available));
    assert_eq!(launches(&herd.add(1, &["S4"])).len(), 1);
}

#[test]
fn who_is_told_to_end_is_replaced_while_it_finishes() {
    let mut herd = Herd::of(3);
    let id = herd.id(2);
    let ending = RuntimeEvent::Ending { id, reason: "told to end by SIGTERM".to_owned() };
    let actions = herd.step(Event::Runtime(ending));
    assert!(actions.contains(&Action::SetUp(id, false)), "{actions:?}");
    assert_eq!(stops(&actions), [id]);
    assert_eq!(launches(&actions)[0].number, 2);
    assert_eq!(publications(&actions).len(), 0, "the ring stays as it is");
    assert_eq!(herd.exit(id), [], "which is no news");
}

#[test]
fn a_suspect_is_asked_at_once() {
    let mut herd = Herd::of(3);
    let id = herd.id(1);
    let actions = herd.step(Event::Runtime(RuntimeEvent::Suspect(id)));
    let mut actions =
        if checks(&actions).is_empty() { herd.wait(Duration::from_millis(20)) } else { actions };
    actions.retain(|action| matches!(action, Action::Check(probe) if probe.id == id));
    assert_eq!(checks(&actions), [id]);
}

#[test]
fn a_stop_does_not_wait_for_a_runtime_that_is_gone() {
    let mut herd = Herd::of(2);
    herd.unavailable();
    let actions = herd.step(Event::Request(TICKET, Request::Stop));
    assert_eq!((stops(&actions).len(), reply(&actions)), (2, None));
    assert_eq!(reply(&herd.wait(Duration::from_secs(10))), Some(Ok(())));
    assert!(herd.pool.is_stopped());
}

#[test]
fn a_stop_does_not_wait_for_a_runtime_that_comes_and_goes() {
    let mut herd = Herd::of(2);
    herd.step(Event::Request(TICKET, Request::Stop));
    let mut answered = None;
    for _ in 0..40 {
        let mut actions = herd.unavailable();
        actions.extend(herd.wait(Duration::from_secs(3)));
        actions.extend(herd.step(Event::Runtime(RuntimeEvent::Available)));
        answered = answered.or(reply(&actions));
    }
    assert_eq!(answered, Some(Ok(())));
}
