//! Replicas that are there already: those of the balancer before, an orchestrator's, and others'.

use super::*;
use crate::runtime::{Found, Place};

fn found(key: &str, name: &str, number: impl Into<Option<u32>>, owner: Owner) -> Found {
    Found {
        key: key.to_owned(),
        name: name.to_owned(),
        number: number.into(),
        owner,
        revision: String::new(),
        place: Place::Holder,
    }
}

fn own(key: &str, name: &str, number: u32) -> Found {
    found(key, name, number, Owner::Balancer)
}

fn shared(name: &str, number: u32) -> Found {
    found(name, name, number, Owner::Orchestrator)
}

fn others(key: &str, name: &str) -> Found {
    found(key, name, None, Owner::Discovered)
}

/// A pool of a runtime that lists, which has not listed yet.
fn unlisted(owner: Owner) -> Herd {
    let now = Instant::now();
    let facts = RuntimeFacts { kind: "test", owner, lists: true, prepares: false };
    let pool = Pool::new(ControlConfig::default(), facts, Vec::new(), 1, now).expect("a good configuration");
    Herd::with(pool, now)
}

impl Herd {
    pub(super) fn inventory(&mut self, found: &[Found]) -> Actions {
        self.step(Event::Runtime(RuntimeEvent::Inventory(found.to_vec())))
    }

    /// The same, with all that is launched brought up.
    fn settled(owner: Owner, found: &[Found]) -> Self {
        let mut herd = unlisted(owner);
        for launch in launches(&herd.inventory(found)) {
            herd.bring_up(launch.id);
        }
        herd
    }

    fn numbered(&self) -> Vec<(u32, String)> {
        self.pool.members().map(|member| (member.number, member.name)).collect()
    }
}

fn numbered(expected: &[(u32, &str)]) -> Vec<(u32, String)> {
    expected.iter().map(|&(number, name)| (number, name.to_owned())).collect()
}

#[test]
fn nothing_starts_and_nothing_changes_before_the_first_inventory() {
    let mut herd = unlisted(Owner::Balancer);
    assert_eq!(herd.first, []);
    assert_eq!(herd.pool.next_deadline(), None);
    for actions in [herd.add(1, &[]), herd.remove(1, &[])] {
        assert!(matches!(reply(&actions), Some(Err(ControlError::Unavailable(_)))), "{actions:?}");
    }
    let launched = launches(&herd.inventory(&[]));
    let names: Vec<_> = launched.iter().map(|launch| (launch.name.as_str(), &launch.existing)).collect();
    assert_eq!(names, [("Server 1", &None), ("Server 2", &None), ("Server 3", &None)]);
}

#[test]
fn what_the_balancer_before_left_is_taken_over_as_it_was() {
    let mut herd = unlisted(Owner::Balancer);
    let launched = launches(&herd.inventory(&[own("c5", "Server-XY", 5), own("c1", "Server 1", 1)]));
    let keys: Vec<_> = launched.iter().map(|launch| (launch.number, launch.existing.as_deref())).collect();
    assert_eq!(keys, [(1, Some("c1")), (2, None), (5, Some("c5"))], "and as many started as are missing");
    assert_eq!(herd.numbered(), numbered(&[(1, "Server 1"), (2, "Server 2"), (5, "Server-XY")]));
}

#[test]
fn guests_take_the_numbers_that_are_left() {
    let mut herd = unlisted(Owner::Balancer);
    let found = [others("a", "app"), own("c2", "Server 2", 2)];
    let launched = launches(&herd.inventory(&found));
    assert_eq!(launched.len(), 4);
    assert_eq!(herd.numbered(), numbered(&[(1, "Server 1"), (2, "Server 2"), (3, "Server 3"), (4, "app")]));
}

#[test]
fn more_than_asked_for_stay() {
    let left: Vec<_> =
        (1..=5).map(|number| own(&format!("c{number}"), &format!("S{number}"), number)).collect();
    let herd = Herd::settled(Owner::Balancer, &left);
    assert_eq!(herd.pool.publication().members.len(), 5);
}

#[test]
fn one_that_was_found_dead_is_replaced_on_its_number() {
    let mut herd = unlisted(Owner::Balancer);
    let dead = launches(&herd.inventory(&[own("c7", "Server 7", 7)]))[2].id;
    let again = launches(&herd.exit(dead));
    assert_eq!((again[0].number, &again[0].existing), (7, &None));
}

