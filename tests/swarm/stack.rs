//! `compose.swarm.yaml` as it stands, but for the pace of its health check and time to start on a busy machine: deployed,
//! emptied, taken down and deployed again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::balancer::{BalancerContainer, alone, wait_long};
use crate::lab::Lab;

const NAME: &str = "herd";

/// The file that is deployed; dropping it deletes it.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose.swarm.yaml");
        let mut text = std::fs::read_to_string(given).expect("compose.swarm.yaml");
        let changes = [
            ("interval: 5s", "interval: 1s"),
            ("start_period: 15s", "start_period: 3s"),
            ("- --runtime=swarm", "- --runtime=swarm\n      - --start-timeout=25s"),
        ];
        for (from, to) in changes {
            assert_eq!(text.matches(from).count(), 1, "{from:?} in compose.swarm.yaml");
            text = text.replace(from, to);
        }
        let path = std::env::temp_dir().join(format!("ringherd-stack-{}.yaml", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn deploy(&self, lab: &Lab) {
        let path = self.0.to_str().expect("ASCII");
        lab.docker(1, &["stack", "deploy", "--resolve-image", "never", "-c", path, NAME]);
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The balancer's container, once it is healthy.
fn healthy_balancer(lab: &Lab) -> (String, BalancerContainer) {
    let container = wait_long("the balancer is healthy", || {
        let label = format!("label=com.docker.swarm.service.name={NAME}_balancer");
        let found = lab.docker(1, &["ps", "-q", "--filter", &label, "--filter", "health=healthy"]);
        (!found.is_empty()).then_some(found)
    });
    let balancer = BalancerContainer::at(lab, 1, &container);
    (container, balancer)
}

fn replicas(lab: &Lab) -> Vec<String> {
    let found = lab.docker(1, &["service", "ls", "-q", "--filter", "label=io.ringherd.pool=default"]);
    let mut ids: Vec<_> = found.lines().map(str::to_owned).collect();
    ids.sort();
    ids
}

#[test]
fn the_stack_keeps_an_empty_pool_and_finds_its_replicas_again() {
    let _alone = alone();
    let Some(lab) = Lab::up("estack", 1, 1) else { return };
    let file = File::new();
    let began = Instant::now();
    file.deploy(&lab);
    let (first, balancer) = healthy_balancer(&lab);
    balancer.wait_for(&["Server 1", "Server 2", "Server 3"]);
    println!("stack deploy: three replicas after {:?}", began.elapsed());
    assert_eq!(balancer.ask("GET", "/readyz", None).status, 200);

    // Nobody to send a request to: not ready, but nothing that a restart could mend.
    let answer = balancer.ask("DELETE", "/rm", Some(r#"{"n":3,"hostnames":[]}"#));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(balancer.ask("GET", "/readyz", None).status, 503);
    wait_long("the services are gone", || replicas(&lab).is_empty().then_some(()));
    // Longer than Swarm would take to give it up.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(healthy_balancer(&lab).0, first, "the balancer was restarted");
    assert_eq!(replicas(&lab), Vec::<String>::new());

    let answer = balancer.ask("POST", "/add", Some(r#"{"n":2,"hostnames":["S1","S2"]}"#));
    assert_eq!(answer.status, 200, "{answer:?}");
    balancer.wait_for(&["S1", "S2"]);
    let before = replicas(&lab);
    // It fails to remove the network, which the replicas are on.
    lab.try_docker(1, &["stack", "rm", NAME]);
    wait_long("the balancer is gone", || {
        lab.docker(1, &["ps", "-q", "--filter", &format!("id={first}")]).is_empty().then_some(())
    });
    assert_eq!(replicas(&lab), before);
    file.deploy(&lab);
    let (second, balancer) = healthy_balancer(&lab);
    assert_ne!(second, first);
    balancer.wait_for(&["S1", "S2"]);
    assert_eq!(replicas(&lab), before);
}
