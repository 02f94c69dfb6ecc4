//! What tasks write, and why they do not run.

use super::*;

/// Two tasks, of which at least one is on another node than the manager that is asked.
#[tokio::test]
async fn what_tasks_write_is_read_while_they_run_and_after_their_end() {
    let _alone = ONE_LAB.lock().await;
    let Some(lab) = Lab::up("rtout", 2, 1) else { return };
    // A balancer without replicas, which tells what it does.
    let command = ["--listen", "0.0.0.0:{port}", "--runtime", "fixed", "--upstream", "127.0.0.1:1"];
    let mut bench = Bench::with(&lab, 1, &command);
    bench.inventory().await;
    for (id, name) in [(1, "Server 1"), (2, "Server 2")] {
        bench.start(id, name, id as u32);
    }
    let mut places = Vec::new();
    for id in 1..=2 {
        places.push(bench.started(id).await.1);
    }
    assert!(places.iter().any(|place| place.ends_with(" on node2")), "{places:?}");
    for name in ["server-1", "Server 2"] {
        let read = async {
            loop {
                let lines =
                    bench.outputs.tail(name, 50).await.map(|excerpt| excerpt.lines).unwrap_or_default();
                if lines.iter().any(|line| line.contains("127.0.0.1:1")) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(LIMIT, read).await.expect("it says what it does");
    }
    bench.runtime.stop(ReplicaId(2));
    bench.exited(2).await;
    let kept = bench.outputs.tail("Server 2", 50).await.expect("its last lines are kept").lines;
    assert!(kept.iter().any(|line| line.contains("127.0.0.1:1")), "{kept:?}");
}

#[tokio::test]
async fn what_does_not_run_says_why() {
    let _alone = ONE_LAB.lock().await;
    let Some(lab) = Lab::up("rtwhy", 2, 1) else { return };
    let mut bench = Bench::with(&lab, 1, &["replica", "--listen", "nowhere:{port}"]);
    bench.inventory().await;

    // On both nodes, whoever sees them run: they end at once.
    for (id, name) in [(1, "S1"), (2, "S2")] {
        bench.start(id, name, id as u32);
    }
    for (id, name) in [(1, "S1"), (2, "S2")] {
        bench.started(id).await;
        let reason = bench.exited(id).await;
        println!("swarm: {reason}");
        assert!(reason.contains(" failed: non-zero exit (64); the last line of its log is '"), "{reason}");
        let kept = bench.outputs.tail(name, 50).await.expect("its last lines are kept").lines;
        assert!(kept.iter().any(|line| line.contains("nowhere:5000")), "{kept:?}");
    }

    let missing = Revision { image: Some("127.0.0.1:9/nothing:1".to_owned()), ..Revision::default() };
    bench.runtime.start(Launch { revision: Arc::new(missing), ..launch(3, "S3", 3) });
    let reason = bench.delayed(3).await;
    println!("swarm: {reason}");
    assert!(
        reason.starts_with("node node") && reason.contains(": No such image: 127.0.0.1:9/nothing:1; "),
        "{reason}"
    );
    // Whoever looks for what became of its tasks is told that there is no such service.
    lab.docker(1, &["service", "rm", "ringherd-p-s3"]);
    let reason = bench.failed(3).await;
    assert!(reason.contains("removed elsewhere"), "{reason}");

    let mut other = Bench::with(&lab, 1, &["--version"]);
    other.inventory().await;
    other.start(5, "S5", 5);
    other.started(5).await;
    let reason = other.exited(5).await;
    println!("swarm: {reason}");
    assert!(
        reason.contains(" ended by itself, with exit code 0; the last line of its log is 'ringherd "),
        "{reason}"
    );

    for node in ["node1", "node2"] {
        lab.docker(1, &["node", "update", "--availability", "drain", node]);
    }
    bench.start(4, "S4", 4);
    let reason = bench.delayed(4).await;
    println!("swarm: {reason}");
    assert!(reason.starts_with("the Swarm has no place for its task: no suitable node"), "{reason}");
    let is_taken_for_outage = |event: &RuntimeEvent| matches!(event, RuntimeEvent::Unavailable { reason } if reason.contains("ringherd-p-s3"));
    assert!(!bench.passed.iter().any(is_taken_for_outage), "{:?}", bench.passed);
}
