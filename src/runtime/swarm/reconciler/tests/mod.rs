//! Scenarios of one balancer and of two, without a Swarm.

mod abandoned;
mod deploys;
mod ends;
mod vacancies;

use std::time::{Duration, Instant};

use super::{Exit, Operation, Reconciler};
use crate::runtime::swarm::observed::{Claim, ObservedState, PlaceLabel, Progress, Service, Task};
use crate::runtime::{Launch, Place, ReplicaId, RuntimeEvent};

/// A Swarm that performs every operation at once.
#[derive(Default)]
struct Swarm {
    observed: ObservedState,
    made: i64,
    /// How often a mark was written, in place of the time.
    marks: u64,
    /// Updates are refused.
    refuses: bool,
    /// A task that was told to end has not ended.
    is_ending: bool,
}

impl Swarm {
    fn make(&mut self, name: &str, number: u32, token: &str) {
        self.made += 1;
        self.observed.services.push(Service {
            id: format!("id-{name}"),
            name: format!("ringherd-p-{name}"),
            replica: name.to_owned(),
            number: Some(number),
            revision: String::new(),
            leaving: None,
            place: None,
            token: Some(token.to_owned()),
            created: self.made,
            version: 1,
        });
    }

    fn run(&mut self, name: &str, task: &str) {
        self.observed.tasks.retain(|task| task.service != format!("id-{name}"));
        let token = self.service(name).token.clone();
        self.observed.tasks.push(Task {
            id: task.to_owned(),
            service: format!("id-{name}"),
            node: "node1".to_owned(),
            address: Some("10.0.0.2".parse().unwrap()),
            progress: Progress::Runs,
            token,
        });
    }

    /// A task of a service has ended, or was given up.
    fn ends(&mut self, name: &str, task: &str, progress: Progress) {
        self.run(name, task);
        let ended = self.observed.tasks.pop().map(|task| Task { progress, ..task });
        self.observed.ended.extend(ended);
    }

    fn service(&mut self, name: &str) -> &mut Service {
        let id = format!("id-{name}");
        self.observed.services.iter_mut().find(|service| service.id == id).expect("it exists")
    }

    /// The service of an operation, if its version is still this one; it will have the next one.
    fn versioned(&mut self, id: &str, version: u64) -> Option<&mut Service> {
        let service = self.observed.services.iter_mut().find(|service| service.id == id)?;
        let is_current = service.version == version;
        service.version += u64::from(is_current);
        is_current.then_some(service)
    }

    /// Performs an operation of a balancer.
    fn perform(&mut self, operation: &Operation, reconciler: &mut Reconciler, now: Instant) {
        self.marks += 1;
        let renewed = self.marks;
        match operation {
            Operation::Create { launch, token, beside } => {
                reconciler.create_requested(launch.id);
                self.make(&launch.name, launch.number, token);
                let place =
                    |incumbent: &String| PlaceLabel { claim: Claim::Beside(incumbent.clone()), renewed };
                let made = self.service(&launch.name);
                (made.revision, made.place) = (launch.revision.name.clone(), beside.as_ref().map(place));
            }
            Operation::SetNumber { service, version, number } => {
                if let Some(found) = self.versioned(service, *version) {
                    found.number = Some(*number);
                }
            }
            Operation::SetPlace { service, version, claim } => {
                if let Some(found) = self.versioned(service, *version) {
                    found.place = claim.clone().map(|claim| PlaceLabel { claim, renewed });
                    reconciler.place_written(service, now);
                }
            }
            Operation::Update { launch, .. } if self.refuses => reconciler.start_refused(launch.id),
            Operation::Update { waits: true, .. } if self.is_ending => {}
            Operation::Update { service, version, launch, token, .. } => {
                if let Some(found) = self.versioned(service, *version) {
                    found.revision.clone_from(&launch.revision.name);
                    (found.token, found.place) = (Some(token.clone()), None);
                }
            }
            Operation::Mark { service } => {
                let found = self.service(&service["id-".len()..]);
                found.leaving = Some(renewed.to_string());
                found.version += 1;
                reconciler.marked(service, now);
            }
            Operation::MarkAbandoned { service, version } => {
                if let Some(found) = self.versioned(service, *version) {
                    found.leaving = Some(renewed.to_string());
                }
            }
            Operation::Delete { service } => {
                self.observed.services.retain(|found| found.id != *service);
                self.observed.tasks.retain(|task| task.service != *service);
                reconciler.deleted(service, now);
            }
        }
    }

