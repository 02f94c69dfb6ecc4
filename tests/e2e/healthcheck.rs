//! `ringherd healthcheck` beside a running balancer and its replica.

use std::process::Command;

use crate::common::{Balancer, request, wait_until};

/// Exit code and standard error of `ringherd healthcheck ARGS`, with these variables only.
fn healthcheck(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringherd"))
        .arg("healthcheck")
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the binary runs");
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

const WELL: (Option<i32>, String) = (Some(0), String::new());

#[test]
fn a_balancer_is_well_while_it_has_a_replica() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    balancer.wait_until_ready(1);
    let admin = balancer.admin.to_string();
    let variables = [("RINGHERD_ADMIN_LISTEN", admin.as_str())];
    assert_eq!(healthcheck(&[], &variables), WELL);

    request(balancer.admin, "DELETE", "/rm", Some(r#"{"n":1}"#));
    let problem = (Some(1), format!("ringherd: http://{admin}/readyz answered 503 Service Unavailable\n"));
    wait_until("it is told", || (healthcheck(&[], &variables) == problem).then_some(()));
    assert_eq!(healthcheck(&["--url", &format!("http://{admin}/healthz")], &variables), WELL);
}

#[test]
fn a_replica_is_asked_for_its_heartbeat() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    let replica = balancer.wait_until_ready(1)[0].clone();
    let address = replica["address"].as_str().expect("an address");
    let (_, port) = address.rsplit_once(':').expect("a port");
    assert_eq!(healthcheck(&[], &[("SERVER_ID", "Server 1"), ("PORT", port)]), WELL);
}

#[test]
fn what_cannot_be_asked_is_said() {
    let listen = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listen.local_addr().expect("its address").to_string();
    drop(listen);
    let (code, error) = healthcheck(&[], &[("RINGHERD_ADMIN_LISTEN", &address)]);
    assert_eq!(code, Some(1));
    assert!(error.starts_with(&format!("ringherd: no answer from http://{address}/readyz: ")), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let (code, error) = healthcheck(&["--url", "https://a/"], &[]);
    assert_eq!(code, Some(64));
    assert!(error.contains("use http://HOST:PORT/PATH"), "{error}");
}
