//! What replicas write: by the API, by command, followed, and after their end.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Signal, kill_process};

use crate::common::folder::Folder;
use crate::common::origin::Origin;
use crate::common::{Balancer, PATIENCE, request, wait_until};

/// A program that writes to both of its outputs, becomes a server, and writes again when it gets SIGUSR1.
fn talkative() -> String {
    let server =
        format!("{} replica --listen 127.0.0.1:{{port}} > /dev/null", env!("CARGO_BIN_EXE_ringherd"));
    let script = format!(
        "trap 'echo again' USR1; echo {{name}} of $SERVER_REVISION; echo trouble >&2; {server} & \
         until wait $!; do :; done"
    );
    format!("sh -c \"{}\"", script.replace('$', "\\$"))
}

fn command(balancer: &Balancer, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringherd"));
    command.args(args).env_clear().env("RINGHERD_ADMIN_LISTEN", balancer.admin.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// What `ringherd ARGS` prints.
fn told(balancer: &Balancer, args: &[&str]) -> String {
    let output = command(balancer, args).output().expect("the binary runs");
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The lines that a command prints, as they come.
fn lines(child: &mut Child) -> Receiver<String> {
    let stdout: ChildStdout = child.stdout.take().expect("piped");
    let (send, lines) = channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let _ = lines.try_for_each(|line| send.send(line));
    });
    lines
}

#[test]
fn the_last_lines_of_a_program_are_kept_beyond_its_end() {
    let balancer = Balancer::start(&["--replica-command", &talkative(), "--replicas", "1"]);
    balancer.wait_until_ready(1);
    let both = "Server 1 of base\ntrouble\n";
    assert_eq!(told(&balancer, &["logs", "Server 1"]), both);
    assert_eq!(told(&balancer, &["logs", "-n", "1", "server-1"]), "trouble\n");
    let answer = request(balancer.admin, "GET", "/replicas/Server%201/log?lines=2", None);
    assert_eq!((answer.status, answer.body.as_str()), (200, both));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(request(balancer.public, "GET", "/replicas/Server%201/log", None).status, 400, "a replica's");

    told(&balancer, &["kill", "Server 1"]);
    wait_until("it is replaced", || (balancer.replicas() != ["Server 1"]).then_some(()));
    assert_eq!(told(&balancer, &["logs", "Server 1"]), both);
    let of_its_successor = || told(&balancer, &["logs", &balancer.replicas()[0]]);
    wait_until("its successor writes", || of_its_successor().ends_with(" of base\ntrouble\n").then_some(()));
}

#[test]
fn a_client_follows_a_replica_until_it_ends() {
    let balancer = Balancer::start(&["--replica-command", &talkative(), "--replicas", "1"]);
    balancer.wait_until_ready(1);
    let mut child = command(&balancer, &["logs", "-f", "-n", "1", "Server 1"]).spawn().expect("it runs");
    let lines = lines(&mut child);
    let next = || lines.recv_timeout(PATIENCE).expect("a line");
    assert_eq!(next(), "trouble");
    for _ in 0..2 {
        kill_process(balancer.replica_pid("Server 1"), Signal::USR1).expect("it runs");
        assert_eq!(next(), "again");
    }
    told(&balancer, &["kill", "Server 1"]);
    assert!(wait_until("the command ends", || child.try_wait().expect("a child")).success());
    assert_eq!(lines.recv_timeout(PATIENCE).ok(), None);
}

#[test]
fn a_program_that_does_not_start_leaves_its_last_words() {
    let balancer =
        Balancer::start(&["--replica-command", "sh -c 'echo no database >&2; exit 3'", "--replicas", "0"]);
    let answer = request(balancer.admin, "POST", "/add", Some(r#"{"n":1,"hostnames":["A"]}"#));
    assert_eq!(answer.status, 502, "{answer:?}");
    let answer = || request(balancer.admin, "GET", "/replicas/A/log", None);
    wait_until("it is read", || (answer().body == "no database\n").then_some(()));
}

#[test]
fn each_pool_has_its_own_and_what_others_run_has_none() {
    let origin = Origin::start();
    let folder = Folder::new("output");
    let text = format!(
        "[pool.a.replicas]\ncount = 1\ncommand = '''{}'''\n[pool.b.replicas]\nupstreams = \"{}\"\n[[route]]\npool = \"a\"\n",
        talkative(),
        origin.address
    );
    let balancer = Balancer::start(&["--config", &folder.write("ringherd.toml", &text)]);
    balancer.wait_until_ready(1);
    assert_eq!(told(&balancer, &["logs", "--pool", "a", "Server 1"]), "Server 1 of base\ntrouble\n");
    let name = |pool: &str| {
        let ring = request(balancer.admin, "GET", &format!("/pools/{pool}/ring"), None).json();
        ring["replicas"][0]["name"].as_str().map(str::to_owned)
    };
    let name = wait_until("b has its replica", || name("b"));
    let output = command(&balancer, &["logs", "--pool", "b", &name]).stderr(Stdio::piped()).output();
    let output = output.expect("the binary runs");
    let words = String::from_utf8(output.stderr).expect("text");
    let why = " is not kept: others run it; look for its log where they do";
    assert!(output.status.code() == Some(1) && words.contains(why), "{words}");
}
