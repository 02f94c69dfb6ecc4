//! Containers of an earlier life: taken over, or cleaned up. Those of others are never touched.

use ringherd::runtime::Owner;

use super::*;

#[tokio::test]
async fn running_and_dead_replicas_are_taken_over() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let (mut bench, _) = Bench::ready(config(&pool)).await;
    let address = bench.up(1, "Server 1").await;
    bench.up(2, "S2").await;
    drop(bench);
    let before = pool.containers().await;
    docker(&["kill", &pool.container("s2")]).await;
    // A crash between the two calls that make a replica leaves one that never ran.
    let half_made = pool.container("half");
    let labels = ["pool", "instance", "number", "name"].map(|key| format!("io.ringherd.{key}"));
    let instance = instance();
    let values = [&pool.name, &instance, "3", "Half"];
    let labels: Vec<_> = labels.iter().zip(values).map(|(key, value)| format!("{key}={value}")).collect();
    let mut create = vec!["create", "--name", &half_made];
    create.extend(labels.iter().flat_map(|label| ["--label", label]));
    create.push(image());
    let half_made = docker(&create).await;

    let (mut bench, found) = Bench::ready(config(&pool)).await;
    let told: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.number)).collect();
    assert_eq!(told, [("Server 1", Some(1)), ("S2", Some(2))]);
    assert!(found.iter().all(|found| found.owner == Owner::Balancer && before.contains(&found.key)));
    until_count(&format!("id={half_made}"), 0).await;
    for (id, found) in (11..).zip(&found) {
        bench.runtime.start(launch(id, &found.name, Some(&found.key)));
    }
    let mut events = [bench.next().await, bench.next().await];
    events.sort_by_key(|event| matches!(event, RuntimeEvent::Exited { .. }));
    let [
        RuntimeEvent::Started { id: ReplicaId(11), address: again, .. },
        RuntimeEvent::Exited { id: ReplicaId(12), reason },
    ] = events
    else {
        panic!("{events:?}");
    };
    assert_eq!(again, address);
    assert!(reason.starts_with("killed by signal 9 (SIGKILL)"), "{reason}");
    home(address).await;
    until_count(&pool.filter(), 1).await;
    assert_eq!(pool.containers().await, [found[0].key.clone()]);
    bench.runtime.stop(ReplicaId(11));
    bench.exited(11).await;
}

#[tokio::test]
async fn what_is_not_ours_is_never_touched() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let mut elsewhere = config(&pool);
    elsewhere.instance = "there:1".to_owned();
    let (mut other, _) = Bench::ready(elsewhere).await;
    let address = other.up(1, "S1").await;
    let stranger = pool.stranger();
    let foreign = format!("ringherd-{}-s2", pool.name);
    docker(&["run", "-d", "--label", &stranger, "--name", &foreign, image(), "replica"]).await;
    let dead = docker(&["create", "--label", &stranger, image(), "replica"]).await;

    let (mut bench, found) = Bench::ready(config(&pool)).await;
    assert_eq!(found, []);
    for (id, name) in [(1, "S1"), (2, "S2")] {
        bench.runtime.start(launch(id, name, None));
        let reason = bench.start_failed(id).await;
        assert!(reason.contains("which is none of this balancer's; remove or rename it"), "{reason}");
    }
    bench.up(3, "S3").await;
    bench.runtime.stop(ReplicaId(3));
    bench.exited(3).await;
    drop(bench);
    home(address).await;
    assert_eq!(docker(&["inspect", "-f", "{{.State.Status}}", &foreign]).await, "running");
    assert_eq!(docker(&["inspect", "-f", "{{.State.Status}}", &dead]).await, "created");
}
