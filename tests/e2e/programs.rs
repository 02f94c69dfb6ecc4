//! `--replica-command`: any program as a replica, and nothing of it left behind.

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Balancer, descendants, is_alive, request, wait_until};

/// A command that runs the built-in replica as if it were somebody else's program.
fn command() -> String {
    format!("'{}' replica --name '{{name}}' --listen 127.0.0.1:{{port}}", env!("CARGO_BIN_EXE_ringherd"))
}

fn all_gone(pids: &[Pid]) {
    wait_until("no process is left", || pids.iter().all(|pid| !is_alive(*pid)).then_some(()));
}

#[test]
fn any_program_is_a_replica() {
    let mut balancer = Balancer::start(&["--replica-command", &command(), "--replicas", "2"]);
    let answer = request(balancer.public, "GET", "/home", None);
    assert!(answer.body.contains("Request routed to Server "), "{answer:?}");
    let processes = descendants(balancer.pid());
    assert!(processes.len() >= 2, "{processes:?}");
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait().code(), Some(0));
    all_gone(&processes);
}

#[test]
fn no_program_outlives_a_killed_balancer() {
    let mut balancer = Balancer::start(&["--replica-command", &command(), "--replicas", "2"]);
    let processes = descendants(balancer.pid());
    balancer.signal(Signal::KILL);
    balancer.wait();
    all_gone(&processes);
}

#[test]
fn any_killed_process_of_a_program_leads_to_a_replacement_and_none_is_left() {
    let balancer = Balancer::start(&["--replica-command", &command(), "--replicas", "1"]);
    // Whichever of the processes of a replica dies, the others go with it.
    for position in 0..descendants(balancer.pid()).len() {
        let before = balancer.replicas();
        let processes = descendants(balancer.pid());
        kill_process(processes[position], Signal::KILL).expect("it runs");
        wait_until("it is replaced", || (balancer.replicas() != before).then_some(()));
        all_gone(&processes);
        balancer.wait_until_ready(1);
        assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
    }
}

#[test]
fn a_program_that_ignores_sigterm_is_killed() {
    let command = format!("sh -c \"trap '' TERM; {} & wait; wait\"", command().replace('\'', ""));
    let balancer =
        Balancer::start(&["--replica-command", &command, "--replicas", "1", "--stop-timeout", "100ms"]);
    let processes = descendants(balancer.pid());
    let answer = request(balancer.admin, "DELETE", "/rm", Some(r#"{"n":1}"#));
    assert_eq!(answer.status, 200, "{answer:?}");
    all_gone(&processes);
}

#[test]
fn a_program_that_cannot_run_fails_the_add_and_says_why() {
    let balancer = Balancer::start(&["--replica-command", "/no/such/program {port}", "--replicas", "0"]);
    let answer = request(balancer.admin, "POST", "/add", Some(r#"{"n":2,"hostnames":["A","B"]}"#));
    assert_eq!(answer.status, 502, "{answer:?}");
    let message = answer.json()["message"].as_str().expect("text").to_owned();
    assert!(message.contains("nothing was added"), "{message}");
    assert_eq!(balancer.replicas(), [""; 0]);
}
