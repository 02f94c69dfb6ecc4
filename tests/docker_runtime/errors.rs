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
async fn what_cannot_be_ended_has_not_ended() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let mut config = gated(&pool, &gate);
    config.spec.stop_timeout = Duration::from_millis(100);
    let (mut bench, _) = Bench::ready(config).await;
    bench.up(1, "S1").await;
    for text in ["/kill", "DELETE "] {
        gate.rule(text, Rule::Refuse(500));
    }
    bench.runtime.stop(ReplicaId(1));
    until_count(&format!("name={}-leaving-", pool.container("s1")), 1).await;
    let attempts = gate.refused("DELETE ");
    until_refused(&gate, "DELETE ", attempts + 1).await;
    assert!(bench.events.try_recv().is_err(), "its container runs");
    until_running(&pool.filter(), 1).await;
    gate.no_rule();
    assert_eq!(bench.exited(1).await, "it had not ended, and was removed by force");
    assert_eq!(pool.containers().await, [""; 0]);
}

#[tokio::test]
async fn a_start_has_failed_when_nothing_is_left_that_runs() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let mut config = gated(&pool, &gate);
    config.spec.stop_timeout = Duration::from_millis(100);
    let (mut bench, _) = Bench::ready(config).await;
    // It starts, and then the engine does not tell its address.
    for text in ["/containers/*/json", "/kill", "DELETE "] {
        gate.rule(text, Rule::Refuse(500));
    }
    bench.runtime.start(launch(1, "S1", None));
    until_refused(&gate, "DELETE ", 2).await;
    assert!(bench.events.try_recv().is_err(), "its container runs");
    until_running(&pool.filter(), 1).await;
    gate.no_rule();
    let reason = bench.start_failed(1).await;
    assert!(reason.starts_with("cannot start the container"), "{reason}");
    assert_eq!(pool.containers().await, [""; 0]);
}

/// One that is taken over is no replica yet, and runs all the same.
#[tokio::test]
async fn what_cannot_be_taken_over_has_to_end_too() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(config(&pool)).await;
    bench.up(1, "S1").await;
    drop(bench);
    let (mut bench, found) = Bench::ready(gated(&pool, &gate)).await;
    for text in ["/containers/*/json", "DELETE "] {
        gate.rule(text, Rule::Refuse(500));
    }
    bench.runtime.start(launch(2, "S1", Some(&found[0].key)));
    until_refused(&gate, "DELETE ", 2).await;
    assert!(bench.events.try_recv().is_err(), "it is not known to have ended");
    gate.no_rule();
    let reason = bench.start_failed(2).await;
    assert!(reason.starts_with("cannot look up its container"), "{reason}");
    assert_eq!(pool.containers().await, [""; 0]);
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
