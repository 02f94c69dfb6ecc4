//! Stories of one balancer and of two, without a Swarm.

use std::time::{Duration, Instant};

use super::{Book, Deed};
use crate::runtime::swarm::world::{Service, Task, World};
use crate::runtime::{Launch, ReplicaId, RuntimeEvent};

/// A Swarm that does at once what it is told.
#[derive(Default)]
struct Swarm {
    world: World,
    made: i64,
}

impl Swarm {
    fn make(&mut self, name: &str, number: u32, token: &str) {
        self.made += 1;
        self.world.services.push(Service {
            id: format!("id-{name}"),
            name: format!("ringherd-p-{name}"),
            replica: name.to_owned(),
            number: Some(number),
            leaving: None,
            token: Some(token.to_owned()),
            created: self.made,
            version: 1,
        });
    }

    fn run(&mut self, name: &str, task: &str) {
        self.world.tasks.retain(|task| task.service != format!("id-{name}"));
        self.world.tasks.push(Task {
            id: task.to_owned(),
            service: format!("id-{name}"),
            node: "node1".to_owned(),
            address: Some("10.0.0.2".parse().unwrap()),
            runs: true,
        });
    }

    fn service(&mut self, name: &str) -> &mut Service {
        let id = format!("id-{name}");
        self.world.services.iter_mut().find(|service| service.id == id).expect("it exists")
    }

    /// Does what a balancer asks for.
    fn perform(&mut self, deed: &Deed, book: &mut Book, now: Instant) {
        match deed {
            Deed::Explain { id, .. } => book.explained(*id),
            Deed::Make { launch, token } => {
                book.making(launch.id);
                self.make(&launch.name, launch.number, token);
            }
            Deed::Renumber { service, number, .. } => {
                self.service(&service["id-".len()..]).number = Some(*number);
            }
            Deed::Mark { service } => {
                self.service(&service["id-".len()..]).leaving = Some("1".to_owned());
                book.marked(service, now);
            }
            Deed::Delete { service } => {
                self.world.services.retain(|found| found.id != *service);
                self.world.tasks.retain(|task| task.service != *service);
                book.deleted(service, now);
            }
        }
    }

    /// Lets a balancer look and act until nothing is left; returns what it told and did.
    fn settle(&mut self, book: &mut Book, now: Instant) -> (Vec<RuntimeEvent>, Vec<Deed>) {
        let (mut told, mut done) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let todo = book.look(&self.world, now);
            told.extend(todo.events);
            if todo.deeds.is_empty() {
                return (told, done);
            }
            for deed in todo.deeds {
                self.perform(&deed, book, now);
                done.push(deed);
            }
        }
        panic!("it does not settle: {done:?}");
    }
}

fn book() -> Book {
    Book::new(5000, Duration::from_secs(1))
}

fn launch(id: u64, name: &str, number: u32, existing: Option<&str>) -> Launch {
    Launch { id: ReplicaId(id), name: name.to_owned(), number, existing: existing.map(str::to_owned) }
}

