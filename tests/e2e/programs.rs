//! `--replica-command`: any program as a replica, and nothing of it left behind.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, getsid, kill_process, test_kill_process};

use crate::common::{Balancer, descendants, is_alive, request, wait_until};

/// A command that runs the built-in replica as if it were somebody else's program.
fn command() -> String {
    format!("{} --name '{{name}}'", unnamed())
}

/// The same without a name, to stand in a script.
fn unnamed() -> String {
    format!("{} replica --listen 127.0.0.1:{{port}}", env!("CARGO_BIN_EXE_ringherd"))
}

/// What is logged when a replica does not heed this signal.
fn killed_after(signal: &str) -> String {
    format!(
        "killed with SIGKILL: it had not ended in time after {signal}; if it needs longer, raise --stop-timeout"
    )
}

/// A program whose server is the child of a shell, which dies of SIGTERM at once. The clean-up takes a
/// while and writes to `file`.
fn wrapped(file: &Path) -> String {
    let server = unnamed();
    let script = format!("trap 'sleep 0.3; echo done > {}; exit' TERM; {server} & wait", file.display());
    format!("sh -c \"sh -c \\\"{script}\\\"; true\"")
}

/// A path at which there is no file yet.
fn no_file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ringherd-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
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
        wait_until("none is left, not even as a zombie", || {
            (!processes.iter().any(|&process| exists(process))).then_some(())
        });
        balancer.wait_until_ready(1);
        assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
    }
}

