//! An engine that is slow or refuses single calls: that concerns one replica only.

use std::time::Instant;

use super::*;
use crate::engine::gate::Rule;

#[tokio::test]
async fn a_slow_engine_is_not_away() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(gated(&pool, &gate)).await;
    gate.rule("POST /containers/create", Rule::Slow(Duration::from_secs(4)));
    let asked = Instant::now();
    bench.up(1, "S1").await;
    assert!(asked.elapsed() > Duration::from_secs(4));
    bench.runtime.stop(ReplicaId(1));
    bench.exited(1).await;
    assert_eq!(pool.containers().await, [""; 0]);
}

#[tokio::test]
async fn a_proxy_without_an_engine_is_an_engine_that_is_away() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(gated(&pool, &gate)).await;
    gate.rule("POST /containers/create", Rule::Refuse(503));
    bench.runtime.start(launch(1, "S1", None));
    let reason = bench.unavailable().await;
    assert!(reason.contains("503"), "{reason}");
    gate.no_rule();
    assert_eq!(bench.start_failed(1).await, "the engine went away while it was being made");
    assert_eq!(bench.inventory().await, []);
    assert_eq!(bench.next().await, RuntimeEvent::Available);
}

#[tokio::test]
async fn what_cannot_be_removed_is_tried_again_and_never_comes_back() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(gated(&pool, &gate)).await;
    bench.up(1, "S1").await;
    bench.up(2, "S2").await;
    gate.rule("DELETE ", Rule::Refuse(500));
    bench.runtime.stop(ReplicaId(1));
    // In time for a later attempt.
    tokio::time::sleep(Duration::from_millis(600)).await;
    gate.no_rule();
    bench.exited(1).await;
    until_count(&pool.filter(), 1).await;

    gate.rule("DELETE ", Rule::Refuse(500));
    bench.runtime.stop(ReplicaId(2));
    assert_eq!(bench.exited(2).await, "exit status 0");
    drop(bench);
    until_count(&format!("name={}-leaving-", pool.container("s2")), 1).await;
    let (_bench, found) = Bench::ready(config(&pool)).await;
    assert_eq!(found, []);
    until_count(&pool.filter(), 0).await;
}

#[tokio::test]
async fn a_replica_that_cannot_be_made_leaves_no_network() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let mut config = config(&pool);
    config.spec.memory = Some(1);
    let (mut bench, _) = Bench::ready(config).await;
    bench.runtime.start(launch(1, "S1", None));
    let reason = bench.start_failed(1).await;
    assert!(reason.starts_with("cannot create the container"), "{reason}");
    assert_eq!(docker(&["network", "ls", "-q", "--filter", &pool.filter()]).await, "");
}

#[tokio::test]
async fn one_that_cannot_be_looked_at_is_no_reason_to_lose_the_engine() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(gated(&pool, &gate)).await;
    bench.up(1, "S1").await;
    let container = pool.containers().await.remove(0);
    gate.rule(&format!("{container}/json"), Rule::Refuse(500));
    docker(&["kill", &container]).await;
    bench.ending(1).await;
    // It is not known how it ended, or whether; the pool finds out that it does not answer.
    bench.runtime.stop(ReplicaId(1));
    let reason = bench.exited(1).await;
    assert!(reason.starts_with("how it ended is not known"), "{reason}");
    until_count(&pool.filter(), 0).await;
}

#[tokio::test]
async fn what_fails_at_once_each_time_is_tried_ever_more_slowly() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(gated(&pool, &gate)).await;
    gate.rule("/events?", Rule::Refuse(403));
    gate.cut();
    let mut count = 0;
    let counted = async {
        loop {
            count += u32::from(matches!(bench.next().await, RuntimeEvent::Unavailable { .. }));
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(4), counted).await;
    // Pauses of 0.1, 0.2, 0.4, 0.8, 1.6 s make 5 or 6; ten a second would make 30.
    assert!((2..8).contains(&count), "{count}");
}
