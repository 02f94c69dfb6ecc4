//! Services that are made, shared, moved and removed, and engines that are no managers.

use super::*;

#[tokio::test]
async fn replicas_are_services_that_outlive_the_balancer() {
    let _alone = ONE_LAB.lock().await;
    let Some(lab) = Lab::up("rtone", 2, 1) else { return };
    let mut bench = Bench::listed(&lab, 1).await;
    assert_eq!(bench.inventory, []);
    let begin = Instant::now();
    (1..=3).for_each(|id| bench.start(id, &format!("Server {id}"), id as u32));
    let mut places = Vec::new();
    for id in 1..=3 {
        places.push(bench.started(id).await);
    }
    println!("swarm: 3 services running after {}", millis(begin));
    bench.has(&[("Server 1", 1), ("Server 2", 2), ("Server 3", 3)]).await;
    assert!(places.iter().all(|(address, _)| address.port() == 5000), "{places:?}");
    let on = |node: &str| places.iter().filter(|(_, place)| place.ends_with(&format!(" on {node}"))).count();
    assert!(on("node1") > 0 && on("node2") > 0, "not spread: {places:?}");
    assert!(places[0].1.starts_with("service ringherd-p-server-1 task "), "{places:?}");
    let label = "{{index .Spec.Labels \"io.ringherd.number\"}} {{index .Spec.Labels \"io.ringherd.pool\"}}";
    assert_eq!(service(&lab, "ringherd-p-server-2", label), "2 p");
    let rights =
        "{{.Spec.TaskTemplate.ContainerSpec.ReadOnly}} {{.Spec.TaskTemplate.ContainerSpec.CapabilityDrop}}";
    assert_eq!(service(&lab, "ringherd-p-server-2", rights), "true [ALL]");

    // Gone without a word, as after `kill -9`: the next one finds all, at the same places.
    drop(bench);
    let begin = Instant::now();
    let mut bench = Bench::listed(&lab, 1).await;
    assert_eq!(bench.inventory, [("Server 1".into(), 1), ("Server 2".into(), 2), ("Server 3".into(), 3)]);
    for (id, place) in (11..).zip(&places) {
        bench.take_over(id, &format!("Server {}", id - 10), id as u32 - 10);
        assert_eq!(bench.started(id).await, *place);
    }
    println!("swarm: 3 taken over after {}", millis(begin));
    bench.take_over(14, "Nobody", 4);
    bench
        .until("a refusal", |event| {
            matches!(event, RuntimeEvent::StartFailed { id, .. } if id.0 == 14).then_some(())
        })
        .await;

    let begin = Instant::now();
    bench.runtime.retire(ReplicaId(12));
    bench.runtime.stop(ReplicaId(12));
    let reason = bench.exited(12).await;
    println!("swarm: removed after {}: {reason}", millis(begin));
    assert!(begin.elapsed() >= Duration::from_secs(2), "others had no time to let go");
    assert_eq!(services(&lab), ["ringherd-p-server-1", "ringherd-p-server-3"]);
    assert_eq!(bench.inventory, [("Server 1".into(), 1), ("Server 3".into(), 3)]);
}

