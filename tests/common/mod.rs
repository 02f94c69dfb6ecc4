//! What tests of the real binary share: a balancer as a child process, and clients.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod backend;
pub mod client;
pub mod events;
pub mod folder;
pub mod grpc;
pub mod held;
pub mod http2;
pub mod load;
pub mod nobody;
pub mod origin;
pub mod promql;
pub mod scrape;
pub mod taken;
pub mod tls;
pub mod upstream;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub use client::request;
use origin::Origin;

/// Longest wait for anything that is to happen; only a failing test waits that long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running balancer. Its replicas end with it, however it ends.
pub struct Balancer {
    child: Child,
    log: Receiver<Value>,
    seen: Vec<Value>,
    /// Public address.
    pub public: SocketAddr,
    /// Admin address.
    pub admin: SocketAddr,
}

impl Balancer {
    /// Starts `ringherd ARGS` on free ports and waits until it listens.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, |_| {})
    }

    /// The same, with a last change to the command.
    pub fn start_with(args: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringherd"));
        command
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .args(args)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (send, log) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let _ = send.send(event);
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut balancer = Self { child, log, seen: Vec::new(), public: nowhere, admin: nowhere };
        balancer.admin = balancer.address_in("admin API is up");
        balancer.public = balancer.address_in("listening");
        balancer
    }

    /// Starts one before `origin` alone, with further options, and waits until it takes requests.
    pub fn before(origin: &Origin, more: &[&str]) -> Self {
        let upstream = origin.address.to_string();
        let balancer = Self::start(&[&["--upstream", &upstream], more].concat());
        balancer.wait_until_ready(1);
        balancer
    }

    fn address_in(&mut self, message: &str) -> SocketAddr {
        let event = self.wait_for_log(message);
        event["address"].as_str().expect("an address").parse().expect("an address")
    }

    /// Waits for a log event with this message.
    pub fn wait_for_log(&mut self, message: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if event["message"] == message {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no log event '{message}' came; there were: {:#?}", self.seen)
                }
            }
        }
    }

    /// The first log event for which `wanted` holds, whether it has come already or not.
    pub fn find_log(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(event) = self.seen.iter().find(|event| wanted(event)) {
            return event.clone();
        }
        wait_until(what, || {
            let event = self.log.recv_timeout(Duration::from_millis(5)).ok()?;
            self.seen.push(event.clone());
            wanted(&event).then_some(event)
        })
    }

    /// The balancer's own process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the balancer runs");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        wait_until("the balancer ends", || self.child.try_wait().expect("a child of ours"))
    }

    /// `GET /rep`: N and the names.
    pub fn replicas(&self) -> Vec<String> {
        let answer = request(self.admin, "GET", "/rep", None);
        assert_eq!(answer.status, 200, "{answer:?}");
        let names: Vec<String> =
            serde_json::from_value(answer.json()["message"]["replicas"].clone()).expect("names");
        assert_eq!(answer.json()["message"]["N"], names.len(), "{answer:?}");
        names
    }

    /// The replicas of `GET /ring`.
    pub fn ring(&self) -> Vec<Value> {
        let answer = request(self.admin, "GET", "/ring", None);
        answer.json()["replicas"].as_array().expect("an array").clone()
    }

    /// Waits until all of `count` replicas are ready.
    pub fn wait_until_ready(&self, count: usize) -> Vec<Value> {
        wait_until("all replicas are ready", || {
            let ring = self.ring();
            (ring.len() == count && ring.iter().all(|replica| replica["state"] == "ready")).then_some(ring)
        })
    }

    /// The process of the replica with this name.
    pub fn replica_pid(&self, name: &str) -> Pid {
        let ring = self.ring();
        let replica = ring.iter().find(|replica| replica["name"] == name).expect("a replica of that name");
        let instance = replica["instance"].as_str().expect("it runs");
        let pid = instance.strip_prefix("pid ").expect("a process").parse().expect("a number");
        Pid::from_raw(pid).expect("not zero")
    }

    /// All replicas' processes.
    pub fn replica_pids(&self) -> Vec<Pid> {
        let names: Vec<_> = self.ring().iter().map(|r| r["name"].as_str().unwrap_or("").to_owned()).collect();
        names.iter().map(|name| self.replica_pid(name)).collect()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A balancer of two workers before `backends`, with these further arguments.
pub fn before(backends: &[backend::Backend], args: &[&str]) -> Balancer {
    let upstreams: Vec<_> = backends.iter().map(|backend| backend.address.to_string()).collect();
    let mut all = vec!["--workers", "2"];
    all.extend(upstreams.iter().flat_map(|upstream| ["--upstream", upstream.as_str()]));
    all.extend(args);
    let balancer = Balancer::start(&all);
    balancer.wait_until_ready(backends.len());
    balancer
}

/// What a metric counts, in all its series with these labels.
pub fn metric(balancer: &Balancer, name: &str, labels: &[(&str, &str)]) -> u64 {
    scrape::Scrape::of(balancer).sum(name, labels) as u64
}

/// A connection on which nothing is waited for without end.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// All processes below `pid`.
pub fn descendants(pid: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("Linux").flatten() {
        let Ok(child) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
        if parent == Some(pid.as_raw_nonzero().to_string().as_str()) {
            let child = Pid::from_raw(child).expect("not zero");
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
}

/// Whether a process runs (a zombie does not).
pub fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

/// Asks again and again, a little apart, until there is an answer.
pub fn wait_until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, Duration::from_millis(5), what, ask)
}

/// The same, for so long and so far apart.
pub fn wait_within<T>(
    patience: Duration,
    pause: Duration,
    what: &str,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(pause);
    }
}