#[test]
fn later_inventories_say_nothing_about_the_balancers_own() {
    let mut herd = Herd::settled(Owner::Balancer, &[own("c1", "Server 1", 1)]);
    assert_eq!(herd.inventory(&[]), []);
    assert_eq!(herd.inventory(&[own("c9", "Server 9", 9)]), []);
}

#[test]
fn containers_of_others_come_and_go_and_are_never_stopped() {
    let mut herd = Herd::settled(Owner::Balancer, &[]);
    let launched = launches(&herd.inventory(&[others("a", "app-1"), others("b", "Server 2")]));
    assert_eq!(launched.len(), 2);
    for launch in &launched {
        herd.bring_up(launch.id);
    }
    let expected =
        numbered(&[(1, "Server 1"), (2, "Server 2"), (3, "Server 3"), (4, "app-1"), (5, "Server 2-2")]);
    assert_eq!(herd.numbered(), expected, "a name that is taken gets a number behind it");
    assert_eq!(herd.inventory(&[others("a", "app-1"), others("b", "Server 2")]), [], "nothing new");

    // By name the reason; at random they are never picked.
    for actions in [herd.remove(1, &["APP 1"]), herd.add(1, &["app_1"])] {
        assert_eq!(
            reply(&actions).map(|result| matches!(result, Err(ControlError::Discovered(_)))),
            Some(true)
        );
    }
    let too_many = herd.remove(4, &[]);
    assert_eq!(reply(&too_many), Some(Err(ControlError::TooFew { asked: 4, present: 3 })));

    let ending = RuntimeEvent::Ending { id: launched[0].id, reason: "docker stop".to_owned() };
    let actions = herd.step(Event::Runtime(ending));
    assert_eq!(published(&actions), [1, 2, 3, 5]);
    assert!(actions.contains(&Action::Drain(launched[0].id)), "{actions:?}");
    let actions = herd.inventory(&[]);
    assert_eq!(published(&actions), [1, 2, 3]);
}

#[test]
fn an_inventory_during_a_drain_does_not_bring_the_replica_back() {
    let mut herd = Herd::settled(Owner::Orchestrator, &[shared("A", 1), shared("B", 2)]);
    let removed = herd.id(2);
    assert_eq!(reply(&herd.remove(1, &["B"])), Some(Ok(())));
    // Both were looked at before the orchestrator heard that one is to be removed.
    assert_eq!(herd.inventory(&[shared("A", 1), shared("B", 2)]), []);
    assert_eq!(launches(&herd.exit(removed)), [], "it is not the end of the drain that it waits for");
    assert_eq!(herd.numbered(), numbered(&[(1, "A")]));
}

#[test]
fn what_another_balancer_makes_again_under_its_name_joins_after_the_drain() {
    let mut herd = Herd::settled(Owner::Orchestrator, &[shared("A", 1), shared("B", 2)]);
    let removed = herd.id(2);
    assert_eq!(reply(&herd.remove(1, &["B"])), Some(Ok(())));
    herd.inventory(&[shared("A", 1)]);
    assert_eq!(herd.inventory(&[shared("A", 1), shared("B", 2)]), []);
    let again = launches(&herd.exit(removed));
    assert_eq!((again[0].number, again[0].existing.as_deref()), (2, Some("B")));
}

#[test]
fn a_shared_pool_is_filled_by_who_finds_it_empty() {
    let herd = Herd::settled(Owner::Orchestrator, &[]);
    assert_eq!(herd.numbered(), numbered(&[(1, "Server 1"), (2, "Server 2"), (3, "Server 3")]));
    let herd = Herd::settled(Owner::Orchestrator, &[shared("Server 2", 2)]);
    assert_eq!(herd.numbered(), numbered(&[(2, "Server 2")]), "somebody has removed the others");
}

#[test]
fn two_balancers_that_fill_a_pool_at_once_end_with_one_of_each() {
    let mut herd = unlisted(Owner::Orchestrator);
    let launched = launches(&herd.inventory(&[]));
    let lost = RuntimeEvent::StartFailed { id: launched[0].id, reason: "it exists already".to_owned() };
    let again = launches(&herd.step(Event::Runtime(lost)));
    assert_eq!(again[0].existing, None, "it does not know better yet");
    herd.inventory(&[shared("Server 1", 1)]);
    let lost = RuntimeEvent::StartFailed { id: again[0].id, reason: "it exists already".to_owned() };
    let mut actions = herd.step(Event::Runtime(lost));
    actions.extend(herd.wait(Duration::from_secs(1)));
    assert_eq!(launches(&actions)[0].existing.as_deref(), Some("Server 1"));
}