    /// Reconciles until nothing is left to do; returns the events and the operations.
    fn settle(&mut self, reconciler: &mut Reconciler, now: Instant) -> (Vec<RuntimeEvent>, Vec<Operation>) {
        let (mut reported, mut done) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let plan = reconciler.reconcile(&self.observed, now);
            reported.extend(plan.events);
            let is_done = plan.exits.is_empty() && plan.operations.is_empty();
            for Exit { id, task, .. } in plan.exits {
                reconciler.exit_reported(id);
                reported.push(RuntimeEvent::Exited { id, reason: task });
            }
            if is_done {
                return (reported, done);
            }
            for operation in plan.operations {
                self.perform(&operation, reconciler, now);
                done.push(operation);
            }
        }
        panic!("it does not settle: {done:?}");
    }
}

fn reconciler() -> Reconciler {
    Reconciler::new(5000, Duration::from_secs(1))
}

fn launch(id: u64, name: &str, number: u32, existing: Option<&str>) -> Launch {
    Launch {
        id: ReplicaId(id),
        name: name.to_owned(),
        number,
        existing: existing.map(str::to_owned),
        revision: std::sync::Arc::default(),
        replaces: None,
    }
}

/// Events in short form.
fn summary(events: &[RuntimeEvent]) -> Vec<String> {
    let inventory = |found: &[crate::runtime::Found]| {
        let each = found.iter().map(|found| match (found.place, found.number) {
            (Place::Holder, number) => format!("{}={}", found.name, number.unwrap_or_default()),
            (Place::Vacant, number) => format!("{}={}:vacant", found.name, number.unwrap_or_default()),
            (Place::Beside, None) => format!("{}:beside", found.name),
            (Place::Beside, Some(_)) => panic!("{found:?}"),
        });
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

fn revision(name: &str) -> std::sync::Arc<crate::runtime::Revision> {
    std::sync::Arc::new(crate::runtime::Revision { name: name.to_owned(), ..Default::default() })
}

/// The launch of a successor of revision "v2", beside who has this number.
fn successor(id: u64, name: &str, number: u32) -> Launch {
    Launch { revision: revision("v2"), replaces: Some("base".to_owned()), ..launch(id, name, number, None) }
}

/// The launch that changes a service to this revision.
fn update(id: u64, name: &str, revised: &str) -> Launch {
    let replaces = Some("base".to_owned());
    Launch { revision: revision(revised), replaces, ..launch(id, name, 1, Some(name)) }
}

/// What operations do, in short form.
fn deeds(operations: &[Operation]) -> Vec<String> {
    let short = |service: &str| service["id-".len()..].to_owned();
    let deed = |operation: &Operation| match operation {
        Operation::Create { launch, beside: None, .. } => format!("create {}", launch.name),
        Operation::Create { launch, beside: Some(other), .. } => {
            format!("create {} beside {}", launch.name, short(other))
        }
        Operation::SetNumber { service, number, .. } => format!("number {} {number}", short(service)),
        Operation::SetPlace { service, claim, .. } => match claim {
            Some(Claim::Beside(other)) => format!("{} beside {}", short(service), short(other)),
            Some(Claim::Over(other)) => format!("{} over {}", short(service), short(other)),
            Some(Claim::Vacant) => format!("{} vacant", short(service)),
            None => format!("{} serves", short(service)),
        },
        Operation::Update { service, launch, .. } => {
            format!("update {} to {}", short(service), launch.revision.name)
        }
        Operation::Mark { service } => format!("mark {}", short(service)),
        Operation::MarkAbandoned { service, .. } => format!("abandon {}", short(service)),
        Operation::Delete { service } => format!("delete {}", short(service)),
    };
    operations.iter().map(deed).collect()
}

/// A pool with a service `y` of number 1, known to the balancer that deploys (as 1) and to another one, both settled.
fn pool(now: Instant) -> (Swarm, Reconciler, Reconciler) {
    let (mut swarm, mut one, mut two) = (Swarm::default(), reconciler(), reconciler());
    swarm.make("y", 1, "other");
    swarm.run("y", "task-y");
    for reconciler in [&mut one, &mut two] {
        swarm.settle(reconciler, now);
        reconciler.start(launch(1, "y", 1, Some("y")), "t1".into());
        swarm.settle(reconciler, now);
    }
    (swarm, one, two)
}

/// What is reported, and what is done, until nothing is left.
fn both(swarm: &mut Swarm, reconciler: &mut Reconciler, now: Instant) -> (Vec<String>, Vec<String>) {
    let (events, operations) = swarm.settle(reconciler, now);
    (summary(&events), deeds(&operations))
}

fn done(swarm: &mut Swarm, reconciler: &mut Reconciler, now: Instant) -> Vec<String> {
    both(swarm, reconciler, now).1
}

/// What is reported where nothing is to be done.
fn told(swarm: &mut Swarm, reconciler: &mut Reconciler, now: Instant) -> Vec<String> {
    let (events, operations) = both(swarm, reconciler, now);
    assert!(operations.is_empty(), "{operations:?}");
    events
}

#[test]
fn a_replica_is_created_and_reported_when_it_runs() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    assert_eq!(summary(&swarm.settle(&mut reconciler, now).0), ["inventory "]);
    reconciler.start(launch(1, "a", 1, None), "t1".into());
    assert!(summary(&swarm.settle(&mut reconciler, now).0).is_empty());
    swarm.run("a", "task1");
    assert_eq!(summary(&swarm.settle(&mut reconciler, now).0), ["inventory a=1", "started 1 10.0.0.2:5000"]);
    assert_eq!(swarm.settle(&mut reconciler, now), (vec![], vec![]));
}

#[test]
fn a_service_that_has_not_run_yet_is_listed_only_at_first() {
    let (mut swarm, mut one, mut two, now) = (Swarm::default(), reconciler(), reconciler(), Instant::now());
    swarm.settle(&mut one, now);
    swarm.make("a", 1, "other");
    assert!(swarm.settle(&mut one, now).0.is_empty());
    assert!(one.is_converging());
    assert_eq!(summary(&swarm.settle(&mut two, now).0), ["inventory a=1"]);
    swarm.run("a", "task1");
    assert_eq!(summary(&swarm.settle(&mut one, now).0), ["inventory a=1"]);
    // Once listed, it stays while the Swarm moves it.
    swarm.observed.tasks.clear();
    assert!(swarm.settle(&mut one, now).0.is_empty());
}

#[test]
fn a_number_taken_meanwhile_is_replaced() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.make("other", 1, "other");
    swarm.settle(&mut reconciler, now);
    reconciler.start(launch(1, "a", 1, None), "t1".into());
    reconciler.start(launch(2, "b", 2, None), "t2".into());
    swarm.settle(&mut reconciler, now);
    swarm.run("a", "task1");
    swarm.run("b", "task2");
    let reported = summary(&swarm.settle(&mut reconciler, now).0);
    let numbered: Vec<_> = reported.iter().filter(|word| word.starts_with("numbered")).collect();
    assert_eq!(numbered, ["numbered 1 3"]);
    assert!(reported.contains(&"inventory other=1 b=2 a=3".to_owned()), "{reported:?}");
}

