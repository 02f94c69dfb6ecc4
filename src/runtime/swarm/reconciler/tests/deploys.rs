//! Deploys with successors: one balancer makes them beside the services of the pool, another one looks on.

use super::*;

/// A pool with a successor `x` (2) of `y` that runs, and is not known to the other one yet.
fn with_successor(now: Instant) -> (Swarm, Reconciler, Reconciler) {
    let (mut swarm, mut one, two) = pool(now);
    one.start(successor(2, "x", 1), "t2".into());
    assert_eq!(deeds(&swarm.settle(&mut one, now).1), ["create x beside y"]);
    swarm.run("x", "task-x");
    assert_eq!(summary(&swarm.settle(&mut one, now).0), ["started 2 10.0.0.2:5000"]);
    (swarm, one, two)
}

#[test]
fn a_successor_takes_the_number_in_one_write() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = pool(now);
    one.start(successor(2, "x", 1), "t2".into());
    let (events, operations) = swarm.settle(&mut one, now);
    assert_eq!(summary(&events), ["inventory y=1 x:beside"]);
    assert_eq!(deeds(&operations), ["create x beside y"]);
    assert_eq!(told(&mut swarm, &mut two, now), ["inventory y=1 x:beside"], "before it runs");
    swarm.run("x", "task-x");
    assert_eq!(told(&mut swarm, &mut one, now), ["started 2 10.0.0.2:5000"], "without another number");
    assert_eq!(told(&mut swarm, &mut two, now), [""; 0]);
    one.take_number(ReplicaId(2));
    assert_eq!(done(&mut swarm, &mut one, now), ["x over y"]);
    assert_eq!(told(&mut swarm, &mut two, now), ["inventory x=1 y:beside"]);
    two.forget(ReplicaId(1));
    two.start(launch(3, "x", 1, Some("x")), "t3".into());
    assert_eq!(told(&mut swarm, &mut two, now), ["started 3 10.0.0.2:5000"]);
    // The deploy is good.
    one.retire(ReplicaId(1), now);
    assert_eq!(done(&mut swarm, &mut one, now), ["mark y"]);
    assert_eq!(told(&mut swarm, &mut two, now), ["inventory x=1"]);
    one.stop(ReplicaId(1), now);
    let later = now + Duration::from_secs(2);
    assert_eq!(done(&mut swarm, &mut one, later), ["delete y"]);
    // What is left of the label needs no renewal.
    let later = later + Duration::from_secs(600);
    assert_eq!(done(&mut swarm, &mut one, later), [""; 0]);
    assert_eq!(told(&mut swarm, &mut two, later), [""; 0]);
    // And it may be replaced itself.
    one.start(successor(4, "z", 1), "t4".into());
    assert_eq!(done(&mut swarm, &mut one, later), ["create z beside x"]);
    one.take_number(ReplicaId(4));
    assert_eq!(done(&mut swarm, &mut one, later), ["z over x"]);
    assert_eq!(told(&mut swarm, &mut two, later), ["inventory z=1 x:beside"]);
}

#[test]
fn a_deploy_is_taken_back_in_one_write() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = with_successor(now);
    one.take_number(ReplicaId(2));
    assert_eq!(done(&mut swarm, &mut one, now), ["x over y"]);
    assert_eq!(told(&mut swarm, &mut two, now), ["inventory x=1 y:beside"]);
    two.forget(ReplicaId(1));
    // Its incumbent is another incarnation meanwhile, whose service is not known yet.
    swarm.observed.tasks.retain(|task| task.id != "task-y");
    assert_eq!(told(&mut swarm, &mut one, now), ["exited 1 task-y"]);
    one.start(launch(3, "y", 1, Some("y")), "t3".into());
    one.take_number(ReplicaId(3));
    assert_eq!(done(&mut swarm, &mut one, now), ["x beside y"]);
    assert_eq!(told(&mut swarm, &mut two, now), ["inventory y=1 x:beside"]);
    swarm.run("y", "task-y2");
    assert_eq!(told(&mut swarm, &mut one, now), ["started 3 10.0.0.2:5000"]);
    // That incarnation ends too; it is still the one that has the number.
    swarm.observed.tasks.retain(|task| task.id != "task-y2");
    assert_eq!(told(&mut swarm, &mut one, now), ["exited 3 task-y2"]);
    assert_eq!(done(&mut swarm, &mut one, now), [""; 0]);
    // Others may have had the successor on their rings.
    assert_eq!(one.stop(ReplicaId(2), now), None);
    assert_eq!(done(&mut swarm, &mut one, now), ["mark x"]);
    assert_eq!(told(&mut swarm, &mut two, now), ["inventory y=1"]);
    assert_eq!(done(&mut swarm, &mut one, now + Duration::from_secs(2)), ["delete x"]);
}