/// An event in few words.
fn words(events: &[RuntimeEvent]) -> Vec<String> {
    let inventory = |found: &[crate::runtime::Found]| {
        let each = found.iter().map(|found| format!("{}={}", found.name, found.number.unwrap_or_default()));
        each.collect::<Vec<_>>().join(" ")
    };
    events
        .iter()
        .map(|event| match event {
            RuntimeEvent::Inventory(found) => format!("inventory {}", inventory(found)),
            RuntimeEvent::Started { id, address, .. } => format!("started {id} {address}"),
            RuntimeEvent::Numbered { id, number } => format!("numbered {id} {number}"),
            RuntimeEvent::Exited { id, reason } => format!("exited {id} {reason}"),
            RuntimeEvent::StartFailed { id, .. } => format!("failed {id}"),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_replica_is_made_and_told_when_it_runs() {
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    assert_eq!(words(&swarm.settle(&mut book, now).0), ["inventory "]);
    book.start(launch(1, "a", 1, None), "t1".into());
    assert!(words(&swarm.settle(&mut book, now).0).is_empty());
    swarm.run("a", "task1");
    assert_eq!(words(&swarm.settle(&mut book, now).0), ["inventory a=1", "started 1 10.0.0.2:5000"]);
    assert_eq!(swarm.settle(&mut book, now), (vec![], vec![]));
}

#[test]
fn what_has_not_run_yet_is_not_told_but_at_first() {
    let (mut swarm, mut one, mut two, now) = (Swarm::default(), book(), book(), Instant::now());
    swarm.settle(&mut one, now);
    swarm.make("a", 1, "other");
    assert!(swarm.settle(&mut one, now).0.is_empty());
    assert!(one.is_waiting());
    assert_eq!(words(&swarm.settle(&mut two, now).0), ["inventory a=1"]);
    swarm.run("a", "task1");
    assert_eq!(words(&swarm.settle(&mut one, now).0), ["inventory a=1"]);
    // Once told, it stays while the Swarm moves it.
    swarm.world.tasks.clear();
    assert!(swarm.settle(&mut one, now).0.is_empty());
}

#[test]
fn a_number_taken_meanwhile_is_replaced() {
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    swarm.make("other", 1, "other");
    swarm.settle(&mut book, now);
    book.start(launch(1, "a", 1, None), "t1".into());
    book.start(launch(2, "b", 2, None), "t2".into());
    swarm.settle(&mut book, now);
    swarm.run("a", "task1");
    swarm.run("b", "task2");
    let told = words(&swarm.settle(&mut book, now).0);
    let numbered: Vec<_> = told.iter().filter(|word| word.starts_with("numbered")).collect();
    assert_eq!(numbered, ["numbered 1 3"]);
    assert!(told.contains(&"inventory other=1 b=2 a=3".to_owned()), "{told:?}");
}

#[test]
fn a_race_for_a_number_goes_to_the_older() {
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    swarm.settle(&mut book, now);
    book.start(launch(1, "a", 1, None), "t1".into());
    let deeds = book.look(&swarm.world, now).deeds;
    // Another balancer is quicker, between the look and the deed.
    swarm.make("quick", 1, "other");
    swarm.perform(&deeds[0], &mut book, now);
    swarm.run("a", "task1");
    let (told, done) = swarm.settle(&mut book, now);
    assert_eq!(done, [Deed::Renumber { service: "id-a".into(), version: 1, number: 2 }]);
    assert_eq!(words(&told), ["inventory a=2", "numbered 1 2", "started 1 10.0.0.2:5000"]);
}

#[test]
fn a_lost_task_is_explained_and_the_next_one_told() {
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.run("a", "task1");
    swarm.settle(&mut book, now);
    book.start(launch(1, "a", 1, Some("a")), "t1".into());
    assert_eq!(words(&swarm.settle(&mut book, now).0), ["started 1 10.0.0.2:5000"]);
    // A second one, started by others, makes no difference.
    let other = Task { id: "task0".into(), ..swarm.world.tasks[0].clone() };
    swarm.world.tasks.insert(0, other);
    assert!(swarm.settle(&mut book, now).1.is_empty());
    swarm.world.tasks.remove(0);
    swarm.world.tasks[0].runs = false;
    // The engine did not say why, at first.
    assert_eq!(book.look(&swarm.world, now).deeds.len(), 1);
    let (told, done) = swarm.settle(&mut book, now);
    assert_eq!(done, [Deed::Explain { id: ReplicaId(1), task: "task1".into() }]);
    assert!(told.is_empty());
    book.start(launch(2, "a", 1, Some("a")), "t2".into());
    assert!(swarm.settle(&mut book, now).0.is_empty());
    swarm.run("a", "task2");
    assert_eq!(words(&swarm.settle(&mut book, now).0), ["started 2 10.0.0.2:5000"]);
}

#[test]
fn a_removal_is_announced_before_the_task_ends() {
    let (mut swarm, mut one, mut two, now) = (Swarm::default(), book(), book(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.run("a", "task1");
    for book in [&mut one, &mut two] {
        swarm.settle(book, now);
        book.start(launch(1, "a", 1, Some("a")), "t".into());
        swarm.settle(book, now);
    }
    one.retire(ReplicaId(1), now);
    let (told, done) = swarm.settle(&mut one, now);
    assert_eq!(
        (words(&told), done),
        (vec!["inventory ".to_owned()], vec![Deed::Mark { service: "id-a".into() }])
    );
    assert_eq!(words(&swarm.settle(&mut two, now).0), ["inventory "]);
    // The other drains it as well, and leaves it alone.
    two.retire(ReplicaId(1), now);
    assert_eq!(two.stop(ReplicaId(1), now), None);
    let (told, done) = swarm.settle(&mut two, now);
    assert_eq!(words(&told), ["exited 1 left to the balancer that removes it"]);
    assert!(done.is_empty());
    // A long drain renews the mark.
    let later = now + Duration::from_secs(20);
    assert_eq!(swarm.settle(&mut one, later).1, [Deed::Mark { service: "id-a".into() }]);
    assert_eq!(one.stop(ReplicaId(1), later), None);
    let (told, done) = swarm.settle(&mut one, later);
    assert_eq!(done, [Deed::Delete { service: "id-a".into() }]);
    assert_eq!(words(&told), ["exited 1 its service was removed"]);
}

#[test]
fn notice_is_given_even_if_stop_follows_at_once() {
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.run("a", "task1");
    swarm.settle(&mut book, now);
    book.start(launch(1, "a", 1, Some("a")), "t".into());
    swarm.settle(&mut book, now);
    assert_eq!(book.stop(ReplicaId(1), now), None);
    assert_eq!(swarm.settle(&mut book, now).1, [Deed::Mark { service: "id-a".into() }]);
    assert!(swarm.settle(&mut book, now + Duration::from_millis(1900)).1.is_empty());
    let done = swarm.settle(&mut book, now + Duration::from_secs(2)).1;
    assert_eq!(done, [Deed::Delete { service: "id-a".into() }]);
}

#[test]
fn what_is_taken_over_only_to_be_removed_is_removed() {
    let at = |now: Instant, seconds| now + Duration::from_secs(seconds);
    for retire_first in [false, true] {
        let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
        swarm.make("a", 1, "other");
        swarm.run("a", "task1");
        swarm.settle(&mut book, now);
        // Its task is being restarted.
        swarm.world.tasks.clear();
        book.start(launch(2, "a", 1, Some("a")), "t".into());
        if retire_first {
            book.retire(ReplicaId(2), now);
        }
        assert_eq!(book.stop(ReplicaId(2), now), None);
        let (told, done) = swarm.settle(&mut book, now);
        assert_eq!(words(&told), ["inventory "], "the pool is not told of it again");
        assert_eq!(done, [Deed::Mark { service: "id-a".into() }]);
        let told = swarm.settle(&mut book, at(now, 2)).0;
        assert_eq!(words(&told), ["exited 2 its service was removed"]);
        assert!(swarm.world.services.is_empty());
        assert!(!book.is_waiting());
    }
    // Another balancer was first, or has removed it already.
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.settle(&mut book, now);
    swarm.service("a").leaving = Some("1".into());
    for (id, name) in [(3, "a"), (4, "b")] {
        book.start(launch(id, name, 1, Some(name)), "t".into());
        assert_eq!(book.stop(ReplicaId(id), now), None);
    }
    let (told, done) = swarm.settle(&mut book, now);
    let told = words(&told);
    assert!(told.iter().filter(|word| word.starts_with("exited ")).count() == 2, "{told:?}");
    assert!(done.is_empty());
}

#[test]
fn a_start_that_is_given_up_leaves_nothing() {
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    swarm.settle(&mut book, now);
    // Before it was asked for.
    book.start(launch(1, "a", 1, None), "t1".into());
    let told = book.stop(ReplicaId(1), now);
    assert_eq!(words(&told.into_iter().collect::<Vec<_>>()), ["exited 1 stopped before it was started"]);
    // Made, but not running: nobody else has it on a ring.
    book.start(launch(2, "b", 1, None), "t2".into());
    swarm.settle(&mut book, now);
    assert_eq!(book.stop(ReplicaId(2), now), None);
    let (told, done) = swarm.settle(&mut book, now);
    assert_eq!(done, [Deed::Delete { service: "id-b".into() }]);
    assert_eq!(words(&told), ["exited 2 its service was removed"]);
    // Asked for, and the answer lost: it was made all the same, or it was not.
    for (id, made) in [(3, true), (4, false)] {
        book.start(launch(id, "c", 1, None), format!("t{id}"));
        let deeds = book.look(&swarm.world, now).deeds;
        book.making(ReplicaId(id));
        assert!(matches!(&deeds[..], [Deed::Make { .. }]), "{deeds:?}");
        assert_eq!(book.stop(ReplicaId(id), now), None);
        if made {
            swarm.make("c", 1, &format!("t{id}"));
        }
        let told = words(&swarm.settle(&mut book, now).0);
        let expected = if made { "its service was removed" } else { "stopped before it was started" };
        assert_eq!(told, [format!("exited {id} {expected}")]);
        assert!(swarm.world.services.is_empty());
    }
    assert!(!book.is_waiting());
}

#[test]
fn a_lost_answer_does_not_make_two() {
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    swarm.settle(&mut book, now);
    book.start(launch(1, "a", 1, None), "t1".into());
    book.look(&swarm.world, now);
    book.making(ReplicaId(1));
    swarm.make("a", 1, "t1");
    swarm.run("a", "task1");
    let (told, done) = swarm.settle(&mut book, now);
    assert_eq!(words(&told), ["inventory a=1", "started 1 10.0.0.2:5000"]);
    assert!(done.is_empty());
}

#[test]
fn a_name_that_is_being_given_up_is_waited_for() {
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.run("a", "task1");
    swarm.settle(&mut book, now);
    book.start(launch(1, "a", 1, Some("a")), "t1".into());
    swarm.settle(&mut book, now);
    book.retire(ReplicaId(1), now);
    book.start(launch(2, "A", 1, None), "t2".into());
    assert_eq!(swarm.settle(&mut book, now).1, [Deed::Mark { service: "id-a".into() }]);
    assert!(book.is_waiting());
    // It may be given up as well.
    book.start(launch(3, "a", 2, None), "t3".into());
    assert!(book.stop(ReplicaId(3), now).is_some());
    book.stop(ReplicaId(1), now);
    let told = swarm.settle(&mut book, now + Duration::from_secs(2)).0;
    assert_eq!(words(&told), ["exited 1 its service was removed"]);
    swarm.run("A", "task2");
    let told = words(&swarm.settle(&mut book, now).0);
    assert_eq!(told, ["inventory A=1", "started 2 10.0.0.2:5000"]);
}

#[test]
fn what_does_not_exist_cannot_be_taken_over() {
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    swarm.settle(&mut book, now);
    book.start(launch(1, "a", 1, Some("a")), "t1".into());
    assert_eq!(words(&swarm.settle(&mut book, now).0), ["failed 1"]);
    assert_eq!(book.stop(ReplicaId(1), now), None);
}

#[test]
fn a_removal_nobody_finishes_is_finished_by_others() {
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.service("a").leaving = Some("1".into());
    swarm.settle(&mut book, now);
    let at = |seconds| now + Duration::from_secs(seconds);
    assert!(swarm.settle(&mut book, at(50)).1.is_empty());
    // A sign of life of whoever removes it.
    swarm.service("a").leaving = Some("2".into());
    assert!(swarm.settle(&mut book, at(70)).1.is_empty());
    assert!(swarm.settle(&mut book, at(129)).1.is_empty());
    assert_eq!(swarm.settle(&mut book, at(130)).1, [Deed::Delete { service: "id-a".into() }]);
}

#[test]
fn after_an_outage_all_is_told_again() {
    let (mut swarm, mut book, now) = (Swarm::default(), book(), Instant::now());
    swarm.make("a", 1, "other");
    assert_eq!(words(&swarm.settle(&mut book, now).0), ["inventory a=1"]);
    book.retell();
    assert_eq!(words(&swarm.settle(&mut book, now).0), ["inventory a=1"]);
    assert!(swarm.settle(&mut book, now).0.is_empty());
}
