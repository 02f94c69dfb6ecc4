//! Services that run another revision where they are: one balancer changes them, another one looks on.

use super::*;

fn at(now: Instant, millis: u64) -> Instant {
    now + Duration::from_millis(millis)
}

#[test]
fn a_vacated_service_is_updated_after_notice() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = pool(now);
    one.vacate(ReplicaId(1));
    assert!(one.is_converging());
    assert_eq!(
        both(&mut swarm, &mut one, now),
        (vec!["inventory y=1:vacant".into()], vec!["y vacant".into()])
    );
    assert!(!one.is_converging());
    assert_eq!(told(&mut swarm, &mut two, now), ["inventory y=1:vacant"]);
    two.forget(ReplicaId(1));
    one.forget(ReplicaId(1));
    one.start(update(2, "y", "v2"), "t2".into());
    assert_eq!(done(&mut swarm, &mut one, at(now, 1999)), [""; 0]);
    assert_eq!(done(&mut swarm, &mut one, at(now, 2000)), ["update y to v2"]);
    // The task of before has not ended yet: neither takes it for the new one.
    assert_eq!(told(&mut swarm, &mut two, at(now, 2000)), ["inventory y=1"]);
    two.start(launch(3, "y", 1, Some("y")), "t3".into());
    assert_eq!(told(&mut swarm, &mut two, at(now, 2000)), [""; 0]);
    assert_eq!(told(&mut swarm, &mut one, at(now, 2000)), [""; 0]);
    swarm.run("y", "task2");
    assert_eq!(told(&mut swarm, &mut one, at(now, 2000)), ["started 2 10.0.0.2:5000"]);
    assert_eq!(told(&mut swarm, &mut two, at(now, 2000)), ["started 3 10.0.0.2:5000"]);
    // It is over.
    assert!(!one.is_converging());
    assert_eq!(told(&mut swarm, &mut one, at(now, 99_000)), [""; 0]);
}

#[test]
fn a_task_of_an_earlier_version_is_told_from_the_new_one() {
    let now = Instant::now();
    let (mut swarm, mut one, _) = pool(now);
    swarm.observed.tasks[0].token = None;
    one.forget(ReplicaId(1));
    one.start(update(2, "y", "v2"), "t2".into());
    assert_eq!(done(&mut swarm, &mut one, now), ["y vacant"], "the launch gives notice itself");
    assert_eq!(done(&mut swarm, &mut one, at(now, 2000)), ["update y to v2"]);
    assert_eq!(told(&mut swarm, &mut one, at(now, 2000)), [""; 0]);
    swarm.run("y", "task2");
    assert_eq!(told(&mut swarm, &mut one, at(now, 2000)), ["started 2 10.0.0.2:5000"]);
}

#[test]
fn what_does_not_run_needs_no_notice() {
    let now = Instant::now();
    let (mut swarm, mut one, _) = pool(now);
    swarm.observed.tasks.clear();
    assert_eq!(told(&mut swarm, &mut one, now), ["exited 1 task-y"]);
    one.start(update(2, "y", "v2"), "t2".into());
    assert_eq!(done(&mut swarm, &mut one, now), ["update y to v2"]);
    swarm.run("y", "task2");
    assert_eq!(told(&mut swarm, &mut one, now), ["started 2 10.0.0.2:5000"]);
}

#[test]
fn an_update_waits_for_a_task_that_is_ending_but_not_for_ever() {
    let now = Instant::now();
    let (mut swarm, mut one, _) = pool(now);
    // It was updated a moment ago, and is to be changed back.
    swarm.service("y").token = Some("t9".into());
    swarm.is_ending = true;
    one.forget(ReplicaId(1));
    one.start(update(2, "y", "v2"), "t2".into());
    for millis in [0, 5999] {
        let operations = one.reconcile(&swarm.observed, at(now, millis)).operations;
        assert_eq!(deeds(&operations), ["update y to v2"], "without notice: nothing of it takes requests");
        swarm.perform(&operations[0], &mut one, at(now, millis));
        assert_eq!(swarm.service("y").revision, "");
    }
    // Its node may be gone.
    assert_eq!(done(&mut swarm, &mut one, at(now, 6000)), ["update y to v2"]);
    assert_eq!(swarm.service("y").revision, "v2");
}

