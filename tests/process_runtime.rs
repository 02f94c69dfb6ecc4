//! The process runtime with real processes: events, ends, and that nothing is left behind.

mod processes;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use processes::{RINGHERD, Signs, Watched, bounded, get};
use ringherd::runtime::process::{Process, ProcessConfig};
use ringherd::runtime::{Launch, ReplicaId, Runtime, RuntimeEvent};
use rustix::process::{Pid, Signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const HEARTBEAT: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A runtime and its events.
struct Bench {
    runtime: Process,
    events: UnboundedReceiver<RuntimeEvent>,
}

impl Bench {
    fn built_in() -> Self {
        Self::new(&[], ProcessConfig::default().stop_timeout)
    }

    fn running(command: &[&str]) -> Self {
        Self::new(command, ProcessConfig::default().stop_timeout)
    }

    fn new(command: &[&str], stop_timeout: Duration) -> Self {
        let (sender, events) = unbounded_channel();
        let command = command.iter().map(|&word| word.to_owned()).collect();
        let runtime =
            Process::new(ProcessConfig { command, stop_timeout, ..ProcessConfig::default() }, sender)
                .with_program(RINGHERD);
        Self { runtime, events }
    }

    fn start(&self, id: u64) {
        self.runtime.start(launch(id));
    }

    /// The next event but those that say where a program may listen, which follow each start of one.
    async fn next(&mut self) -> RuntimeEvent {
        loop {
            let event = bounded(self.events.recv()).await.expect("the runtime holds a sender");
            match event {
                RuntimeEvent::Located { addresses, .. } => {
                    assert_eq!(addresses.len(), 2, "both loopback addresses: {addresses:?}");
                }
                event => return event,
            }
        }
    }

    async fn started(&mut self) -> (ReplicaId, SocketAddr, Watched) {
        match self.next().await {
            RuntimeEvent::Started { id, address, instance } => {
                (id, address, Watched::parse(instance.strip_prefix("pid ").unwrap()))
            }
            other => panic!("not started: {other:?}"),
        }
    }

    async fn start_failed(&mut self) -> String {
        match self.next().await {
            RuntimeEvent::StartFailed { id: ReplicaId(1), reason } => reason,
            other => panic!("not failed: {other:?}"),
        }
    }

    async fn exited(&mut self) -> String {
        match self.next().await {
            RuntimeEvent::Exited { id: ReplicaId(1), reason } => reason,
            other => panic!("not exited: {other:?}"),
        }
    }
}

fn launch(id: u64) -> Launch {
    Launch {
        id: ReplicaId(id),
        name: format!("Server {id}"),
        number: id as u32,
        existing: None,
        revision: std::sync::Arc::default(),
        replaces: None,
    }
}

/// Asks until somebody listens: a program of others says nothing when it does.
async fn get_patiently(address: SocketAddr, path: &str) -> String {
    let answer = async {
        loop {
            match get(address, path).await {
                Ok(answer) => return answer,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    bounded(answer).await
}

#[tokio::test]
async fn a_replica_starts_answers_and_stops() {
    let mut bench = Bench::built_in();
    bench.start(1);
    let (id, address, process) = bench.started().await;
    assert_eq!(id, ReplicaId(1));
    assert_eq!(get(address, "/heartbeat").await.unwrap(), HEARTBEAT);
    bench.runtime.stop(id);
    bench.runtime.stop(id);
    assert_eq!(bench.exited().await, "exit status 0");
    assert!(process.is_reaped());
    bench.runtime.stop(id);
    bench.runtime.stop(ReplicaId(99));
    assert!(bench.events.try_recv().is_err());
}

#[tokio::test]
async fn the_signal_that_killed_a_replica_is_named() {
    let mut bench = Bench::built_in();
    bench.start(1);
    let (_, _, process) = bench.started().await;
    process.kill(Signal::KILL);
    assert_eq!(bench.exited().await, "killed by signal 9 (SIGKILL)");
    assert!(process.is_reaped());
}

#[tokio::test]
async fn many_start_at_once_each_with_its_name() {
    let mut bench = Bench::built_in();
    (1..=20).for_each(|id| bench.start(id));
    let mut addresses = std::collections::HashSet::new();
    for _ in 1..=20 {
        let (ReplicaId(id), address, _) = bench.started().await;
        let home = get(address, "/home").await.unwrap();
        assert!(home.contains(&format!("\"Request routed to Server {id}\"")), "{home}");
        assert!(addresses.insert(address));
    }
    (1..=20).for_each(|id| bench.runtime.stop(ReplicaId(id)));
    for _ in 1..=20 {
        let event = bench.next().await;
        assert!(
            matches!(&event, RuntimeEvent::Exited { reason, .. } if reason == "exit status 0"),
            "{event:?}"
        );
    }
}

#[tokio::test]
async fn one_stopped_before_it_reports_is_gone_as_well() {
    let mut bench = Bench::built_in();
    bench.start(1);
    bench.runtime.stop(ReplicaId(1));
    bench.exited().await;
    assert!(bench.events.try_recv().is_err());
}

#[tokio::test]
async fn what_does_not_come_up_has_failed_to_start() {
    let golden = [
        ("/nonexistent/ringherd", "cannot run '/nonexistent/ringherd': No such file"),
        ("/bin/false", "its process ended before it took requests: exit status 1"),
        ("/bin/echo", "its process printed 'replica --name Server 1"),
    ];
    for (program, expected) in golden {
        let mut bench = Bench::built_in();
        bench.runtime = bench.runtime.with_program(program);
        bench.start(1);
        let reason = bench.start_failed().await;
        assert!(reason.starts_with(expected), "{reason}");
    }
    let mut bench = Bench::running(&["/nonexistent/program", "{port}"]);
    bench.start(1);
    let reason = bench.start_failed().await;
    assert!(reason.starts_with("cannot run '/nonexistent/program': No such file"), "{reason}");
}

#[tokio::test]
async fn another_program_is_told_its_port_and_name() {
    let listen = "127.0.0.1:{port}";
    let mut bench =
        Bench::running(&[RINGHERD, "replica", "--listen", listen, "--name", "{name} as {number}"]);
    bench.start(1);
    let (id, address, process) = bench.started().await;
    let home = get_patiently(address, "/home").await;
    assert!(home.contains("\"Request routed to Server 1 as 1\""), "{home}");
    bench.runtime.stop(id);
    assert_eq!(bench.exited().await, "exit status 0");
    assert!(process.is_reaped());
}

#[tokio::test]
async fn another_programs_end_is_told_in_words() {
    let golden = [
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "killed by signal 9 (SIGKILL)"),
        ("kill -15 $$", "killed by signal 15 (SIGTERM)"),
    ];
    for (end, words) in golden {
        let signs = Signs::new();
        let script = format!("read line < {}; {end}", signs.path());
        let mut bench = Bench::running(&["sh", "-c", &script]);
        bench.start(1);
        bench.started().await;
        signs.send("end");
        assert_eq!(bench.exited().await, words);
    }
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed() {
    let mut signs = Signs::new();
    let script = "trap '' TERM; echo ready > \"$0\"; while :; do sleep 1000; done";
    let mut bench = Bench::new(&["sh", "-c", script, &signs.path()], Duration::from_millis(100));
    bench.start(1);
    let (id, _, process) = bench.started().await;
    assert_eq!(signs.next().await, "ready");
    bench.runtime.stop(id);
    assert_eq!(bench.exited().await, "killed by signal 9 (SIGKILL)");
    process.ended().await;
}

#[tokio::test]
async fn nothing_of_a_program_survives_its_shim_or_its_end() {
    // Who is killed: the shim, which leads the group, or the program.
    for of_shim in [true, false] {
        let mut signs = Signs::new();
        let script = "sleep 1000 & echo $! > \"$0\"; wait";
        let mut bench = Bench::running(&["sh", "-c", script, &signs.path()]);
        bench.start(1);
        let (_, _, program) = bench.started().await;
        let grandchild = Watched::parse(&signs.next().await);
        let shim = rustix::process::getpgid(Some(program.pid)).unwrap();
        assert_ne!(shim, program.pid);
        let victim = if of_shim { Watched::new(shim) } else { Watched::new(program.pid) };
        victim.kill(Signal::KILL);
        assert_eq!(bench.exited().await, "killed by signal 9 (SIGKILL)");
        program.ended().await;
        grandchild.ended().await;
    }
}

#[tokio::test]
async fn children_lead_their_own_group() {
    let mut bench = Bench::built_in();
    bench.start(1);
    let (_, _, process) = bench.started().await;
    assert_eq!(rustix::process::getpgid(Some(process.pid)).unwrap(), process.pid);
}

#[tokio::test]
async fn dropping_the_runtime_kills_its_children() {
    for command in [&[][..], &["sleep", "1000"]] {
        let mut bench = Bench::running(command);
        bench.start(1);
        let (_, _, process) = bench.started().await;
        // A stopped one cannot see that its input ends: only the kill remains.
        let leader = Watched::new(rustix::process::getpgid(Some(process.pid)).unwrap());
        leader.kill(Signal::STOP);
        drop(bench.runtime);
        leader.ended().await;
        process.ended().await;
    }
}

/// Runs the named test once more, in a process of its own and with `role` in its environment.
fn again(test: &str, role: &str, signs: &Signs) -> tokio::process::Child {
    tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("RINGHERD_ADMIN_TOKEN", "secret")
        .env("TEST_ROLE", role)
        .env("TEST_SIGNS", signs.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn role() -> Option<(String, String)> {
    Some((std::env::var("TEST_ROLE").ok()?, std::env::var("TEST_SIGNS").ok()?))
}

/// Starts one replica, tells its process id, and waits to be killed.
async fn be_a_balancer(command: &str, signs: &str) {
    let command: Vec<_> = command.split_whitespace().collect();
    let mut bench = Bench::running(&command);
    bench.start(1);
    let (_, _, process) = bench.started().await;
    std::fs::write(signs, format!("{}\n", process.pid.as_raw_nonzero())).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn no_replica_outlives_a_killed_balancer() {
    if let Some((command, signs)) = role() {
        return be_a_balancer(&command, &signs).await;
    }
    for command in ["", "sleep 1000"] {
        let mut signs = Signs::new();
        let mut balancer = again("no_replica_outlives_a_killed_balancer", command, &signs);
        let replica = Watched::parse(&signs.next().await);
        let group = rustix::process::getpgid(Some(replica.pid)).unwrap();
        let leader = Watched::new(group);
        let pid = Pid::from_raw(balancer.id().unwrap().cast_signed()).unwrap();
        assert_ne!(group, pid);
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        bounded(balancer.wait()).await.unwrap();
        replica.ended().await;
        leader.ended().await;
    }
}

#[tokio::test]
async fn the_admin_token_is_not_handed_on() {
    const SCRIPT: &str = "env > \"$0\"; echo end > \"$0\"";
    if let Some((_, signs)) = role() {
        let mut bench = Bench::running(&["sh", "-c", SCRIPT, &signs]);
        bench.start(1);
        // It may have ended by now, so that there is no process to look for.
        let started = bench.next().await;
        assert!(matches!(started, RuntimeEvent::Started { .. }), "{started:?}");
        assert_eq!(bench.exited().await, "exit status 0");
        return;
    }
    let mut signs = Signs::new();
    let mut balancer = again("the_admin_token_is_not_handed_on", "balancer", &signs);
    let mut environment = Vec::new();
    while environment.last().is_none_or(|line| line != "end") {
        environment.push(signs.next().await);
    }
    assert!(bounded(balancer.wait()).await.unwrap().success());
    assert!(environment.iter().any(|line| line == "SERVER_ID=Server 1"), "{environment:?}");
    assert!(environment.iter().any(|line| line == "SERVER_NUMBER=1"), "{environment:?}");
    assert!(environment.iter().any(|line| line.starts_with("PORT=")), "{environment:?}");
    assert!(!environment.iter().any(|line| line.contains("secret")), "{environment:?}");
}
