//! Successors beside services, and services that are changed where they are.

use super::*;

/// A revision that says what it is in its environment.
fn revision(name: &str) -> Revision {
    Revision { name: name.to_owned(), env: vec![format!("COLOUR={name}")], ..Revision::default() }
}

#[tokio::test]
async fn a_successor_takes_the_number_of_a_service_and_gives_it_back() {
    let _alone = ONE_LAB.lock().await;
    let Some(lab) = Lab::up("rtover", 2, 2) else { return };
    let (mut one, mut two) = (Bench::listed(&lab, 1).await, Bench::listed(&lab, 2).await);
    one.start(1, "Y", 1);
    one.started(1).await;
    two.has(&[("Y", 1)]).await;
    one.replace(2, "X", &revision("v2"), None);
    one.started(2).await;
    two.has_beside(&[("Y", 1)], &["X"]).await;
    let label =
        "{{index .Spec.Labels \"io.ringherd.place\"}} {{index .Spec.Labels \"io.ringherd.revision\"}}";
    let place = service(&lab, "ringherd-p-x", label);
    assert!(place.starts_with("beside ") && place.ends_with(" v2"), "{place}");

    let begin = Instant::now();
    one.runtime.take_number(ReplicaId(2));
    two.has_beside(&[("X", 1)], &["Y"]).await;
    println!("swarm: a number is in other hands at the other balancer after {}", millis(begin));
    let begin = Instant::now();
    one.runtime.take_number(ReplicaId(1));
    two.has_beside(&[("Y", 1)], &["X"]).await;
    println!("swarm: it is taken back there after {}", millis(begin));

    // In the end who had the number goes, after its successor has taken it.
    one.runtime.take_number(ReplicaId(2));
    one.runtime.retire(ReplicaId(1));
    one.runtime.stop(ReplicaId(1));
    one.exited(1).await;
    two.has(&[("X", 1)]).await;
    assert_eq!(services(&lab), ["ringherd-p-x"]);
    let tasks = lab.docker(1, &["service", "ps", "-q", "ringherd-p-x"]);
    assert_eq!(tasks.lines().count(), 1, "labels restarted the task");
    // The next one is made beside it, and given up before it had the number: at once, for nobody else has it.
    one.replace(3, "Z", &revision("v3"), None);
    one.started(3).await;
    let begin = Instant::now();
    one.runtime.stop(ReplicaId(3));
    one.exited(3).await;
    println!("swarm: a successor that never had the number is gone after {}", millis(begin));
    assert_eq!(services(&lab), ["ringherd-p-x"]);
}

/// The starts and ends of a replica's containers on node 1 since then.
fn lives(lab: &Lab, since: &str, name: &str) -> Vec<String> {
    let label = format!("label=io.ringherd.name={name}");
    let now = lab.docker(1, &["info", "--format", "{{.SystemTime}}"]);
    let time = ["events", "--since", since, "--until", &now, "--filter", "type=container"];
    let events = lab.docker(1, &[&time[..], &["--filter", &label, "--format", "{{.Action}}"]].concat());
    let lives = events.lines().filter(|action| ["start", "die"].contains(action));
    lives.map(str::to_owned).collect()
}

/// The variable of a revision in the container of a replica of node 1, and which container that is.
fn colour(lab: &Lab, name: &str) -> (String, String) {
    let container = lab.docker(1, &["ps", "-q", "--filter", &format!("label=io.ringherd.name={name}")]);
    let env =
        lab.docker(1, &["inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", &container]);
    let colour = env.lines().find_map(|line| line.strip_prefix("COLOUR="));
    (colour.unwrap_or_default().to_owned(), container)
}

