//! Containers of an earlier life: taken over, or cleaned up. Those of others are never touched.

use ringherd::runtime::{Owner, Revision};

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
async fn a_deploy_that_was_interrupted_is_taken_back() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let (mut bench, _) = Bench::ready(config(&pool)).await;
    bench.up(1, "S1").await;
    // The revision has another name of the image, which is as good as another image.
    let tag = format!("ringherd-test:{}", pool.name);
    docker(&["tag", image(), &tag]).await;
    let env = vec!["COLOUR=green".to_owned()];
    let revision = Revision { name: "v2".into(), image: Some(tag.clone()), env, command: None };
    let replaces = Some("base".to_owned());
    let successor = Launch { number: 1, revision: Arc::new(revision), replaces, ..launch(2, "N1", None) };
    bench.runtime.start(successor.clone());
    let address = bench.started(2).await;
    assert!(home(address).await.contains("N1"));
    let format = "{{.Config.Image}} {{index .Config.Labels \"io.ringherd.revision\"}} {{.Config.Env}}";
    let made = docker(&["inspect", "-f", format, &pool.container("n1")]).await;
    assert!(made.starts_with(&format!("{tag} v2 [")), "{made}");
    assert!(made.contains("SERVER_REVISION=v2") && made.contains("COLOUR=green"), "{made}");
    drop(bench);

    let (bench, found) = Bench::ready(config(&pool)).await;
    let told: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.revision.as_str())).collect();
    assert_eq!(told, [("S1", "")]);
    until_count(&pool.filter(), 1).await;
    drop(bench);

    // Alone it is what it is.
    docker(&["rm", "-f", &pool.container("s1")]).await;
    let (mut bench, _) = Bench::ready(config(&pool)).await;
    bench.runtime.start(successor);
    bench.started(2).await;
    drop(bench);
    let (mut bench, found) = Bench::ready(config(&pool)).await;
    assert_eq!((found[0].name.as_str(), found[0].number, found[0].revision.as_str()), ("N1", Some(1), "v2"));
    bench.runtime.start(Launch { number: 1, ..launch(3, "N1", Some(&found[0].key)) });
    bench.started(3).await;
    bench.runtime.stop(ReplicaId(3));
    bench.exited(3).await;
    docker(&["rmi", &tag]).await;
}

/// A deploy has succeeded, and its incumbents finish their requests: after a crash the next balancer goes on there.
#[tokio::test]
async fn who_has_left_the_ring_for_a_successor_is_not_taken_over() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(gated(&pool, &gate)).await;
    let revision = Revision { name: "v2".into(), ..Revision::default() };
    let (revision, replaces) = (Arc::new(revision), Some("base".to_owned()));
    for number in [1, 2] {
        bench.up(u64::from(number), &format!("S{number}")).await;
        let id = u64::from(number) + 10;
        let successor = launch(id, &format!("N{number}"), None);
        let (revision, replaces) = (Arc::clone(&revision), replaces.clone());
        bench.runtime.start(Launch { number, revision, replaces, ..successor });
        bench.started(id).await;
    }
    let has_left = |slug: &str| format!("name={}-leaving-", pool.container(slug));
    bench.runtime.retire(ReplicaId(1));
    until_count(&has_left("s1"), 1).await;
    // Who leaves while the engine is away is marked when it is back.
    gate.close();
    bench.unavailable().await;
    bench.runtime.retire(ReplicaId(2));
    gate.open();
    bench.inventory().await;
    until_count(&has_left("s2"), 1).await;
    drop(bench);

    let (_bench, found) = Bench::ready(config(&pool)).await;
    let told: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.revision.as_str())).collect();
    assert_eq!(told, [("N1", "v2"), ("N2", "v2")]);
    until_count(&pool.filter(), 2).await;
}

/// It drained when the balancer crashed, and nobody had taken its number yet: it stays, and no longer says that it leaves.
/// Else a deploy that is interrupted later would go on in place of being taken back.
#[tokio::test]
async fn who_was_leaving_and_is_taken_over_stays_for_good() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let (mut bench, _) = Bench::ready(config(&pool)).await;
    bench.up(1, "S1").await;
    let name = pool.container("s1");
    bench.runtime.retire(ReplicaId(1));
    until_count(&format!("name={name}-leaving-"), 1).await;
    drop(bench);
    // The one that was to follow was made, and never started.
    let labels = docker(&[
        "inspect",
        "-f",
        "{{index .Config.Labels \"io.ringherd.instance\"}}",
        &pool.containers().await[0],
    ])
    .await;
    let (own, instance) =
        (format!("io.ringherd.pool={}", pool.name), format!("io.ringherd.instance={labels}"));
    docker(&["create", "--name", &name, "--label", &own, "--label", &instance, image()]).await;

    let (mut bench, found) = Bench::ready(config(&pool)).await;
    let told: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.number)).collect();
    assert_eq!(told, [("S1", Some(1))]);
    bench.runtime.start(launch(2, "S1", Some(&found[0].key)));
    bench.started(2).await;
    assert_eq!(docker(&["inspect", "-f", "{{.Name}}", &found[0].key]).await, format!("/{name}"));
    let revision = Revision { name: "v2".into(), ..Revision::default() };
    let (revision, replaces) = (Arc::new(revision), Some("base".to_owned()));
    bench.runtime.start(Launch { number: 1, revision, replaces, ..launch(3, "N1", None) });
    bench.started(3).await;
    drop(bench);
    let (_bench, found) = Bench::ready(config(&pool)).await;
    assert_eq!(found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["S1"]);
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