#[test]
fn what_another_balancer_adds_and_removes_is_followed() {
    let mut herd = Herd::settled(Owner::Orchestrator, &[shared("A", 1)]);
    let launched = launches(&herd.inventory(&[shared("A", 1), shared("B", 4)]));
    assert_eq!((launched[0].number, launched[0].existing.as_deref()), (4, Some("B")));
    assert_eq!(published(&herd.bring_up(launched[0].id)), [1, 4]);
    let actions = herd.inventory(&[shared("B", 4)]);
    assert_eq!(published(&actions), [4]);
    assert!(actions.iter().any(|action| matches!(action, Action::Drain(_))), "{actions:?}");
}

#[test]
fn an_orchestrators_replica_that_dies_comes_back_by_itself_under_its_name() {
    let mut herd = Herd::settled(Owner::Orchestrator, &[]);
    let actions = herd.exit(herd.id(2));
    let launched = launches(&actions);
    assert_eq!((launched[0].name.as_str(), launched[0].existing.as_deref()), ("Server 2", Some("Server 2")));
    assert_eq!(
        herd.wait(Duration::from_secs(600)).iter().filter(|a| matches!(a, Action::Stop(_))).count(),
        0
    );
}

#[test]
fn a_shared_replica_that_is_removed_while_it_is_away_is_stopped_all_the_same() {
    let mut herd = Herd::settled(Owner::Orchestrator, &[]);
    let again = launches(&herd.exit(herd.id(2)))[0].id;
    // The second time there is a pause before the next start.
    let failed = RuntimeEvent::StartFailed { id: again, reason: "no node".to_owned() };
    assert_eq!(launches(&herd.step(Event::Runtime(failed))), []);
    let actions = herd.remove(1, &["Server 2"]);
    let launched = launches(&actions);
    assert_eq!(launched[0].existing.as_deref(), Some("Server 2"));
    assert_eq!(stops(&actions), [launched[0].id]);
    assert_eq!(herd.pool.members().count(), 2);
}

/// Both balancers have taken number 2; theirs was first.
fn race() -> (Herd, ReplicaId) {
    let mut herd = Herd::settled(Owner::Orchestrator, &[shared("A", 1)]);
    let mine = launches(&herd.add(1, &["Mine"]));
    assert_eq!(mine[0].number, 2);
    let theirs = launches(&herd.inventory(&[shared("A", 1), shared("Theirs", 2)]));
    assert_eq!((theirs[0].number, theirs[0].name.as_str()), (2, "Theirs"), "without delay");
    assert_eq!(published(&herd.bring_up(theirs[0].id)), [1, 2]);
    (herd, mine[0].id)
}

#[test]
fn the_loser_of_a_number_gets_another_before_it_enters() {
    let (mut herd, mine) = race();
    assert_eq!(herd.step(Event::Runtime(RuntimeEvent::Numbered { id: mine, number: 5 })), []);
    let actions = herd.bring_up(mine);
    assert_eq!(published(&actions), [1, 2, 5]);
    assert_eq!(reply(&actions), Some(Ok(())));
}

#[test]
fn who_loses_a_number_and_fails_leaves_the_winner_where_it_is() {
    let (mut herd, mine) = race();
    let failed = RuntimeEvent::StartFailed { id: mine, reason: "no image".to_owned() };
    let actions = herd.step(Event::Runtime(failed));
    assert!(matches!(reply(&actions), Some(Err(ControlError::StartFailed(_)))), "{actions:?}");
    assert_eq!(herd.numbered(), numbered(&[(1, "A"), (2, "Theirs")]));
}

#[test]
fn a_number_that_was_changed_elsewhere_is_followed() {
    let mut herd = Herd::settled(Owner::Orchestrator, &[shared("A", 1), shared("B", 2)]);
    let actions = herd.inventory(&[shared("A", 2), shared("B", 1)]);
    assert_eq!(published(&actions), [1, 2]);
    assert_eq!(herd.numbered(), numbered(&[(1, "B"), (2, "A")]));
}

#[test]
fn what_would_part_the_balancers_of_a_pool_is_refused() {
    let mut herd = Herd::settled(Owner::Orchestrator, &[]);
    let weight =
        herd.step(Event::Request(TICKET, Request::SetWeight { name: "Server 1".to_owned(), weight: 1 }));
    let ring = herd.step(Event::Request(TICKET, Request::ChangeRing(crate::control::RingChange::default())));
    for actions in [weight, ring] {
        assert!(matches!(reply(&actions), Some(Err(ControlError::Shared(_)))), "{actions:?}");
    }
}