#[test]
fn a_successor_that_never_had_the_number_goes_without_notice() {
    let now = Instant::now();
    let (mut swarm, mut one, _) = with_successor(now);
    assert_eq!(one.stop(ReplicaId(2), now), None);
    let (events, operations) = swarm.settle(&mut one, now);
    assert_eq!(deeds(&operations), ["delete x"]);
    assert_eq!(summary(&events), ["inventory y=1", "exited 2 its service was removed"]);
    // One that was told to take it may have been seen with it.
    let (mut swarm, mut one, _) = with_successor(now);
    one.take_number(ReplicaId(2));
    assert_eq!(one.stop(ReplicaId(2), now), None);
    assert_eq!(done(&mut swarm, &mut one, now), ["mark x"]);
}

#[test]
fn an_incumbent_leaves_after_its_number_was_taken() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = with_successor(now);
    one.take_number(ReplicaId(2));
    assert_eq!(one.stop(ReplicaId(1), now), None);
    // Somebody else was quicker to change the service.
    swarm.service("x").version += 1;
    let version = swarm.service("x").version;
    let plan = one.reconcile(&swarm.observed, now);
    assert_eq!(deeds(&plan.operations), ["x over y"], "and nothing else");
    swarm.service("x").version += 1;
    swarm.perform(&plan.operations[0], &mut one, now);
    assert_eq!(swarm.service("x").version, version + 1, "refused");
    assert_eq!(done(&mut swarm, &mut one, now), ["x over y", "mark y"]);
    assert_eq!(told(&mut swarm, &mut two, now), ["inventory x=1"]);
    // If the successor goes as well, nobody waits for it.
    let (mut swarm, mut one, _) = with_successor(now);
    one.take_number(ReplicaId(2));
    one.retire(ReplicaId(1), now);
    one.retire(ReplicaId(2), now);
    assert_eq!(done(&mut swarm, &mut one, now), ["mark x", "mark y"]);
}

#[test]
fn a_successor_whose_task_ends_keeps_its_place() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = with_successor(now);
    one.take_number(ReplicaId(2));
    assert_eq!(done(&mut swarm, &mut one, now), ["x over y"]);
    swarm.observed.tasks.retain(|task| task.id != "task-x");
    assert_eq!(told(&mut swarm, &mut one, now), ["exited 2 task-x"]);
    assert_eq!(
        told(&mut swarm, &mut two, now),
        ["inventory x=1 y:beside"],
        "listed although it does not run"
    );
    one.start(launch(3, "x", 1, Some("x")), "t3".into());
    let later = now + Duration::from_secs(20);
    assert_eq!(done(&mut swarm, &mut one, later), ["x over y"], "a renewal");
    one.take_number(ReplicaId(1));
    assert_eq!(done(&mut swarm, &mut one, later), ["x beside y"]);
    one.take_number(ReplicaId(3));
    assert_eq!(done(&mut swarm, &mut one, later), ["x over y"]);
}

#[test]
fn places_are_renewed_while_the_deploy_lasts() {
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let (mut swarm, mut one, _) = with_successor(now);
    assert_eq!(done(&mut swarm, &mut one, at(19)), [""; 0]);
    assert_eq!(done(&mut swarm, &mut one, at(20)), ["x beside y"]);
    one.take_number(ReplicaId(2));
    assert_eq!(done(&mut swarm, &mut one, at(21)), ["x over y"]);
    assert_eq!(done(&mut swarm, &mut one, at(40)), [""; 0]);
    assert_eq!(done(&mut swarm, &mut one, at(41)), ["x over y"]);
    // Its incumbent is removed by another balancer.
    swarm.service("y").leaving = Some("1".into());
    assert_eq!(done(&mut swarm, &mut one, at(80)), [""; 0]);
}

#[test]
fn only_holders_have_numbers() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = with_successor(now);
    two.start(launch(5, "b", 1, None), "t5".into());
    two.start(launch(6, "c", 2, None), "t6".into());
    assert_eq!(done(&mut swarm, &mut two, now), ["create c", "create b"]);
    for name in ["b", "c"] {
        swarm.run(name, &format!("task-{name}"));
    }
    assert_eq!(told(&mut swarm, &mut one, now), ["inventory y=1 c=2 b=3 x:beside"]);
    // An orphan does not become a holder, and no second service of its number is missed.
    swarm.observed.services.retain(|service| service.id != "id-y");
    assert_eq!(
        told(&mut swarm, &mut two, now).first().map(String::as_str),
        Some("inventory c=2 b=3 x:beside")
    );
}

