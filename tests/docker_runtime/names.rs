//! Names of containers that are in use.

use super::*;

#[tokio::test]
async fn a_replica_on_its_way_out_gives_its_name_away() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let mut config = config(&pool);
    config.spec.stop_timeout = Duration::from_secs(60);
    let (mut bench, _) = Bench::ready(config).await;
    bench.up(1, "S1").await;
    // Told to end, it does not until it goes on.
    let stopped = docker(&["inspect", "-f", "{{.Id}}", &pool.container("s1")]).await;
    docker(&["kill", "--signal", "STOP", &stopped]).await;
    bench.runtime.stop(ReplicaId(1));
    bench.runtime.start(launch(2, "s1", None));
    home(bench.started(2).await).await;
    docker(&["kill", "--signal", "CONT", &stopped]).await;
    // The one that runs has a right to its name.
    bench.runtime.start(launch(3, "S1", None));
    loop {
        match bench.next().await {
            RuntimeEvent::StartFailed { id: ReplicaId(3), reason } => {
                assert!(reason.ends_with("of another replica"), "{reason}");
                break;
            }
            RuntimeEvent::Exited { id: ReplicaId(1), .. } => {}
            other => panic!("{other:?}"),
        }
    }
    until_count(&format!("label=io.ringherd.pool={}", pool.name), 1).await;
}
