//! What containers write: read while they run, followed beyond a loss of the engine, and kept beyond their end.

use ringherd::runtime::output::{Excerpt, Reader, Unread};

use super::*;

/// A program that writes a line for each request and nothing else: a balancer without replicas, and its access log.
fn talkative(mut config: DockerConfig) -> DockerConfig {
    let command = "--listen 0.0.0.0:{port} --runtime fixed --upstream 127.0.0.1:1 --access-log stdout";
    config.spec.command = command.split(' ').map(str::to_owned).collect();
    // Its own log may come between any two requests, or behind the last one.
    config.spec.env.push("RUST_LOG=off".to_owned());
    config
}

/// What was asked for, of the lines that tell of a request of a test.
fn asked(lines: &Excerpt) -> Vec<String> {
    let word = |line: &Arc<str>| {
        let (_, rest) = line.split_once("/say/")?;
        Some(rest.chars().take_while(char::is_ascii_digit).collect())
    };
    lines.lines.iter().filter_map(word).collect()
}

/// Has the program at `address` write of these numbers.
async fn say(address: SocketAddr, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        get(address, &format!("/say/{number}")).await.expect("it listens");
    }
}

/// Waits until the last lines tell of these.
async fn until_said(bench: &Bench, name: &str, expected: &[&str]) {
    let said = async {
        while asked(&bench.outputs.tail(name, 50).await.expect("it is read")) != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    bounded(said).await;
}

/// Reads on until so many lines have come that tell of a request.
async fn read(reader: &mut Reader, count: usize) -> Vec<String> {
    let mut said = Vec::new();
    while said.len() < count {
        said.extend(asked(&bounded(reader.next()).await.expect("it has not ended")));
    }
    said
}

#[tokio::test]
async fn a_container_is_read_while_it_runs_by_the_next_balancer_and_after_its_end() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let (mut bench, _) = Bench::ready(talkative(config(&pool))).await;
    let address = bench.up(1, "Server 1").await;
    say(address, 1..=3).await;
    until_said(&bench, "server-1", &["1", "2", "3"]).await;
    assert_eq!(asked(&bench.outputs.tail("Server 1", 1).await.unwrap()), ["3"]);
    let mut reader = bench.outputs.follow("Server 1", 2).await.unwrap();
    assert_eq!(read(&mut reader, 2).await, ["2", "3"]);
    say(address, [4]).await;
    assert_eq!(read(&mut reader, 1).await, ["4"]);
    drop(bench);

    let (mut bench, found) = Bench::ready(talkative(config(&pool))).await;
    bench.runtime.start(launch(1, "Server 1", Some(&found[0].key)));
    bench.started(1).await;
    until_said(&bench, "Server 1", &["1", "2", "3", "4"]).await;
    bench.runtime.stop(ReplicaId(1));
    bench.exited(1).await;
    until_said(&bench, "Server 1", &["1", "2", "3", "4"]).await;
    assert!(
        !pool.containers().await.iter().any(|id| *id == found[0].key),
        "it is gone, and its lines are not"
    );
    let rest = async { while reader.next().await.is_some() {} };
    bounded(rest).await;
}

#[tokio::test]
async fn who_follows_gets_each_line_once_also_beyond_a_loss_of_the_engine() {
    if !engine::available() {
        return;
    }
    let (pool, gate) = (Pool::new(), Gate::new());
    let (mut bench, _) = Bench::ready(talkative(gated(&pool, &gate))).await;
    let address = bench.up(1, "S1").await;
    say(address, 1..=5).await;
    until_said(&bench, "S1", &["1", "2", "3", "4", "5"]).await;
    let mut reader = bench.outputs.follow("S1", 50).await.unwrap();
    assert_eq!(read(&mut reader, 5).await, ["1", "2", "3", "4", "5"]);
    gate.cut();
    say(address, 6..=7).await;
    assert_eq!(read(&mut reader, 2).await, ["6", "7"]);
    gate.close();
    say(address, 8..=9).await;
    assert!(matches!(bench.outputs.tail("S1", 1).await, Err(Unread::Unavailable(_))));
    gate.open();
    assert_eq!(read(&mut reader, 2).await, ["8", "9"]);
    docker(&["kill", &pool.container("s1")]).await;
    let rest = async { while reader.next().await.is_some() {} };
    bounded(rest).await;
}

#[tokio::test]
async fn a_program_that_ends_at_once_leaves_its_last_words() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let mut config = config(&pool);
    config.spec.command = ["replica", "--listen", "nowhere:{port}"].map(String::from).to_vec();
    let (mut bench, _) = Bench::ready(config).await;
    bench.runtime.start(launch(1, "S1", None));
    loop {
        match bench.next().await {
            RuntimeEvent::Started { .. } => {}
            RuntimeEvent::StartFailed { .. } | RuntimeEvent::Exited { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    let lines = bench.outputs.tail("S1", 50).await.unwrap().lines;
    assert!(lines.iter().any(|line| line.contains("nowhere:5000")), "{lines:?}");
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    if !engine::available() {
        return;
    }
    let pool = Pool::new();
    let instance = instance();
    let values = [("pool", &*pool.name), ("instance", &instance), ("number", "1"), ("name", "Mute")];
    let labels: Vec<_> = values.iter().map(|(key, value)| format!("io.ringherd.{key}={value}")).collect();
    let mut run = vec!["run", "-d", "--log-driver", "none"];
    run.extend(labels.iter().flat_map(|label| ["--label", label]));
    run.extend([image(), "replica", "--listen", "0.0.0.0:5000"]);
    docker(&run).await;
    let (mut bench, found) = Bench::ready(config(&pool)).await;
    bench.runtime.start(launch(1, "Mute", Some(&found[0].key)));
    bench.started(1).await;
    for unread in [bench.outputs.tail("Mute", 1).await.err(), bench.outputs.follow("Mute", 1).await.err()] {
        let Some(Unread::Unreadable(why)) = unread else { panic!("{unread:?}") };
        assert!(why.starts_with("its log driver 'none' cannot be read: "), "{why}");
    }
    // Removed by others, it has nothing that could be kept.
    docker(&["rm", "-f", &found[0].key]).await;
    bench.ending(1).await;
    bench.exited(1).await;
    assert_eq!(bench.outputs.tail("Mute", 1).await, Err(Unread::Unknown));
}