#[tokio::test]
async fn two_balancers_share_a_pool() {
    let _alone = ONE_LAB.lock().await;
    let Some(lab) = Lab::up("rttwo", 2, 2) else { return };
    let (mut one, mut two) = (Bench::listed(&lab, 1).await, Bench::listed(&lab, 2).await);
    // The same number at the same moment, several times: both sides must end with the same.
    let rounds: u64 = 4;
    for round in 1..=rounds {
        let number = round as u32 * 2 - 1;
        one.start(round, &format!("A{round}"), number);
        two.start(round, &format!("B{round}"), number);
        one.started(round).await;
        two.started(round).await;
    }
    while one.inventory.len() < 2 * rounds as usize {
        one.inventory().await;
    }
    let agreed: Vec<_> = one.inventory.clone();
    let expected: Vec<_> = agreed.iter().map(|(name, number)| (name.as_str(), *number)).collect();
    two.has(&expected).await;
    let numbers: Vec<_> = agreed.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, (1..=2 * rounds as u32).collect::<Vec<_>>());
    println!("swarm: {rounds} races for a number ended as {agreed:?} on both balancers");

    // The same name at the same moment: one of them makes it.
    one.start(90, "Same", 90);
    two.start(90, "Same", 90);
    let outcome = |event: &RuntimeEvent| match event {
        RuntimeEvent::Started { id: ReplicaId(90), .. } => Some(true),
        RuntimeEvent::StartFailed { id: ReplicaId(90), .. } => Some(false),
        _ => None,
    };
    let outcomes = [one.until("an outcome", outcome).await, two.until("an outcome", outcome).await];
    assert!(outcomes[0] != outcomes[1], "{outcomes:?}");

    // A removal through one is seen by the other.
    let gone = |event: &RuntimeEvent| match event {
        RuntimeEvent::Inventory(found) => found.iter().all(|found| found.name != "A1").then_some(()),
        _ => None,
    };
    two.take_over(50, "A1", 1);
    two.started(50).await;
    let begin = Instant::now();
    one.runtime.retire(ReplicaId(1));
    two.until("a removal", gone).await;
    println!("swarm: a removal is seen by the other balancer after {}", millis(begin));
    two.runtime.retire(ReplicaId(50));
    two.runtime.stop(ReplicaId(50));
    assert_eq!(two.exited(50).await, "left to the balancer that removes it");
    assert!(services(&lab).contains(&"ringherd-p-a1".to_owned()), "removed by the wrong one");
    one.runtime.stop(ReplicaId(1));
    one.exited(1).await;
    assert!(!services(&lab).contains(&"ringherd-p-a1".to_owned()));
}

#[tokio::test]
async fn a_killed_task_comes_back_under_its_number() {
    let _alone = ONE_LAB.lock().await;
    let Some(lab) = Lab::up("rtkill", 1, 1) else { return };
    let mut bench = Bench::listed(&lab, 1).await;
    bench.start(1, "Server 1", 1);
    let (_, before) = bench.started(1).await;
    let container = lab.docker(1, &["ps", "-q", "--filter", "label=io.ringherd.name=Server 1"]);
    let begin = Instant::now();
    lab.docker(1, &["kill", &container]);
    let reason = bench.exited(1).await;
    println!("swarm: the end of a task is told after {}: {reason}", millis(begin));
    assert!(reason.contains("137"), "{reason}");
    bench.take_over(2, "Server 1", 1);
    let (_, after) = bench.started(2).await;
    println!("swarm: it runs again after {}", millis(begin));
    assert_ne!(before, after);
    assert_eq!(bench.inventory, [("Server 1".into(), 1)]);
}

