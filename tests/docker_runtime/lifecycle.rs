//! One replica's life: started with few rights, stopped, dead, stopped by others.

use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};

use super::*;

async fn inspect(container: &str) -> Value {
    let text = docker(&["inspect", container]).await;
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

#[tokio::test]
async fn a_replica_starts_with_few_rights_answers_and_stops() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let mut config = config(&pool);
    config.spec.memory = Some(64 << 20);
    config.spec.nano_cpus = Some(500_000_000);
    config.spec.env = vec!["COLOUR=blue".to_owned()];
    let (mut bench, found) = Bench::ready(config).await;
    assert_eq!(found, []);
    let address = bench.up(1, "Server 1").await;
    assert!(home(address).await.contains("\"Request routed to Server 1\""));

    let made = inspect(&pool.container("server-1")).await;
    let labels = &made["Config"]["Labels"];
    assert_eq!(labels["io.ringherd.pool"], pool.name.as_str());
    assert_eq!(labels["io.ringherd.instance"], instance().as_str());
    assert_eq!(labels["io.ringherd.run"].as_str().unwrap().len(), 16);
    assert_eq!(labels["io.ringherd.number"], "1");
    assert_eq!(labels["io.ringherd.name"], "Server 1");
    assert_eq!(labels["io.ringherd.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(made["Config"]["Hostname"], "server-1");
    let env: Vec<&str> = made["Config"]["Env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for entry in ["SERVER_ID=Server 1", "SERVER_NUMBER=1", "PORT=5000", "COLOUR=blue"] {
        assert!(env.contains(&entry), "{env:?}");
    }
    let host = &made["HostConfig"];
    assert_eq!(host["ReadonlyRootfs"], true);
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(host["SecurityOpt"], serde_json::json!(["no-new-privileges"]));
    assert_eq!(host["PidsLimit"], 512);
    assert_eq!(host["Memory"], 64 << 20);
    assert_eq!(host["NanoCpus"], 500_000_000);
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    assert_eq!(host["Privileged"], false);
    let network = format!("ringherd-{}", pool.name);
    let aliases = made["NetworkSettings"]["Networks"][&network]["Aliases"].as_array().unwrap();
    assert!(aliases.contains(&Value::from("server-1")), "{aliases:?}");

    bench.runtime.stop(ReplicaId(1));
    bench.runtime.stop(ReplicaId(1));
    assert_eq!(bench.exited(1).await, "exit status 0");
    assert_eq!(pool.containers().await, [""; 0]);
    let networks = docker(&["network", "ls", "-q", "--filter", &format!("name={network}")]).await;
    assert_eq!(networks, "", "the network goes with the last replica");
    bench.runtime.stop(ReplicaId(1));
    bench.runtime.stop(ReplicaId(9));
    assert!(bench.events.try_recv().is_err());
}

#[tokio::test]
async fn several_are_started_and_stopped_at_once() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let (mut bench, _) = Bench::ready(config(&pool)).await;
    for id in 1..=5 {
        bench.runtime.start(launch(id, &format!("S{id}"), None));
    }
    // One is not wanted any more before it is up.
    bench.runtime.stop(ReplicaId(5));
    let mut seen = Vec::new();
    while seen.len() < 5 {
        match bench.next().await {
            RuntimeEvent::Started { id, .. } if id != ReplicaId(5) => seen.push(id),
            RuntimeEvent::Exited { id: id @ ReplicaId(5), reason } => {
                assert_eq!(reason, "it was not started: it was no longer wanted");
                seen.push(id);
            }
            other => panic!("{other:?}"),
        }
    }
    for id in 1..=4 {
        bench.runtime.stop(ReplicaId(id));
    }
    for _ in 1..=4 {
        let event = bench.next().await;
        assert!(matches!(event, RuntimeEvent::Exited { .. }), "{event:?}");
    }
    assert_eq!(pool.containers().await, [""; 0]);
}

#[tokio::test]
async fn a_death_is_told_with_its_reason_and_the_remains_go() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let (mut bench, _) = Bench::ready(config(&pool)).await;
    bench.up(1, "S1").await;
    docker(&["kill", "--signal", "HUP", &pool.container("s1")]).await;
    // It has no handler for that, and as process 1 does not even notice.
    docker(&["kill", "--signal", "KILL", &pool.container("s1")]).await;
    assert_eq!(bench.ending(1).await, "others sent SIGKILL to its container");
    let reason = bench.exited(1).await;
    assert!(reason.starts_with("killed by signal 9 (SIGKILL)"), "{reason}");
    until_count(&pool.filter(), 0).await;
}