#[test]
fn a_successor_needs_who_has_the_number() {
    let now = Instant::now();
    let (mut swarm, mut one, _) = pool(now);
    one.start(successor(2, "x", 7), "t2".into());
    let plan = one.reconcile(&swarm.observed, now);
    let reason = "the Swarm has no service any more that serves number 7".to_owned();
    assert_eq!(plan.events, [RuntimeEvent::StartFailed { id: ReplicaId(2), reason }]);
    assert!(plan.operations.is_empty());
    // One that is being removed, here or elsewhere, or that is vacant, does not.
    one.vacate(ReplicaId(1));
    assert_eq!(done(&mut swarm, &mut one, now), ["y vacant"]);
    one.start(successor(3, "x", 1), "t3".into());
    assert_eq!(told(&mut swarm, &mut one, now), ["failed 3"]);
    one.retire(ReplicaId(1), now);
    one.start(successor(4, "x", 1), "t4".into());
    let (events, operations) = swarm.settle(&mut one, now);
    assert_eq!(
        (summary(&events), deeds(&operations)),
        (vec!["inventory ".into(), "failed 4".into()], vec!["mark y".into()])
    );
}

#[test]
fn a_lost_response_does_not_make_two_successors() {
    let now = Instant::now();
    let (mut swarm, mut one, _) = pool(now);
    one.start(successor(2, "x", 1), "t2".into());
    let operations = one.reconcile(&swarm.observed, now).operations;
    swarm.perform(&operations[0], &mut one, now);
    one.interrupted();
    one.take_number(ReplicaId(2));
    assert_eq!(done(&mut swarm, &mut one, now), ["x over y"]);
    // Given up before the response came.
    let (mut swarm, mut one, _) = pool(now);
    one.start(successor(2, "x", 1), "t2".into());
    let operations = one.reconcile(&swarm.observed, now).operations;
    swarm.perform(&operations[0], &mut one, now);
    assert_eq!(one.stop(ReplicaId(2), now), None);
    assert_eq!(done(&mut swarm, &mut one, now), ["delete x"]);
}

#[test]
fn the_last_decision_counts() {
    let now = Instant::now();
    let (mut swarm, mut one, _) = with_successor(now);
    for id in [2, 1, 2] {
        one.take_number(ReplicaId(id));
    }
    assert_eq!(done(&mut swarm, &mut one, now), ["x over y"]);
    for id in [1, 2, 1] {
        one.take_number(ReplicaId(id));
    }
    assert_eq!(done(&mut swarm, &mut one, now), ["x beside y"]);
    // Without a partner it says nothing.
    swarm.make("z", 2, "other");
    swarm.run("z", "task-z");
    one.start(launch(3, "z", 2, Some("z")), "t3".into());
    one.take_number(ReplicaId(3));
    one.take_number(ReplicaId(99));
    assert_eq!(done(&mut swarm, &mut one, now), [""; 0]);
}

#[test]
fn a_forgotten_replica_is_left_as_it_is() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = with_successor(now);
    one.take_number(ReplicaId(2));
    assert_eq!(done(&mut swarm, &mut one, now), ["x over y"]);
    told(&mut swarm, &mut two, now);
    two.forget(ReplicaId(1));
    // Also one that was only to be found, to be removed.
    two.start(launch(4, "y", 1, Some("y")), "t4".into());
    two.stop(ReplicaId(4), now);
    two.forget(ReplicaId(4));
    swarm.observed.tasks.retain(|task| task.id != "task-y");
    assert_eq!(told(&mut swarm, &mut two, now), [""; 0]);
    assert!(!two.is_converging());
    // Who forgets its successor renews nothing.
    one.forget(ReplicaId(2));
    assert_eq!(told(&mut swarm, &mut one, now + Duration::from_secs(30)), ["exited 1 task-y"]);
}

#[test]
fn of_two_deploys_the_older_successor_has_the_number() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = with_successor(now);
    two.start(successor(3, "w", 1), "t3".into());
    assert_eq!(done(&mut swarm, &mut two, now), ["create w beside y"]);
    swarm.run("w", "task-w");
    two.take_number(ReplicaId(3));
    assert_eq!(done(&mut swarm, &mut two, now), ["w over y"]);
    one.take_number(ReplicaId(2));
    assert_eq!(done(&mut swarm, &mut one, now), ["x over y"]);
    let expected = "inventory x=1 y:beside w:beside";
    assert_eq!(told(&mut swarm, &mut two, now), [expected]);
    two.forget(ReplicaId(1));
    // It is no holder either when who had the number is gone, and is renewed while it is wanted.
    one.stop(ReplicaId(1), now);
    done(&mut swarm, &mut one, now + Duration::from_secs(2));
    let later = now + Duration::from_secs(20);
    done(&mut swarm, &mut one, later);
    let (events, operations) = swarm.settle(&mut two, later);
    assert_eq!(summary(&events)[0], "inventory x=1 w:beside");
    assert_eq!(deeds(&operations)[0], "w over y");
}
