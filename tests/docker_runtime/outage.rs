//! An engine that is gone, hangs, or loses connections: reported once, recovered from, nothing lost.

use std::time::Instant;

use super::*;
use crate::engine::gate::Rule;

/// The engine is back: which replicas ended meanwhile, and what there is.
async fn back(bench: &mut Bench) -> (Vec<(ReplicaId, String)>, Vec<Found>) {
    let mut exited = Vec::new();
    loop {
        match bench.next().await {
            RuntimeEvent::Exited { id, reason } | RuntimeEvent::StartFailed { id, reason } => {
                exited.push((id, reason));
            }
            RuntimeEvent::Inventory(found) => {
                assert_eq!(bench.next().await, RuntimeEvent::Available);
                return (exited, found);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_happened_while_the_engine_was_gone_is_told() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(gated(&pool, &gate)).await;
    for (id, name) in [(1, "S1"), (2, "S2"), (3, "S3"), (4, "S4")] {
        bench.up(id, name).await;
    }
    gate.close();
    let reason = bench.unavailable().await;
    assert!(reason.contains(&gate.path().display().to_string()), "{reason}");
    docker(&["kill", &pool.container("s2")]).await;
    docker(&["rm", "-f", &pool.container("s3")]).await;
    // What the pool no longer wants is remembered.
    bench.runtime.stop(ReplicaId(4));
    bench.runtime.start(launch(5, "S5", None));
    bench.runtime.stop(ReplicaId(5));
    gate.open();
    let (mut exited, _) = back(&mut bench).await;
    if exited.len() < 4 {
        exited.push((ReplicaId(4), bench.exited(4).await));
    }
    exited.sort();
    let ids: Vec<_> = exited.iter().map(|(id, _)| id.0).collect();
    assert_eq!(ids, [2, 3, 4, 5]);
    assert!(exited[0].1.starts_with("killed by signal 9"), "{exited:?}");
    assert_eq!(exited[1].1, "its container was removed while the engine was away");
    assert_eq!(exited[2].1, "exit status 0");
    until_count(&pool.filter(), 1).await;
}

#[tokio::test]
async fn a_hung_engine_is_noticed_in_time_and_leaves_no_orphan() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(gated(&pool, &gate)).await;
    bench.up(1, "S1").await;
    gate.hang();
    let asked = Instant::now();
    bench.runtime.start(launch(2, "S2", None));
    bench.runtime.start(launch(4, "S4", None));
    bench.unavailable().await;
    let noticed = asked.elapsed();
    println!("a hung engine was noticed after {noticed:?}");
    bench.runtime.stop(ReplicaId(2));
    gate.open();
    let (mut exited, found) = back(&mut bench).await;
    while exited.len() < 2 {
        // A container that was there already is stopped first.
        match bench.next().await {
            RuntimeEvent::Exited { id, reason } | RuntimeEvent::StartFailed { id, reason } => {
                exited.push((id, reason));
            }
            other => panic!("{other:?}"),
        }
    }
    exited.sort();
    assert_eq!(exited.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(exited[1].1, "the engine went away while it was being made");
    assert_eq!(found.len(), 1);
    // The request that hung goes through when the gate opens, and makes a container for nobody.
    bench.up(3, "S2").await;
    until_count(&format!("label=io.ringherd.pool={}", pool.name), 2).await;
    let unpaired = format!("name={}-leaving-", pool.container("s2"));
    until_count(&unpaired, 0).await;
}

/// The engine answers about a container when it has done with it, which takes as long as a busy disk.
#[tokio::test]
async fn a_slow_container_is_no_outage() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(gated(&pool, &gate)).await;
    gate.rule(
        "/containers/*/json",
        Rule::Slow(ringherd::runtime::engine::CALL_TIMEOUT + Duration::from_secs(1)),
    );
    bench.up(1, "S1").await;
}

/// The engine started a container, and its answer was lost: what runs is no failure yet.
#[tokio::test]
async fn a_replica_of_which_a_container_runs_has_failed_when_that_has_ended() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(gated(&pool, &gate)).await;
    gate.rule("/start", Rule::Mute);
    bench.runtime.start(launch(1, "S1", None));
    let running = format!("name={}$", pool.container("s1"));
    until_running(&running, 1).await;
    // It cannot be ended either.
    for text in ["/kill", "DELETE "] {
        gate.rule(text, Rule::Refuse(500));
    }
    gate.cut();
    bench.unavailable().await;
    let (ended, found) = back(&mut bench).await;
    assert_eq!((ended, found), (vec![], vec![]));
    until_refused(&gate, "DELETE ", 2).await;
    assert!(bench.events.try_recv().is_err(), "its container runs");
    gate.no_rule();
    assert_eq!(bench.start_failed(1).await, "the engine went away while it was being made");
    assert_eq!(docker(&["ps", "-q", "--filter", &pool.filter()]).await, "");
}

#[tokio::test]
async fn a_lost_connection_is_made_up_for() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(gated(&pool, &gate)).await;
    bench.up(1, "S1").await;
    gate.cut();
    bench.unavailable().await;
    let (exited, found) = back(&mut bench).await;
    assert_eq!((exited.len(), found.len()), (0, 1));
    docker(&["kill", &pool.container("s1")]).await;
    bench.ending(1).await;
    bench.exited(1).await;
}

#[tokio::test]
async fn an_engine_that_comes_late_is_found() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    gate.close();
    let mut bench = Bench::new(gated(&pool, &gate));
    bench.unavailable().await;
    gate.open();
    let (exited, found) = back(&mut bench).await;
    assert_eq!((exited.len(), found.len()), (0, 0));
    bench.up(1, "S1").await;
}