#[test]
fn marks_are_renewed_until_a_launch_ends_them() {
    let now = Instant::now();
    let (mut swarm, mut one, _) = pool(now);
    one.vacate(ReplicaId(1));
    assert_eq!(done(&mut swarm, &mut one, now), ["y vacant"]);
    assert_eq!(done(&mut swarm, &mut one, at(now, 19_000)), [""; 0]);
    assert_eq!(done(&mut swarm, &mut one, at(now, 20_000)), ["y vacant"]);
    one.forget(ReplicaId(1));
    one.start(update(2, "y", "v2"), "t2".into());
    // Notice was given long ago; a renewal that is due goes first.
    assert_eq!(done(&mut swarm, &mut one, at(now, 40_000)), ["y vacant", "update y to v2"]);
    // Another balancer has taken the mark away: others may have it on their rings again.
    let (mut swarm, mut one, _) = pool(now);
    one.vacate(ReplicaId(1));
    assert_eq!(done(&mut swarm, &mut one, now), ["y vacant"]);
    swarm.service("y").place = None;
    one.forget(ReplicaId(1));
    one.start(update(2, "y", "v2"), "t2".into());
    assert_eq!(done(&mut swarm, &mut one, at(now, 5000)), ["y vacant"]);
    assert_eq!(done(&mut swarm, &mut one, at(now, 6999)), [""; 0]);
    assert_eq!(done(&mut swarm, &mut one, at(now, 7000)), ["update y to v2"]);
}

#[test]
fn a_refused_update_is_followed_by_the_way_back() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = pool(now);
    one.vacate(ReplicaId(1));
    done(&mut swarm, &mut one, now);
    one.forget(ReplicaId(1));
    one.start(update(2, "y", "v2"), "t2".into());
    swarm.refuses = true;
    assert_eq!(done(&mut swarm, &mut one, at(now, 2000)), ["update y to v2"]);
    assert_eq!(told(&mut swarm, &mut two, at(now, 2000)), ["inventory y=1:vacant"]);
    // Back to what it runs: nothing is to be changed, and the task still runs.
    one.start(Launch { replaces: Some("v2".into()), ..update(3, "y", "") }, "t3".into());
    let (events, operations) = both(&mut swarm, &mut one, at(now, 2000));
    assert_eq!(events, ["inventory y=1", "started 3 10.0.0.2:5000"]);
    assert_eq!(operations, ["y serves"]);
    assert_eq!(told(&mut swarm, &mut two, at(now, 2000)), ["inventory y=1"]);
    assert_eq!(done(&mut swarm, &mut one, at(now, 99_000)), [""; 0]);
}

#[test]
fn a_lost_response_to_an_update_does_not_make_two() {
    let now = Instant::now();
    let (mut swarm, mut one, _) = pool(now);
    one.forget(ReplicaId(1));
    one.start(update(2, "y", "v2"), "t2".into());
    done(&mut swarm, &mut one, now);
    let operations = one.reconcile(&swarm.observed, at(now, 2000)).operations;
    assert_eq!(deeds(&operations), ["update y to v2"]);
    // Refused, since the service has another version: it is asked for again.
    swarm.service("y").version += 1;
    swarm.perform(&operations[0], &mut one, at(now, 2000));
    assert_eq!(swarm.service("y").revision, "");
    let operations = one.reconcile(&swarm.observed, at(now, 2000)).operations;
    swarm.perform(&operations[0], &mut one, at(now, 2000));
    one.interrupted();
    swarm.run("y", "task2");
    let (events, operations) = both(&mut swarm, &mut one, at(now, 2000));
    assert_eq!(
        (events, operations),
        (vec!["inventory y=1".into(), "started 2 10.0.0.2:5000".into()], vec![])
    );
}