#[test]
fn a_guest_that_comes_back_while_it_drains_joins_after_that() {
    let mut herd = Herd::settled(Owner::Balancer, &[]);
    let first = launches(&herd.inventory(&[others("a", "app")]))[0].id;
    herd.bring_up(first);
    assert_eq!(published(&herd.inventory(&[])), [1, 2, 3]);
    assert_eq!(launches(&herd.inventory(&[others("a", "app")])), []);
    let again = launches(&herd.step(Event::Drained(first)));
    assert_eq!((again[0].name.as_str(), again[0].existing.as_deref()), ("app", Some("a")));
}

#[test]
fn a_guest_joins_when_there_is_room() {
    let mut herd = Herd::settled(Owner::Balancer, &[]);
    let config = ControlConfig { max_replicas: 3, ..ControlConfig::default() };
    herd.step(Event::Request(TICKET, Request::Reload(Box::new(config))));
    assert_eq!(launches(&herd.inventory(&[others("a", "app")])), []);
    assert_eq!(launches(&herd.remove(1, &["Server 2"]))[0].name, "app");
}

#[test]
fn what_is_found_when_the_end_has_come_is_stopped() {
    for keep_on_stop in [false, true] {
        let now = Instant::now();
        let facts = RuntimeFacts { kind: "test", owner: Owner::Balancer, lists: true, prepares: false };
        let config = ControlConfig { keep_on_stop, ..ControlConfig::default() };
        let pool = Pool::new(config, facts, Vec::new(), 1, now).expect("a good configuration");
        let mut herd = Herd { pool, now, first: Actions::default(), slow_builds: false };
        let actions = herd.step(Event::Request(TICKET, Request::Stop));
        assert_eq!(reply(&actions).is_some(), keep_on_stop);
        let actions = herd.inventory(&[own("c1", "Server 1", 1)]);
        let stopped = stops(&actions);
        assert_eq!(stopped.len(), usize::from(!keep_on_stop));
        for id in stopped {
            assert_eq!(reply(&herd.exit(id)), Some(Ok(())));
        }
    }
}

#[test]
fn a_stop_does_not_wait_for_an_inventory_for_ever() {
    let mut herd = unlisted(Owner::Balancer);
    assert_eq!(reply(&herd.step(Event::Request(TICKET, Request::Stop))), None);
    assert_eq!(reply(&herd.wait(Duration::from_secs(10))), Some(Ok(())));
}

#[test]
fn what_does_not_fit_is_told_once() {
    let mut herd = Herd::settled(Owner::Balancer, &[]);
    let many: Vec<_> = (0..70).map(|n| others(&format!("k{n}"), &format!("app-{n}"))).collect();
    let ignored =
        |actions: &[Action]| actions.iter().filter(|action| matches!(action, Action::Ignored { .. })).count();
    let actions = herd.inventory(&many);
    assert_eq!((launches(&actions).len(), ignored(&actions)), (61, 9));
    assert_eq!(ignored(&herd.inventory(&many)), 0);
}

#[test]
fn replicas_that_are_kept_are_not_stopped() {
    for keep_on_stop in [false, true] {
        let mut herd =
            Herd::cold(ControlConfig { keep_on_stop, ..ControlConfig::default() }, Owner::Balancer, &[]);
        for launch in launches(&herd.first.clone()) {
            herd.bring_up(launch.id);
        }
        herd.remove(1, &["Server 3"]);
        let actions = herd.step(Event::Request(TICKET, Request::Stop));
        // What was removed before is stopped in any case.
        assert_eq!(stops(&actions).len(), if keep_on_stop { 1 } else { 3 });
    }
}

#[test]
fn an_add_whose_numbers_are_exchanged_loses_no_replica() {
    let mut herd = Herd::settled(Owner::Orchestrator, &[shared("A", 1)]);
    let added = launches(&herd.add(2, &["B", "C"]));
    assert_eq!((added[0].number, added[1].number), (2, 3));
    // Another balancer was quicker with one of them.
    for (launch, number) in [(&added[1], 2), (&added[0], 3)] {
        herd.step(Event::Runtime(RuntimeEvent::Numbered { id: launch.id, number }));
    }
    herd.bring_up(added[0].id);
    let actions = herd.bring_up(added[1].id);
    assert_eq!(reply(&actions), Some(Ok(())));
    assert_eq!(herd.numbered(), numbered(&[(1, "A"), (2, "C"), (3, "B")]));
    assert_eq!(published(&actions), [1, 2, 3]);
}
