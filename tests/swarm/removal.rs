//! Removals that meet something that is under way.

use std::time::Instant;

use serde_json::Value;

use crate::balancer::{BalancerContainer, alone, wait_long};
use crate::lab::Lab;

const SERVER_2: &str = r#"{"n":1,"hostnames":["Server 2"]}"#;

/// Id of a service, if there is one of this name.
fn service(lab: &Lab, name: &str) -> Option<String> {
    let id = lab.docker(1, &["service", "ls", "-q", "--filter", &format!("name={name}")]);
    (!id.is_empty()).then_some(id)
}

fn change(balancer: &BalancerContainer, method: &str, path: &str, body: &str) {
    let answer = balancer.ask(method, path, Some(body));
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Kills the only container of Server 2.
fn kill(lab: &Lab) {
    let find = ["ps", "-q", "--filter", "label=io.ringherd.name=Server 2"];
    // That of before may be ending.
    let container =
        wait_long("one container", || Some(lab.docker(1, &find)).filter(|found| found.lines().count() == 1));
    lab.docker(1, &["kill", &container]);
}

/// One whose task is just being restarted leaves nothing; its name is free at once.
#[test]
fn what_is_removed_stays_removed_and_its_name_is_free() {
    let _alone = alone();
    let Some(lab) = Lab::up("erm", 1, 1) else { return };
    BalancerContainer::network(&lab);
    let balancer = BalancerContainer::start(&lab, 1, "lb", &["--replicas=2"]);
    balancer.wait_for(&["Server 1", "Server 2"]);

    // Removed, and added again while the service of before still drains.
    let before = service(&lab, "ringherd-default-server-2").expect("it runs");
    change(&balancer, "DELETE", "/rm", SERVER_2);
    let began = Instant::now();
    change(&balancer, "POST", "/add", SERVER_2);
    println!("an /add right after the /rm of the same name is answered after {:?}", began.elapsed());
    balancer.wait_for(&["Server 1", "Server 2"]);
    assert_ne!(service(&lab, "ringherd-default-server-2"), Some(before));

    // The third time the balancer waits for a moment before it looks for the new task: it has
    // nothing in hand then that it could remove.
    for _ in 0..3 {
        balancer.wait_for(&["Server 1", "Server 2"]);
        kill(&lab);
        let is_down = |replica: &Value| replica["name"] == "Server 2" && replica["instance"].is_null();
        wait_long("its end is known", || balancer.ring().iter().any(is_down).then_some(()));
    }
    change(&balancer, "DELETE", "/rm", SERVER_2);
    let began = Instant::now();
    wait_long("its service is gone", || service(&lab, "ringherd-default-server-2").is_none().then_some(()));
    println!("a replica that was being restarted is removed after {:?}", began.elapsed());
    assert_eq!(balancer.settled(), Some(vec![(1, "Server 1".to_owned())]));
}

/// Both replicas of an `/add` end at once, and before the balancer has given up either.
#[test]
fn an_add_that_fails_leaves_nothing() {
    let _alone = alone();
    let Some(lab) = Lab::up("eadd", 1, 1) else { return };
    BalancerContainer::network(&lab);
    let args = ["--replicas=0", "--replica-command=replica --listen nowhere:5000"];
    let balancer = BalancerContainer::start(&lab, 1, "lb", &args);
    for _ in 0..2 {
        let add = || balancer.ask("POST", "/add", Some(r#"{"n":2,"hostnames":["A","B"]}"#));
        let answer = wait_long("it knows that there are none", || {
            Some(add()).filter(|answer| !answer.body.contains("it has not told yet"))
        });
        let told = &answer.body;
        println!("{told}");
        assert_ne!(answer.status, 200, "{answer:?}");
        assert!(told.contains("non-zero exit (64); the last line of its log is"), "{told}");
        wait_long("their services are gone", || {
            let services = lab.docker(1, &["service", "ls", "-q"]);
            (services.is_empty() && balancer.ring().is_empty()).then_some(())
        });
    }
}