#[test]
fn a_program_that_ignores_sigterm_is_killed() {
    let command = format!("sh -c \"trap '' TERM; {} & while :; do sleep 0.1; done\"", unnamed());
    let mut balancer =
        Balancer::start(&["--replica-command", &command, "--replicas", "1", "--stop-timeout", "100ms"]);
    let processes = descendants(balancer.pid());
    let answer = request(balancer.admin, "DELETE", "/rm", Some(r#"{"n":1}"#));
    assert_eq!(answer.status, 200, "{answer:?}");
    all_gone(&processes);
    let event = balancer.wait_for_log(&killed_after("SIGTERM"));
    assert_eq!((&event["level"], &event["replica"]), (&"WARN".into(), &"Server 1".into()), "{event}");
    assert_eq!(event["stop_timeout"], "100ms", "{event}");
}

/// One that takes SIGTERM for something else, as nginx and uwsgi do.
#[test]
fn a_program_ends_by_the_signal_that_is_configured() {
    let file = no_file("quit");
    let script = format!(
        "trap '' TERM; trap 'echo done > {}; kill $!; exit' QUIT; {} & while :; do sleep 0.05; done",
        file.display(),
        unnamed()
    );
    let command = format!("sh -c \"{script}\"");
    let args = ["--replica-command", &command, "--replicas", "1", "--stop-signal"];
    let mut balancer = Balancer::start(&[&args[..], &["QUIT"]].concat());
    let processes = descendants(balancer.pid());
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait().code(), Some(0));
    assert!(file.exists(), "it has cleaned up");
    all_gone(&processes);
    std::fs::remove_file(&file).expect("it was written");
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

#[test]
fn the_server_behind_a_shell_has_its_time_to_clean_up() {
    let file = no_file("cleaned-up");
    // At the end of the balancer, when it is removed, and when the shell is gone before.
    for case in ["stop", "rm", "shell killed", "shell killed, then stop"] {
        let mut balancer = Balancer::start(&["--replica-command", &wrapped(&file), "--replicas", "1"]);
        let processes = descendants(balancer.pid());
        let before = balancer.replicas();
        if case.starts_with("shell killed") {
            kill_process(balancer.replica_pid(&before[0]), Signal::KILL).expect("it runs");
            wait_until("it is replaced", || (balancer.replicas() != before).then_some(()));
        }
        match case {
            "rm" => assert_eq!(request(balancer.admin, "DELETE", "/rm", Some(r#"{"n":1}"#)).status, 200),
            "shell killed" => {}
            _ => {
                balancer.signal(Signal::TERM);
                assert_eq!(balancer.wait().code(), Some(0));
                assert!(file.exists(), "{case}: done before the balancer's end");
            }
        }
        wait_until(case, || file.exists().then_some(()));
        all_gone(&processes);
        std::fs::remove_file(&file).expect("it was written");
    }
}

/// Whether the process exists, if only as a zombie.
fn exists(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

#[test]
fn what_replicas_leave_behind_is_taken_in_and_reaped() {
    let file = no_file("left-behind");
    let script = format!("setsid sleep 1000 & echo $! > {}; exec {}", file.display(), unnamed());
    let command = format!("sh -c \"{script}\"");
    let balancer = Balancer::start(&["--replica-command", &command, "--replicas", "1"]);
    let pid = || std::fs::read_to_string(&file).ok()?.trim().parse().ok().and_then(Pid::from_raw);
    let daemon = wait_until("it is left behind", pid);
    wait_until("it has left the group", || (getsid(Some(daemon)) == Ok(daemon)).then_some(()));
    // Nobody waits for the program of a shim that is killed, nor for what left its group.
    let processes = descendants(balancer.pid());
    kill_process(processes[0], Signal::KILL).expect("the shim runs");
    wait_until("nothing is left of the replica", || {
        processes.iter().all(|&pid| pid == daemon || !exists(pid)).then_some(())
    });
    assert!(descendants(balancer.pid()).contains(&daemon), "it is the balancer's child");
    kill_process(daemon, Signal::KILL).expect("it runs");
    wait_until("it is reaped", || (!exists(daemon)).then_some(()));
    std::fs::remove_file(&file).expect("it was written");
}

#[test]
fn no_exit_status_is_lost_to_the_reaper_of_orphans() {
    let mut balancer = Balancer::start(&["--replicas", "20"]);
    let before = balancer.wait_until_ready(20);
    let pids = balancer.replica_pids();
    for pid in pids {
        kill_process(pid, Signal::KILL).expect("it runs");
    }
    for _ in before {
        let event = balancer.wait_for_log("replica died");
        assert_eq!(event["reason"], "killed by signal 9 (SIGKILL)", "{event}");
    }
}

#[test]
fn a_program_may_listen_on_the_ipv6_loopback_address_alone() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return println!("skipped: no IPv6");
    }
    let command = command().replace("127.0.0.1", "[::1]");
    let balancer = Balancer::start(&["--replica-command", &command, "--replicas", "2"]);
    let ring = balancer.wait_until_ready(2);
    assert!(ring.iter().all(|replica| replica["address"].as_str().is_some_and(|a| a.starts_with("[::1]:"))));
    assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
}

/// The reason in the warning with this message, of the first replica.
fn warned(balancer: &mut Balancer, message: &str) -> String {
    let event = balancer.find_log(message, |event| event["message"] == message);
    assert_eq!((&event["level"], &event["replica"]), (&"WARN".into(), &"Server 1".into()), "{event}");
    event["reason"].as_str().expect("text").to_owned()
}

#[test]
fn what_keeps_a_program_from_starting_is_warned_of_with_the_option_to_change() {
    let missing = ["--replica-command", "/no/such/program", "--replicas", "1"];
    let reason = warned(&mut Balancer::start(&missing), "replica failed to start");
    assert!(reason.contains("'/no/such/program'") && reason.contains("--replica-command"), "{reason}");
    let folder = ["--replica-command", &command(), "--replicas", "1", "--replica-dir", "/no/such/folder"];
    let reason = warned(&mut Balancer::start(&folder), "replica failed to start");
    assert!(reason.contains("'/no/such/folder'") && reason.contains("--replica-dir"), "{reason}");
    let path = ["--replica-command", &command(), "--replicas", "1", "--health-path", "/wrong"];
    let reason = warned(&mut Balancer::start(&path), "replica is not ready");
    assert!(reason.contains("responds, but GET /wrong gives 400 Bad Request: set --health-path"), "{reason}");
    let short = ["--start-timeout", "1s"];
    let mut balancer = Balancer::start(&[&path[..], &short].concat());
    let reason = warned(&mut balancer, "replica failed to start");
    assert!(reason.contains("responds, but GET /wrong gives 400"), "{reason}");
    assert!(!reason.contains("--start-timeout"), "time is not what it lacks: {reason}");
    let why = "responds, but GET /wrong gives 400";
    wait_until("/ring tells why", || {
        request(balancer.admin, "GET", "/ring", None).body.contains(why).then_some(())
    });
    let slow = ["--replica-command", "sleep 1000", "--replicas", "1", "--start-timeout", "3s"];
    let reason = warned(&mut Balancer::start(&slow), "replica failed to start");
    assert!(reason.contains("cannot connect") && reason.contains("--start-timeout"), "{reason}");
}

/// As `npm start` is: told its port by its environment alone, in a folder of its own.
#[test]
fn a_program_takes_its_port_from_its_environment_and_runs_in_its_folder() {
    let folder = no_file("folder");
    std::fs::create_dir(&folder).expect("a folder");
    let script = format!("pwd > where; exec {} --name $APP", unnamed().replace("{port}", "$PORT"));
    std::fs::write(folder.join("start"), script).expect("a file");
    let balancer = Balancer::start(&[
        "--replica-command",
        "sh ./start",
        "--replica-dir",
        folder.to_str().expect("text"),
        "--replica-env",
        "APP=mine",
        "--replicas",
        "1",
    ]);
    balancer.wait_until_ready(1);
    assert_eq!(request(balancer.public, "GET", "/home", None).json()["message"], "Request routed to mine");
    let place = std::fs::read_to_string(folder.join("where")).expect("written");
    assert_eq!(std::fs::canonicalize(place.trim()).ok(), std::fs::canonicalize(&folder).ok());
    std::fs::remove_dir_all(&folder).expect("ours");
}