#[test]
fn a_race_for_a_number_goes_to_the_older() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.settle(&mut reconciler, now);
    reconciler.start(launch(1, "a", 1, None), "t1".into());
    let operations = reconciler.reconcile(&swarm.observed, now).operations;
    // Another balancer is quicker, between the look and the deed.
    swarm.make("quick", 1, "other");
    swarm.perform(&operations[0], &mut reconciler, now);
    swarm.run("a", "task1");
    let (reported, done) = swarm.settle(&mut reconciler, now);
    assert_eq!(done, [Operation::SetNumber { service: "id-a".into(), version: 1, number: 2 }]);
    assert_eq!(summary(&reported), ["inventory a=2", "numbered 1 2", "started 1 10.0.0.2:5000"]);
}

#[test]
fn a_lost_task_is_explained_and_the_next_one_reported() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.run("a", "task1");
    swarm.settle(&mut reconciler, now);
    reconciler.start(launch(1, "a", 1, Some("a")), "t1".into());
    assert_eq!(summary(&swarm.settle(&mut reconciler, now).0), ["started 1 10.0.0.2:5000"]);
    // A second one, started by others, makes no difference.
    let other = Task { id: "task0".into(), ..swarm.observed.tasks[0].clone() };
    swarm.observed.tasks.insert(0, other);
    assert!(swarm.settle(&mut reconciler, now).1.is_empty());
    swarm.observed.tasks.remove(0);
    swarm.observed.tasks[0].progress = Progress::Failed;
    // The engine did not say why, at first.
    assert_eq!(reconciler.reconcile(&swarm.observed, now).exits.len(), 1);
    assert_eq!(told(&mut swarm, &mut reconciler, now), ["exited 1 task1"]);
    reconciler.start(launch(2, "a", 1, Some("a")), "t2".into());
    assert!(swarm.settle(&mut reconciler, now).0.is_empty());
    swarm.run("a", "task2");
    assert_eq!(summary(&swarm.settle(&mut reconciler, now).0), ["started 2 10.0.0.2:5000"]);
}

