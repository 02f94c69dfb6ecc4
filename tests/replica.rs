//! `ringherd replica` as a program: what it answers, byte for byte, and how it ends.

mod processes;

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use processes::{RINGHERD, Signs, Watched, bounded, exchange, get, undated};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// A running `ringherd replica …`, killed when dropped.
struct Started {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Option<BufReader<ChildStderr>>,
    watched: Watched,
}

fn replica(args: &[&str]) -> Command {
    let mut command = Command::new(RINGHERD);
    command.arg("replica").args(args).env_remove("SERVER_ID").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn start(command: &mut Command) -> Started {
    let mut child = command.spawn().unwrap();
    let watched = Watched::parse(&child.id().unwrap().to_string());
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let stderr = child.stderr.take().map(BufReader::new);
    Started { stdin: child.stdin.take(), stdout, stderr, child, watched }
}

impl Started {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        bounded(self.stdout.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    /// The next line of a program that a shim runs.
    async fn said(&mut self) -> String {
        let mut line = String::new();
        let read = bounded(self.stderr.as_mut().expect("piped").read_line(&mut line)).await.unwrap();
        assert_ne!(read, 0, "it says nothing more");
        line.trim_end().to_owned()
    }

    /// Waits until the program says `text`. A shell tells of its children's ends in between.
    async fn says(&mut self, text: &str) {
        while self.said().await != text {}
    }

    async fn address(&mut self) -> SocketAddr {
        let line = self.line().await;
        let address = line.strip_prefix("{\"listening\":\"").and_then(|rest| rest.strip_suffix("\"}"));
        address.unwrap_or_else(|| panic!("no report: {line}")).parse().unwrap()
    }

    async fn end(&mut self) -> ExitStatus {
        bounded(self.child.wait()).await.unwrap()
    }
}

async fn listening(args: &[&str]) -> (Started, SocketAddr) {
    let mut started = start(&mut replica(&[&["--listen", "127.0.0.1:0"], args].concat()));
    let address = started.address().await;
    (started, address)
}

const HOME: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 62\r\n\r\n\
    {\"message\":\"Request routed to Server 1\",\"status\":\"successful\"}";

#[tokio::test]
async fn answers_are_these_bytes() {
    let (_replica, address) = listening(&["--name", "Server 1"]).await;
    let requests = "GET /home HTTP/1.1\r\nHost: a\r\n\r\n\
        GET /heartbeat HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /home?id=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde\
        PUT /home HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
        GET /other?secret=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let expected = [
        HOME,
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        HOME,
        HOME,
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: 92\r\n\r\n\
         {\"message\":\"<Error> '/other' endpoint does not exist in server replicas\",\"status\":\"failure\"}",
    ];
    let answers = exchange(address, requests).await.unwrap();
    assert_eq!(undated(&answers), expected.concat());
}

#[tokio::test]
async fn a_large_body_is_read_and_forgotten() {
    let (_replica, address) = listening(&["--name", "Server 1"]).await;
    let body = "x".repeat(4 << 20);
    let head = format!("POST /home HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let after = "GET /home HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = undated(&exchange(address, &(head + &body + after)).await.unwrap());
    assert_eq!(answers.matches("Request routed to Server 1").count(), 2, "{answers}");
}

#[tokio::test]
async fn the_name_comes_from_the_environment_too() {
    for (id, name) in [(Some("S 7"), "S 7"), (None, "0")] {
        let mut command = replica(&["--listen", "127.0.0.1:0"]);
        command.envs(id.map(|id| ("SERVER_ID", id)));
        let mut replica = start(&mut command);
        let home = get(replica.address().await, "/home").await.unwrap();
        assert!(home.contains(&format!("\"Request routed to {name}\"")), "{home}");
    }
}

#[tokio::test]
async fn sigterm_lets_a_request_in_flight_finish() {
    let (mut replica, address) = listening(&[]).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /heartbeat HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut busy = TcpStream::connect(address).await.unwrap();
    let head = b"POST /home HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    busy.write_all(head).await.unwrap();
    let mut interim = [0; 25];
    bounded(busy.read_exact(&mut interim)).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");

    replica.watched.kill(Signal::TERM);
    let mut rest = String::new();
    bounded(idle.read_to_string(&mut rest)).await.unwrap();
    busy.write_all(b"abc").await.unwrap();
    let mut answer = String::new();
    bounded(busy.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(replica.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_taken_address_is_refused_with_advice() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = bounded(replica(&["--listen", &address]).stderr(Stdio::piped()).output()).await.unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(error.contains(&address) && error.contains("choose another --listen address"), "{error}");
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn it_ends_with_its_input_if_told_so() {
    let (mut bound, address) = listening(&["--exit-with-stdin"]).await;
    let (mut free, other) = listening(&[]).await;
    assert!(get(address, "/heartbeat").await.is_ok());
    drop((bound.stdin.take(), free.stdin.take()));
    assert_eq!(bound.end().await.code(), Some(0));
    assert!(get(other, "/heartbeat").await.unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn it_has_its_name_whatever_file_it_was_run_from() {
    let (first, _) = listening(&[]).await;
    // As the balancer does it: through the running image, which may have no other path any more.
    let mut command = Command::new(format!("/proc/{}/exe", first.watched.pid.as_raw_nonzero()));
    command.args(["replica", "--listen", "127.0.0.1:0"]).kill_on_drop(true);
    let mut second = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    second.address().await;
    let name = std::fs::read_to_string(format!("/proc/{}/comm", second.watched.pid.as_raw_nonzero()));
    assert_eq!(name.unwrap(), "ringherd\n");
}

fn shim(script: &str, argument: &str) -> Started {
    start(replica(&["--exec", "--", "sh", "-c", script, argument]).stderr(Stdio::piped()))
}

#[tokio::test]
async fn another_program_ends_with_the_input_too() {
    // The second one does not heed SIGTERM, the third leaves a process behind.
    let scripts = [
        "echo $$; exec sleep 1000",
        "trap '' TERM; echo $$; while :; do sleep 1000; done",
        "sleep 1000 & echo $!; exec sleep 1000",
    ];
    for script in scripts {
        let mut shim = shim(script, "");
        assert!(shim.line().await.starts_with("{\"running\":"));
        let program = Watched::parse(&shim.said().await);
        drop(shim.stdin.take());
        program.ended().await;
        shim.watched.ended().await;
    }
}

#[tokio::test]
async fn another_programs_end_is_handed_on() {
    let golden = [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$", 143)];
    for (script, code) in golden {
        let mut shim = shim(&format!("echo last words; {script}"), "");
        assert!(shim.line().await.starts_with("{\"running\":"));
        assert_eq!(shim.said().await, "last words");
        assert_eq!(shim.end().await.code(), Some(code), "{script}");
    }
}

#[tokio::test]
async fn sigterm_is_handed_on() {
    let mut signs = Signs::new();
    // Not `wait`: a signal that comes just before it lets it wait on.
    let script = "trap 'exit 7' TERM; echo ready > \"$0\"; while :; do sleep 0.05; done";
    let mut shim = shim(script, &signs.path());
    assert_eq!(signs.next().await, "ready");
    shim.watched.kill(Signal::TERM);
    assert_eq!(shim.end().await.code(), Some(7));
}

/// The shim gets it too, as one of the group, and lives on.
#[tokio::test]
async fn a_program_is_told_to_end_by_its_own_signal() {
    for signal in ["INT", "QUIT", "HUP", "USR1", "USR2", "WINCH"] {
        let script = format!(
            "trap '' TERM; trap 'sleep 0.1; echo once; exit 7' {signal}; echo ready; while :; do sleep 0.05; done"
        );
        for balancer_is_gone in [false, true] {
            let signal = format!("SIG{signal}");
            let args = ["--exec", "--stop-signal", &signal, "--", "sh", "-c", &script];
            let mut shim = start(replica(&args).stderr(Stdio::piped()));
            shim.says("ready").await;
            if balancer_is_gone {
                drop(shim.stdin.take());
            } else {
                shim.watched.kill(Signal::TERM);
            }
            shim.says("once").await;
            let code = shim.end().await.code();
            assert!(balancer_is_gone || code == Some(7), "{signal}: {code:?}");
        }
    }
}

/// As `npm start` is: a shell that ends at once, and behind it a server that has to clean up.
const WRAPPER: &str =
    "sh -c 'trap \"sleep 0.2; echo cleaned up; exit\" TERM; echo $$; while :; do sleep 0.05; done'; true";

#[tokio::test]
async fn sigterm_reaches_who_is_behind_a_shell_and_the_shim_waits_for_its_end() {
    for balancer_is_gone in [false, true] {
        let mut shim = shim(WRAPPER, "");
        assert!(shim.line().await.starts_with("{\"running\":"));
        let server = Watched::parse(&shim.said().await);
        if balancer_is_gone {
            drop(shim.stdin.take());
        } else {
            shim.watched.kill(Signal::TERM);
        }
        shim.says("cleaned up").await;
        shim.end().await;
        server.ended().await;
    }
}

#[tokio::test]
async fn sigterm_comes_once() {
    let script = "trap 'echo term' TERM; echo ready; while [ ! -e \"$0\" ]; do sleep 0.05; done";
    let folder = std::env::temp_dir().join(format!("ringherd-once-{}", std::process::id()));
    let mut shim = shim(script, folder.to_str().unwrap());
    shim.says("ready").await;
    shim.watched.kill(Signal::TERM);
    shim.says("term").await;
    std::fs::create_dir(&folder).unwrap();
    shim.end().await;
    std::fs::remove_dir(&folder).unwrap();
    let mut rest = String::new();
    bounded(shim.stderr.take().unwrap().read_to_string(&mut rest)).await.unwrap();
    assert!(!rest.contains("term"), "{rest}");
}

#[tokio::test]
async fn who_outlives_its_program_has_sigterm_and_time_to_end() {
    let script = "sh -c 'trap \"echo cleaned up; exit\" TERM; echo ready; while :; do sleep 0.05; done' & \
                  read line < \"$0\"; exit 3";
    let signs = Signs::new();
    let mut shim = shim(script, &signs.path());
    assert!(shim.line().await.starts_with("{\"running\":"));
    shim.says("ready").await;
    signs.send("end");
    assert_eq!(shim.line().await, "{\"ended\":3}");
    shim.says("cleaned up").await;
    assert_eq!(shim.end().await.code(), Some(3));
}

#[tokio::test]
async fn a_program_leaves_no_zombies() {
    let signs = Signs::new();
    let mut shim = shim("sh -c 'sleep 0 & echo $!'; read line < \"$0\"", &signs.path());
    let pid = Pid::from_raw(shim.said().await.parse().unwrap());
    let reaped = async {
        while rustix::process::test_kill_process(pid.unwrap()).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    bounded(reaped).await;
    assert!(shim.child.try_wait().unwrap().is_none(), "the shim runs");
}

#[tokio::test]
async fn a_program_that_is_missing_is_reported() {
    let output = bounded(replica(&["--exec", "--", "/nonexistent/program"]).output()).await.unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(report.starts_with("{\"failed\":\"cannot run '/nonexistent/program': "), "{report}");
}
