//! Containers of others come and go.

use ringherd::runtime::{Owner, Place};

use super::*;

/// Runs a container of others on the pool's network, and returns its id.
async fn visit(pool: &Pool, name: &str) -> String {
    let (stranger, name) = (pool.stranger(), format!("{}-{name}", pool.name));
    let args =
        ["run", "-d", "--label", &stranger, "--name", &name, image(), "replica", "--listen", "0.0.0.0:5000"];
    docker(&args).await
}

#[tokio::test]
async fn they_come_and_go() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let first = visit(&pool, "a").await;
    let mut config = config(&pool);
    config.discover = pool.stranger().split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let (mut bench, found) = Bench::ready(config).await;
    let name = format!("{}-a", pool.name);
    let (key, revision, place) = (first.clone(), String::new(), Place::Holder);
    let expected = Found { key, name, number: None, owner: Owner::Discovered, revision, place };
    assert_eq!(found, [expected]);
    bench.runtime.start(launch(1, &found[0].name, Some(&first)));
    home(bench.started(1).await).await;

    let second = visit(&pool, "b").await;
    let found = bench.inventory().await;
    assert_eq!(found.iter().map(|found| found.key.as_str()).collect::<Vec<_>>(), [&first, &second]);
    docker(&["kill", "--signal", "HUP", &first]).await;
    docker(&["pause", &first]).await;
    assert_eq!(bench.next().await, RuntimeEvent::Suspect(ReplicaId(1)));
    docker(&["unpause", &first]).await;
    assert_eq!(bench.next().await, RuntimeEvent::Suspect(ReplicaId(1)));
    docker(&["stop", &first]).await;
    assert_eq!(bench.ending(1).await, "others sent SIGTERM to its container");
    bench.runtime.stop(ReplicaId(1));

    // One that crashes is missing at once, and comes back.
    docker(&["restart", &second]).await;
    assert_eq!(bench.inventory().await, []);
    assert_eq!(bench.inventory().await[0].key, second);
    bench.runtime.start(launch(2, "gone", Some(&first)));
    let reason = bench.start_failed(2).await;
    assert!(reason.contains("gone"), "{reason}");
    drop(bench);
    assert_eq!(docker(&["inspect", "-f", "{{.State.Status}}", &first]).await, "exited");
    assert_eq!(docker(&["inspect", "-f", "{{.State.Status}}", &second]).await, "running");
}