#[tokio::test]
async fn a_stop_by_others_is_told_before_the_end() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let (mut bench, _) = Bench::ready(config(&pool)).await;
    bench.up(1, "S1").await;
    bench.up(2, "S2").await;
    docker(&["stop", &pool.container("s1")]).await;
    assert_eq!(bench.ending(1).await, "others sent SIGTERM to its container");
    bench.runtime.stop(ReplicaId(1));
    bench.exited(1).await;
    docker(&["rm", "-f", &pool.container("s2")]).await;
    bench.ending(2).await;
    bench.exited(2).await;
    until_count(&pool.filter(), 0).await;
}

#[tokio::test]
async fn a_paused_replica_is_suspect_and_can_be_stopped() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let mut config = config(&pool);
    config.spec.stop_timeout = Duration::from_millis(300);
    let (mut bench, _) = Bench::ready(config).await;
    bench.up(1, "S1").await;
    docker(&["pause", &pool.container("s1")]).await;
    assert_eq!(bench.next().await, RuntimeEvent::Suspect(ReplicaId(1)));
    bench.runtime.stop(ReplicaId(1));
    bench.exited(1).await;
    assert_eq!(pool.containers().await, [""; 0]);
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_quoted() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let mut config = config(&pool);
    config.spec.command = ["replica", "--listen", "nowhere:{port}"].map(String::from).to_vec();
    let (mut bench, _) = Bench::ready(config).await;
    bench.runtime.start(launch(1, "S1", None));
    let reason = match bench.next().await {
        RuntimeEvent::Started { .. } => bench.exited(1).await,
        RuntimeEvent::StartFailed { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason.contains("exit status 64; the last line of its log is '"), "{reason}");
    until_count(&pool.filter(), 0).await;
}

#[tokio::test]
async fn a_missing_image_or_network_is_named() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let mut imageless = config(&pool);
    imageless.spec.image = Some("ringherd-test:nonexistent".to_owned());
    let (mut bench, _) = Bench::ready(imageless).await;
    bench.runtime.start(launch(1, "S1", None));
    let reason = bench.start_failed(1).await;
    assert!(reason.starts_with("the engine has no image 'ringherd-test:nonexistent'; load it"), "{reason}");
    let mut networkless = config(&pool);
    networkless.spec.network = Some("ringherd-nonexistent".to_owned());
    let (mut bench, _) = Bench::ready(networkless).await;
    bench.runtime.start(launch(1, "S1", None));
    let reason = bench.start_failed(1).await;
    assert!(reason.starts_with("the engine has no network 'ringherd-nonexistent'; create it"), "{reason}");
    assert_eq!(pool.containers().await, [""; 0]);
}

#[tokio::test]
async fn an_engine_is_reached_by_tcp_as_well() {
    if !engine::available() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = Pool::new();
    let mut config = config(&pool);
    config.spec.host = Host::Tcp(listener.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut engine = UnixStream::connect(socket()).await.unwrap();
                // How a connection ends is the business of its two ends.
                let _ = copy_bidirectional(&mut client, &mut engine).await;
            });
        }
    });
    let (mut bench, _) = Bench::ready(config).await;
    bench.up(1, "S1").await;
    docker(&["kill", &pool.container("s1")]).await;
    bench.ending(1).await;
    bench.exited(1).await;
}