#[test]
fn a_removal_is_announced_before_the_task_ends() {
    let (mut swarm, mut one, mut two, now) = (Swarm::default(), reconciler(), reconciler(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.run("a", "task1");
    for reconciler in [&mut one, &mut two] {
        swarm.settle(reconciler, now);
        reconciler.start(launch(1, "a", 1, Some("a")), "t".into());
        swarm.settle(reconciler, now);
    }
    one.retire(ReplicaId(1), now);
    let (reported, done) = swarm.settle(&mut one, now);
    assert_eq!(
        (summary(&reported), done),
        (vec!["inventory ".to_owned()], vec![Operation::Mark { service: "id-a".into() }])
    );
    assert_eq!(summary(&swarm.settle(&mut two, now).0), ["inventory "]);
    // The other drains it as well, and leaves it alone.
    two.retire(ReplicaId(1), now);
    assert_eq!(two.stop(ReplicaId(1), now), None);
    let (reported, done) = swarm.settle(&mut two, now);
    assert_eq!(summary(&reported), ["exited 1 left to the balancer that removes it"]);
    assert!(done.is_empty());
    // A long drain renews the mark.
    let later = now + Duration::from_secs(20);
    assert_eq!(swarm.settle(&mut one, later).1, [Operation::Mark { service: "id-a".into() }]);
    assert_eq!(one.stop(ReplicaId(1), later), None);
    let (reported, done) = swarm.settle(&mut one, later);
    assert_eq!(done, [Operation::Delete { service: "id-a".into() }]);
    assert_eq!(summary(&reported), ["exited 1 its service was removed"]);
}

#[test]
fn notice_is_given_even_if_stop_follows_at_once() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.run("a", "task1");
    swarm.settle(&mut reconciler, now);
    reconciler.start(launch(1, "a", 1, Some("a")), "t".into());
    swarm.settle(&mut reconciler, now);
    assert_eq!(reconciler.stop(ReplicaId(1), now), None);
    assert_eq!(swarm.settle(&mut reconciler, now).1, [Operation::Mark { service: "id-a".into() }]);
    assert!(swarm.settle(&mut reconciler, now + Duration::from_millis(1900)).1.is_empty());
    let done = swarm.settle(&mut reconciler, now + Duration::from_secs(2)).1;
    assert_eq!(done, [Operation::Delete { service: "id-a".into() }]);
}

#[test]
fn a_service_adopted_only_to_be_removed_is_removed() {
    let at = |now: Instant, seconds| now + Duration::from_secs(seconds);
    for retire_first in [false, true] {
        let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
        swarm.make("a", 1, "other");
        swarm.run("a", "task1");
        swarm.settle(&mut reconciler, now);
        // Its task is being restarted.
        swarm.observed.tasks.clear();
        reconciler.start(launch(2, "a", 1, Some("a")), "t".into());
        if retire_first {
            reconciler.retire(ReplicaId(2), now);
        }
        assert_eq!(reconciler.stop(ReplicaId(2), now), None);
        let (reported, done) = swarm.settle(&mut reconciler, now);
        assert_eq!(summary(&reported), ["inventory "], "the pool is not told of it again");
        assert_eq!(done, [Operation::Mark { service: "id-a".into() }]);
        let reported = swarm.settle(&mut reconciler, at(now, 2)).0;
        assert_eq!(summary(&reported), ["exited 2 its service was removed"]);
        assert!(swarm.observed.services.is_empty());
        assert!(!reconciler.is_converging());
    }
    // Another balancer was first, or has removed it already.
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.settle(&mut reconciler, now);
    swarm.service("a").leaving = Some("1".into());
    for (id, name) in [(3, "a"), (4, "b")] {
        reconciler.start(launch(id, name, 1, Some(name)), "t".into());
        assert_eq!(reconciler.stop(ReplicaId(id), now), None);
    }
    let (reported, done) = swarm.settle(&mut reconciler, now);
    let reported = summary(&reported);
    assert!(reported.iter().filter(|word| word.starts_with("exited ")).count() == 2, "{reported:?}");
    assert!(done.is_empty());
}

#[test]
fn a_cancelled_start_leaves_nothing() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.settle(&mut reconciler, now);
    // Before it was asked for.
    reconciler.start(launch(1, "a", 1, None), "t1".into());
    let reported = reconciler.stop(ReplicaId(1), now);
    assert_eq!(
        summary(&reported.into_iter().collect::<Vec<_>>()),
        ["exited 1 stopped before it was started"]
    );
    // Made, but not running: nobody else has it on a ring.
    reconciler.start(launch(2, "b", 1, None), "t2".into());
    swarm.settle(&mut reconciler, now);
    assert_eq!(reconciler.stop(ReplicaId(2), now), None);
    let (reported, done) = swarm.settle(&mut reconciler, now);
    assert_eq!(done, [Operation::Delete { service: "id-b".into() }]);
    assert_eq!(summary(&reported), ["exited 2 its service was removed"]);
    // Asked for, and the answer lost: it was made all the same, or it was not.
    for (id, made) in [(3, true), (4, false)] {
        reconciler.start(launch(id, "c", 1, None), format!("t{id}"));
        let operations = reconciler.reconcile(&swarm.observed, now).operations;
        reconciler.create_requested(ReplicaId(id));
        assert!(matches!(&operations[..], [Operation::Create { .. }]), "{operations:?}");
        assert_eq!(reconciler.stop(ReplicaId(id), now), None);
        if made {
            swarm.make("c", 1, &format!("t{id}"));
        }
        let reported = summary(&swarm.settle(&mut reconciler, now).0);
        let expected = if made { "its service was removed" } else { "stopped before it was started" };
        assert_eq!(reported, [format!("exited {id} {expected}")]);
        assert!(swarm.observed.services.is_empty());
    }
    assert!(!reconciler.is_converging());
}