#[test]
fn an_adoption_ends_a_vacancy() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = pool(now);
    one.vacate(ReplicaId(1));
    done(&mut swarm, &mut one, now);
    one.forget(ReplicaId(1));
    // Not that of another balancer.
    two.forget(ReplicaId(1));
    two.start(launch(5, "y", 1, Some("y")), "t5".into());
    assert_eq!(told(&mut swarm, &mut two, now), ["inventory y=1:vacant", "started 5 10.0.0.2:5000"]);
    one.start(launch(2, "y", 1, Some("y")), "t2".into());
    let (events, operations) = both(&mut swarm, &mut one, now);
    assert_eq!(operations, ["y serves"]);
    assert!(events.contains(&"started 2 10.0.0.2:5000".to_owned()), "{events:?}");
    // Vacated before it was found.
    one.forget(ReplicaId(2));
    one.start(launch(3, "y", 1, Some("y")), "t3".into());
    one.vacate(ReplicaId(3));
    assert_eq!(done(&mut swarm, &mut one, now), ["y vacant"]);
}

#[test]
fn a_vacated_service_may_be_removed() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = pool(now);
    one.vacate(ReplicaId(1));
    done(&mut swarm, &mut one, now);
    one.forget(ReplicaId(1));
    one.start(update(2, "y", "v2"), "t2".into());
    done(&mut swarm, &mut one, now);
    assert_eq!(one.stop(ReplicaId(2), now), None);
    assert_eq!(done(&mut swarm, &mut one, at(now, 100)), ["mark y"]);
    assert_eq!(told(&mut swarm, &mut two, now), ["inventory "]);
    assert_eq!(done(&mut swarm, &mut one, at(now, 2100)), ["delete y"]);
    // By another balancer, while it is to be changed.
    let (mut swarm, mut one, _) = pool(now);
    one.vacate(ReplicaId(1));
    done(&mut swarm, &mut one, now);
    one.forget(ReplicaId(1));
    one.start(update(2, "y", "v2"), "t2".into());
    swarm.service("y").leaving = Some("1".into());
    let expected = (vec!["inventory ".to_owned(), "failed 2".to_owned()], vec![]);
    assert_eq!(both(&mut swarm, &mut one, at(now, 30_000)), expected);
}

#[test]
fn what_takes_part_in_a_deploy_is_not_changed_where_it_is() {
    let now = Instant::now();
    let (mut swarm, mut one, mut two) = pool(now);
    two.start(successor(7, "x", 1), "t7".into());
    done(&mut swarm, &mut two, now);
    swarm.run("x", "task-x");
    two.take_number(ReplicaId(7));
    done(&mut swarm, &mut two, now);
    one.vacate(ReplicaId(1));
    one.start(update(3, "y", "v3"), "t3".into());
    one.start(update(4, "x", "v3"), "t4".into());
    let (events, operations) = both(&mut swarm, &mut one, now);
    assert_eq!(events, ["inventory x=1 y:beside", "failed 3", "failed 4"]);
    assert_eq!(operations, [""; 0]);
    // With the revision that it has it is adopted.
    one.start(update(5, "x", "v2"), "t5".into());
    assert_eq!(told(&mut swarm, &mut one, now), ["started 5 10.0.0.2:5000"]);
}

#[test]
fn another_content_under_the_same_name_is_another_task() {
    let now = Instant::now();
    let (mut swarm, mut one, _) = pool(now);
    one.vacate(ReplicaId(1));
    done(&mut swarm, &mut one, now);
    one.forget(ReplicaId(1));
    one.start(Launch { replaces: Some("base".into()), ..update(2, "y", "") }, "t2".into());
    assert_eq!(done(&mut swarm, &mut one, at(now, 2000)), ["update y to "]);
    swarm.run("y", "task2");
    assert_eq!(told(&mut swarm, &mut one, at(now, 2000)), ["started 2 10.0.0.2:5000"]);
}
