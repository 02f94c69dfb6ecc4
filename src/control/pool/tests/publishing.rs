//! What happens while a ring is being built: until the publication is in force.

use super::*;

impl Herd {
    /// All are ready, and from now on publications are in force when the test says so.
    fn slow(replicas: u32) -> Self {
        let mut herd = Self::of(replicas);
        herd.slow_builds = true;
        herd
    }

    /// All that was asked for is in force.
    fn publish(&mut self) -> Actions {
        self.step(Event::Published(self.pool.asked()))
    }
}

fn drains(actions: &[Action]) -> Vec<ReplicaId> {
    let id = |action: &Action| if let Action::Drain(id) = action { Some(*id) } else { None };
    actions.iter().filter_map(id).collect()
}

#[test]
fn an_add_is_answered_when_its_replicas_are_on_the_ring_in_force() {
    let mut herd = Herd::slow(2);
    let launched = launches(&herd.add(1, &["S3"]));
    let actions = herd.bring_up(launched[0].id);
    assert_eq!((published(&actions), reply(&actions)), (vec![1, 2, 3], None));
    assert_eq!((herd.names().len(), herd.state(3)), (3, State::Starting), "it takes no requests yet");
    let actions = herd.publish();
    assert_eq!((reply(&actions), herd.state(3)), (Some(Ok(())), State::Ready));
}

#[test]
fn what_was_asked_for_later_waits_for_its_own_publication() {
    let mut herd = Herd::slow(3);
    let first = herd.id(1);
    herd.remove(1, &["Server 1"]);
    let building = herd.pool.asked();
    let name = "Server 2".to_owned();
    herd.step(Event::Request(Ticket(2), Request::SetWeight { name: name.clone(), weight: 1 }));
    // To what it is already, but not yet in force.
    herd.step(Event::Request(Ticket(3), Request::SetWeight { name, weight: 1 }));
    let actions = herd.step(Event::Published(building));
    assert_eq!((reply(&actions), drains(&actions)), (Some(Ok(())), vec![first]));
    let replies = |actions: &Actions| actions.iter().filter(|it| matches!(it, Action::Reply(..))).count();
    assert_eq!(replies(&actions), 1);
    assert_eq!(replies(&herd.publish()), 2);
}

#[test]
fn a_drain_and_its_time_begin_when_the_replica_is_off_the_ring() {
    let mut herd = Herd::slow(2);
    let id = herd.id(1);
    assert_eq!(drains(&herd.remove(1, &["Server 1"])), []);
    let drain_timeout = ControlConfig::default().drain_timeout;
    assert_eq!(stops(&herd.wait(drain_timeout * 2)), [], "requests still go to it");
    assert_eq!(drains(&herd.publish()), [id]);
    assert_eq!(stops(&herd.wait(drain_timeout)), [id]);
}

#[test]
fn who_dies_while_it_is_taken_off_the_ring_gets_no_more_requests() {
    let mut herd = Herd::slow(2);
    let id = herd.id(1);
    herd.remove(1, &["Server 1"]);
    assert!(herd.exit(id).contains(&Action::SetUp(id, false)));
    assert_eq!(drains(&herd.publish()), []);
}

#[test]
fn who_dies_before_it_is_on_the_ring_is_healed_as_ever() {
    let mut herd = Herd::slow(1);
    let launched = launches(&herd.add(1, &["S2"]));
    let id = launched[0].id;
    herd.bring_up(id);
    let again = launches(&herd.exit(id))[0].id;
    assert_eq!(published(&herd.bring_up(again)), [1, 2]);
    let actions = herd.publish();
    assert_eq!((reply(&actions), herd.state(2)), (Some(Ok(())), State::Ready));
}

#[test]
fn an_end_does_not_wait_for_a_ring() {
    let mut herd = Herd::slow(2);
    herd.remove(1, &["Server 1"]);
    let prepare = herd.step(Event::Request(Ticket(7), Request::PrepareStop));
    assert!(prepare.contains(&Action::Reply(Ticket(7), Ok(()))), "{prepare:?}");
    let actions = herd.step(Event::Request(Ticket(8), Request::Stop));
    assert_eq!(reply(&actions), Some(Err(ControlError::Stopping)), "who waits is told");
    let stopped = stops(&actions);
    assert_eq!(stopped.len(), 2);
    herd.exit(stopped[0]);
    assert!(herd.exit(stopped[1]).contains(&Action::Reply(Ticket(8), Ok(()))));
    assert!(herd.pool.is_stopped());
}

/// A kill needs no ring, so it waits for none.
#[test]
fn a_kill_is_answered_at_once() {
    let mut herd = Herd::slow(2);
    herd.step(Event::Request(Ticket(2), Request::SetWeight { name: "Server 1".to_owned(), weight: 1 }));
    let kill = Request::Kill { name: "Server 2".to_owned() };
    assert_eq!(reply(&herd.step(Event::Request(TICKET, kill))), Some(Ok(())));
}