#[test]
fn a_lost_response_does_not_create_two() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.settle(&mut reconciler, now);
    reconciler.start(launch(1, "a", 1, None), "t1".into());
    reconciler.reconcile(&swarm.observed, now);
    reconciler.create_requested(ReplicaId(1));
    swarm.make("a", 1, "t1");
    swarm.run("a", "task1");
    let (reported, done) = swarm.settle(&mut reconciler, now);
    assert_eq!(summary(&reported), ["inventory a=1", "started 1 10.0.0.2:5000"]);
    assert!(done.is_empty());
}

#[test]
fn a_name_of_a_service_being_removed_is_waited_for() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.run("a", "task1");
    swarm.settle(&mut reconciler, now);
    reconciler.start(launch(1, "a", 1, Some("a")), "t1".into());
    swarm.settle(&mut reconciler, now);
    reconciler.retire(ReplicaId(1), now);
    reconciler.start(launch(2, "A", 1, None), "t2".into());
    assert_eq!(swarm.settle(&mut reconciler, now).1, [Operation::Mark { service: "id-a".into() }]);
    assert!(reconciler.is_converging());
    // It may be given up as well.
    reconciler.start(launch(3, "a", 2, None), "t3".into());
    assert!(reconciler.stop(ReplicaId(3), now).is_some());
    reconciler.stop(ReplicaId(1), now);
    let reported = swarm.settle(&mut reconciler, now + Duration::from_secs(2)).0;
    assert_eq!(summary(&reported), ["exited 1 its service was removed"]);
    swarm.run("A", "task2");
    let reported = summary(&swarm.settle(&mut reconciler, now).0);
    assert_eq!(reported, ["inventory A=1", "started 2 10.0.0.2:5000"]);
}

#[test]
fn what_does_not_exist_cannot_be_adopted() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.settle(&mut reconciler, now);
    reconciler.start(launch(1, "a", 1, Some("a")), "t1".into());
    assert_eq!(summary(&swarm.settle(&mut reconciler, now).0), ["failed 1"]);
    assert_eq!(reconciler.stop(ReplicaId(1), now), None);
}

#[test]
fn an_abandoned_removal_is_finished_by_another_balancer() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.make("a", 1, "other");
    swarm.service("a").leaving = Some("1".into());
    swarm.settle(&mut reconciler, now);
    let at = |seconds| now + Duration::from_secs(seconds);
    assert!(swarm.settle(&mut reconciler, at(50)).1.is_empty());
    // A sign of life of whoever removes it.
    swarm.service("a").leaving = Some("2".into());
    assert!(swarm.settle(&mut reconciler, at(70)).1.is_empty());
    assert!(swarm.settle(&mut reconciler, at(129)).1.is_empty());
    assert_eq!(swarm.settle(&mut reconciler, at(130)).1, [Operation::Delete { service: "id-a".into() }]);
}

#[test]
fn after_an_outage_the_inventory_is_reported_again() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.make("a", 1, "other");
    assert_eq!(summary(&swarm.settle(&mut reconciler, now).0), ["inventory a=1"]);
    reconciler.interrupted();
    assert_eq!(summary(&swarm.settle(&mut reconciler, now).0), ["inventory a=1"]);
    assert!(swarm.settle(&mut reconciler, now).0.is_empty());
}
