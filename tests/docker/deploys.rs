//! Deploys of containers: what a crash of the balancer leaves of one, and what a bad revision says.

use std::net::TcpStream;
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;

use crate::cluster::{Cluster, DEPLOY, PAUSE, alone, docker, events};
use crate::common::folder::Folder;
use crate::common::{Balancer, request, wait_until, wait_within};
use crate::engine::{self, Pool, image};

const SETTINGS: &str = r#"
[replicas]
count = 1

[health]
unhealthy-after = 100              # whose heartbeats nobody answers is not ejected in the time of a test

[deploy]
min-healthy = "100ms"
window = "100ms"

[revision.v2]
env = "COLOUR=green"

[revision.missing]
image = "127.0.0.1:9/nothing:1"

[revision.broken]
command = "replica --listen nowhere:{port}"
"#;

fn start(pool: &Pool, settings: &str) -> Balancer {
    let args = ["--config", settings, "--runtime", "docker", "--pool", &pool.name, "--image", image()];
    let balancer = Balancer::start(&args);
    balancer.wait_until_ready(1);
    balancer
}

fn get(balancer: &Balancer, path: &str) -> Value {
    request(balancer.admin, "GET", path, None).json()
}

fn deploy(balancer: &Balancer, revision: &str) -> Value {
    let body = format!(r#"{{"revision":"{revision}"}}"#);
    let begun = request(balancer.admin, "POST", "/deploy", Some(&body));
    assert_eq!(begun.status, 202, "{begun:?}");
    wait_within(DEPLOY, PAUSE, "the deploy ends", || {
        let deploy = get(balancer, "/deploy");
        (deploy["ended"] == true).then_some(deploy)
    })
}

/// Sends a request that nobody answers.
fn ask(balancer: &Balancer) -> TcpStream {
    use std::io::Write;
    let mut client = TcpStream::connect(balancer.public).expect("it listens");
    client.write_all(b"GET /home HTTP/1.1\r\nhost: x\r\n\r\n").expect("it reads");
    client
}

#[test]
fn a_deploy_that_succeeded_stays_after_a_crash_in_the_drain() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let folder = Folder::new("docker-deploys");
    let settings = folder.write("ringherd.toml", SETTINGS);
    let pool = Pool::new();
    let balancer = start(&pool, &settings);
    let mut cluster = Cluster { balancer, pool };
    let incumbent = docker(&["inspect", "-f", "{{.Id}}", &cluster.container("Server 1")]);
    // It has a request in flight for as long as it stands still, and so it drains.
    docker(&["pause", &incumbent]);
    let _client = ask(&cluster.balancer);
    wait_until("it has the request", || (cluster.balancer.ring()[0]["in_flight"] == 1).then_some(()));
    let deployed = deploy(&cluster.balancer, "v2");
    assert_eq!(deployed["state"], "succeeded", "{deployed}");
    let has_left = format!("name={}-leaving-", cluster.container("Server 1"));
    let leaving = || docker(&["ps", "-q", "--no-trunc", "--filter", &has_left]);
    wait_until("it is marked", || (leaving() == incumbent).then_some(()));
    assert_eq!(cluster.running().len(), 2, "it drains");
    let successor = cluster.balancer.ring()[0]["name"].clone();

    cluster.kill_balancer();
    cluster.balancer = start(&cluster.pool, &settings);
    let ring = cluster.balancer.ring();
    assert_eq!((&ring[0]["name"], &ring[0]["revision"]), (&successor, &"v2".into()), "{ring:?}");
    wait_until("the incumbent is removed", || (cluster.containers().len() == 1).then_some(()));
    assert_eq!(request(cluster.balancer.admin, "GET", "/deploy", None).status, 404, "none was begun");
}

#[test]
fn a_bad_revision_is_taken_back_with_its_last_words() {
    let _alone = alone();
    if !engine::available() {
        return;
    }
    let folder = Folder::new("docker-deploys-bad");
    let settings = folder.write("ringherd.toml", SETTINGS);
    let pool = Pool::new();
    let since = SystemTime::now();
    let balancer = start(&pool, &settings);
    let command = Command::new(env!("CARGO_BIN_EXE_ringherd"))
        .args(["deploy", "broken"])
        .env("RINGHERD_ADMIN_LISTEN", balancer.admin.to_string())
        .output()
        .expect("the binary runs");
    let words = String::from_utf8(command.stderr).expect("text");
    assert_eq!(command.status.code(), Some(3), "{words}");
    let (reason, last) = words.split_once("the last lines that '").unwrap_or_else(|| panic!("{words}"));
    assert!(reason.contains("exit status 64"), "{words}");
    assert!(last.contains("' wrote:\n  ") && last.contains("nowhere:5000"), "{words}");
    // Where the image cannot be had, no container is made at all.
    let created = || events(&pool, since, &["create"], "{{.Actor.Attributes}}");
    let before = created();
    assert!(before.contains("io.ringherd.revision:broken"), "that one was made: {before}");
    let missing = deploy(&balancer, "missing");
    let reason = missing["reason"].as_str().expect("a text");
    assert_eq!((missing["state"].as_str(), created()), (Some("reverted"), before));
    assert!(reason.contains("has no image '127.0.0.1:9/nothing:1', and cannot pull it: "), "{reason}");
    // The replica that serves is read as well.
    let log = request(balancer.admin, "GET", "/replicas/Server%201/log", None);
    assert_eq!((log.status, log.body.contains("listening")), (200, true), "{log:?}");
}