#[tokio::test]
async fn a_vacated_service_runs_another_revision_where_it_is() {
    let _alone = ONE_LAB.lock().await;
    let Some(lab) = Lab::up("rtvacant", 1, 1) else { return };
    let (mut one, mut two) = (Bench::listed(&lab, 1).await, Bench::listed(&lab, 1).await);
    one.start(9, "Other", 2);
    one.started(9).await;
    // As earlier versions have made them: without a token at the container.
    let create = "service create --detach --no-resolve-image --endpoint-mode dnsrr --network ringherd-p \
                  --name ringherd-p-y --label io.ringherd.pool=p --label io.ringherd.name=Y \
                  --label io.ringherd.number=1 --label io.ringherd.launch=t0 --container-label io.ringherd.pool=p \
                  --container-label io.ringherd.name=Y ringherd:lab replica --listen 0.0.0.0:5000";
    let created = lab.docker(1, &["info", "--format", "{{.SystemTime}}"]);
    lab.docker(1, &create.split_whitespace().collect::<Vec<_>>());
    for bench in [&mut one, &mut two] {
        bench.has(&[("Y", 1), ("Other", 2)]).await;
        bench.take_over(1, "Y", 1);
        bench.started(1).await;
    }

    let mut begin = Instant::now();
    one.runtime.vacate(ReplicaId(1));
    while two.vacant != ["Y"] {
        two.inventory().await;
    }
    println!("swarm: a vacancy is seen by the other balancer after {}", millis(begin));
    two.runtime.forget(ReplicaId(1));
    let mut last = String::new();
    for (id, name) in [(2, "v2"), (3, "v3")] {
        one.runtime.vacate(ReplicaId(id - 1));
        one.runtime.forget(ReplicaId(id - 1));
        begin = Instant::now();
        one.replace(id, "Y", &revision(name), Some("Y"));
        let (_, instance) = one.started(id).await;
        println!("swarm: a service runs another revision after {}", millis(begin));
        assert_eq!(colour(&lab, "Y").0, name);
        assert_ne!(instance, last);
        last = instance;
    }
    while !two.vacant.is_empty() {
        two.inventory().await;
    }
    two.take_over(3, "Y", 1);
    assert_eq!(two.started(3).await.1, last);
    assert_eq!(lives(&lab, &created, "Y"), ["start", "die", "start", "die", "start"], "two at a time");

    // Refused, and back to what it runs: that is adopted as it is.
    let wrong = Revision { image: Some("not an image".to_owned()), ..revision("v4") };
    let (_, container) = colour(&lab, "Y");
    one.runtime.vacate(ReplicaId(3));
    one.runtime.forget(ReplicaId(3));
    one.replace(4, "Y", &wrong, Some("Y"));
    let reason = one.failed(4).await;
    println!("swarm: {reason}");
    assert!(reason.starts_with("the Swarm refused to change its service ringherd-p-y: "), "{reason}");
    one.replace(5, "Y", &revision("v3"), Some("Y"));
    assert_eq!(one.started(5).await.1, last);
    one.has(&[("Y", 1), ("Other", 2)]).await;
    assert_eq!(colour(&lab, "Y"), ("v3".to_owned(), container));

    // One that never runs, and back, while the task from before is still ending.
    let missing = Revision { image: Some("127.0.0.1:9/nothing:1".to_owned()), ..revision("v5") };
    one.runtime.forget(ReplicaId(5));
    one.replace(6, "Y", &missing, Some("Y"));
    let begin = Instant::now();
    let label = "{{index .Spec.Labels \"io.ringherd.revision\"}}";
    while service(&lab, "ringherd-p-y", label) != "v5" {
        assert!(begin.elapsed() < LIMIT, "it is not updated");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    one.runtime.forget(ReplicaId(6));
    one.replace(7, "Y", &revision("v3"), Some("Y"));
    let (_, instance) = one.started(7).await;
    println!("swarm: a revision that does not start is taken back after {}", millis(begin));
    assert_ne!(instance, last);
    assert_eq!(colour(&lab, "Y").0, "v3");
    assert_eq!(lives(&lab, &created, "Y")[5..], ["die", "start"], "two at a time");
}
