//! Tasks that end before anybody saw them run, and what does not start.

use super::super::NOTICE;
use super::*;

#[test]
fn a_task_that_ended_before_it_was_seen_has_started_and_ended() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.settle(&mut reconciler, now);
    reconciler.start(launch(1, "a", 1, None), "t1".into());
    assert!(reconciler.pending().is_empty());
    swarm.settle(&mut reconciler, now);
    assert_eq!(reconciler.pending(), ["id-a"]);
    swarm.ends("a", "task1", Progress::Other);
    assert_eq!(told(&mut swarm, &mut reconciler, now), [""; 0], "the Swarm has ended it, to move it");
    swarm.ends("a", "task2", Progress::Failed);
    let events = told(&mut swarm, &mut reconciler, now);
    assert_eq!(events, ["inventory a=1", "started 1 10.0.0.2:5000", "exited 1 task2"]);
    // What is adopted has had its ends before.
    reconciler.start(launch(2, "a", 1, Some("a")), "t2".into());
    assert_eq!(told(&mut swarm, &mut reconciler, now), [""; 0]);
    swarm.run("a", "task3");
    assert_eq!(told(&mut swarm, &mut reconciler, now), ["started 2 10.0.0.2:5000"]);
    assert!(reconciler.pending().is_empty());
}

#[test]
fn who_is_stopped_after_its_end_was_reported_leaves_nothing() {
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.settle(&mut reconciler, now);
    for (id, name) in [(1, "a"), (2, "b")] {
        reconciler.start(launch(id, name, id as u32, None), format!("t{id}"));
    }
    swarm.settle(&mut reconciler, now);
    for name in ["a", "b"] {
        swarm.ends(name, &format!("task-{name}"), Progress::Failed);
    }
    let events = told(&mut swarm, &mut reconciler, now);
    assert_eq!(events[3..], ["exited 1 task-a", "exited 2 task-b"]);
    // The pool knew of the first end alone when it gave up both; it starts the first again, to remove it.
    assert_eq!(reconciler.stop(ReplicaId(2), now), None);
    reconciler.start(launch(3, "a", 1, Some("a")), "t3".into());
    assert_eq!(reconciler.stop(ReplicaId(3), now), None);
    swarm.settle(&mut reconciler, now);
    swarm.settle(&mut reconciler, now + NOTICE);
    assert!(swarm.observed.services.is_empty(), "{:?}", swarm.observed.services);
    assert!(!reconciler.is_converging());

    // One that was started again since is another's.
    reconciler.start(launch(4, "c", 1, None), "t4".into());
    swarm.settle(&mut reconciler, now);
    swarm.ends("c", "task-c", Progress::Failed);
    swarm.settle(&mut reconciler, now);
    reconciler.start(launch(5, "c", 1, Some("c")), "t5".into());
    swarm.settle(&mut reconciler, now);
    reconciler.stop(ReplicaId(4), now);
    swarm.settle(&mut reconciler, now);
    swarm.settle(&mut reconciler, now + NOTICE);
    assert_eq!(swarm.observed.services.len(), 1);
}

#[test]
fn what_holds_up_a_task_is_reported_once() {
    let delayed = |reason: &str| {
        let reason = reason.to_owned();
        vec![format!("{:?}", RuntimeEvent::Delayed { id: ReplicaId(1), reason })]
    };
    let hindered = |reason: &str| Progress::Hindered(reason.to_owned());
    let (mut swarm, mut reconciler, now) = (Swarm::default(), reconciler(), Instant::now());
    swarm.settle(&mut reconciler, now);
    reconciler.start(launch(1, "a", 1, None), "t1".into());
    swarm.settle(&mut reconciler, now);
    swarm.run("a", "task1");
    swarm.observed.tasks[0].progress = hindered("no place");
    assert_eq!(told(&mut swarm, &mut reconciler, now), delayed("no place"));
    assert_eq!(told(&mut swarm, &mut reconciler, now), [""; 0]);
    swarm.ends("a", "task1", hindered("no image"));
    assert_eq!(told(&mut swarm, &mut reconciler, now), delayed("no image"));
    swarm.observed.ended[0].token = Some("of before".into());
    assert_eq!(told(&mut swarm, &mut reconciler, now), delayed(""), "that is what another one could not get");
    swarm.run("a", "task2");
    assert_eq!(told(&mut swarm, &mut reconciler, now), ["inventory a=1", "started 1 10.0.0.2:5000"]);
}

#[test]
fn who_is_retired_after_its_end_was_reported_is_removed() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = pool(now);
    swarm.observed.tasks.clear();
    assert_eq!(told(&mut swarm, &mut one, now), ["exited 1 task-y"]);
    // It left the ring before the pool knew. The Swarm starts it again meanwhile.
    one.retire(ReplicaId(1), now);
    swarm.run("y", "task-y2");
    assert_eq!(both(&mut swarm, &mut one, now), (vec!["inventory ".into()], vec!["mark y".into()]));
    assert_eq!(told(&mut swarm, &mut two, now)[0], "inventory ");
    assert_eq!(done(&mut swarm, &mut one, now + NOTICE), ["delete y"]);
    assert!(!one.is_converging());
}