#[tokio::test]
async fn replicas_of_a_lost_node_move_and_keep_their_numbers() {
    let _alone = ONE_LAB.lock().await;
    let Some(lab) = Lab::up("rtcut", 2, 1) else { return };
    lab.notice_losses_soon();
    let mut bench = Bench::listed(&lab, 1).await;
    let mut moving = Vec::new();
    for id in 1..=4 {
        bench.start(id, &format!("S{id}"), id as u32);
        let (_, place) = bench.started(id).await;
        if place.ends_with(" on node2") {
            moving.push(id);
        }
    }
    assert!(!moving.is_empty());
    let expected = [("S1", 1), ("S2", 2), ("S3", 3), ("S4", 4)];
    bench.has(&expected).await;
    let begin = Instant::now();
    lab.act("cut", 2);
    for &id in &moving {
        let reason = bench.exited(id).await;
        println!("swarm: {} after {}", reason, millis(begin));
        assert_eq!(reason, "its node node2 is down");
        bench.take_over(id + 10, &format!("S{id}"), id as u32);
    }
    for &id in &moving {
        let (_, place) = bench.started(id + 10).await;
        assert!(place.ends_with(" on node1"), "{place}");
    }
    println!("swarm: {} replicas moved after {}", moving.len(), millis(begin));
    bench.has(&expected).await;
    // What ran on there is ended by the Swarm, and nothing is told of it.
    lab.act("restore", 2);
    let left = || lab.docker(2, &["ps", "-q"]);
    let begin = Instant::now();
    while !left().is_empty() {
        assert!(begin.elapsed() < LIMIT, "copies are left on node 2");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The engines may be too busy to answer meanwhile.
    let told = std::iter::from_fn(|| bench.events.try_recv().ok());
    let is_of_replica =
        |event: &RuntimeEvent| !matches!(event, RuntimeEvent::Unavailable { .. } | RuntimeEvent::Available);
    assert_eq!(told.filter(is_of_replica).collect::<Vec<_>>(), []);
}

#[tokio::test]
async fn a_number_that_is_given_twice_goes_to_the_older_without_a_restart() {
    let _alone = ONE_LAB.lock().await;
    let Some(lab) = Lab::up("rtdup", 1, 1) else { return };
    let mut bench = Bench::listed(&lab, 1).await;
    bench.start(1, "Old", 1);
    bench.started(1).await;
    let create = "service create --detach --no-resolve-image --endpoint-mode dnsrr --network ringherd-p --name x \
                  --label io.ringherd.pool=p --label io.ringherd.name=Young --label io.ringherd.number=1 \
                  --container-label io.ringherd.pool=p ringherd:lab replica";
    lab.docker(1, &create.split_whitespace().collect::<Vec<_>>());
    bench.has(&[("Old", 1), ("Young", 2)]).await;
    assert_eq!(service(&lab, "x", "{{index .Spec.Labels \"io.ringherd.number\"}}"), "2");
    let tasks = lab.docker(1, &["service", "ps", "-q", "x"]);
    assert_eq!(tasks.lines().count(), 1, "the new number restarted the task");
}

#[tokio::test]
async fn an_engine_that_is_no_manager_or_hangs_is_unavailable() {
    let _alone = ONE_LAB.lock().await;
    let Some(lab) = Lab::up("rtaway", 2, 1) else { return };
    let unavailable = |event: &RuntimeEvent| match event {
        RuntimeEvent::Unavailable { reason } => Some(reason.clone()),
        _ => None,
    };
    let mut worker = Bench::new(&lab, 2);
    let reason = worker.until("an outage", unavailable).await;
    println!("swarm: {reason}");
    assert!(reason.contains("is not a Swarm manager: run 'docker swarm init'"), "{reason}");
    lab.docker(1, &["node", "promote", "node2"]);
    worker.until("an end of it", |event| (*event == RuntimeEvent::Available).then_some(())).await;
    drop(worker);
    lab.docker(1, &["node", "demote", "node2"]);

    let mut bench = Bench::listed(&lab, 1).await;
    bench.start(1, "S1", 1);
    bench.started(1).await;
    bench.has(&[("S1", 1)]).await;
    let begin = Instant::now();
    lab.act("freeze", 1);
    bench.until("an outage", unavailable).await;
    println!("swarm: an engine that hangs is noticed after {}", millis(begin));
    bench.start(2, "S2", 2);
    bench.start(3, "S3", 3);
    bench.runtime.stop(ReplicaId(3));
    assert_eq!(bench.exited(3).await, "stopped before it was started");
    lab.act("thaw", 1);
    bench.inventory.clear();
    bench.until("an end of it", |event| (*event == RuntimeEvent::Available).then_some(())).await;
    assert_eq!(bench.inventory.first(), Some(&("S1".to_owned(), 1)), "nothing was told before");
    bench.started(2).await;
    assert_eq!(services(&lab), ["ringherd-p-s1", "ringherd-p-s2"]);
}
