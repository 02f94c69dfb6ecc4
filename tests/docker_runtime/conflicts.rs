//! Two balancers of the same pool and instance.

use super::*;

#[tokio::test]
async fn neither_removes_what_the_other_makes() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut one, _) = Bench::ready(config(&pool)).await;
    let (mut other, _) = Bench::ready(gated(&pool, &gate)).await;
    let address = one.up(1, "S1").await;
    // With a new connection comes a list, which shows what the other has made.
    gate.cut();
    other.unavailable().await;
    assert_eq!(other.inventory().await, []);
    assert_eq!(other.next().await, RuntimeEvent::Available);
    other.runtime.start(launch(1, "S1", None));
    let reason = other.start_failed(1).await;
    assert!(reason.ends_with("of another replica"), "{reason}");
    home(address).await;
    assert!(one.events.try_recv().is_err());
    one.runtime.stop(ReplicaId(1));
    one.exited(1).await;
}
