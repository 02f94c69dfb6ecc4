//! `ringherd top` in a pseudo-terminal, as `script` of util-linux makes one.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::folder::Folder;
use crate::common::{Balancer, descendants, request, wait_until};

/// Rows and columns of the terminal.
const SIZE: (NonZeroU16, NonZeroU16) = (NonZeroU16::new(30).unwrap(), NonZeroU16::new(100).unwrap());

/// What `ringherd top` runs in, and all that it writes.
struct Terminal {
    script: Child,
    keys: ChildStdin,
    seen: Arc<Mutex<Seen>>,
}

/// What came out of a terminal.
#[derive(Default)]
struct Seen {
    written: String,
    /// The screen after each piece that was read, as a user saw it. What is written does not say
    /// that: a character that stands at its place already is left out.
    screens: Vec<String>,
}

impl Terminal {
    /// Shows the balancer at `admin`. When that ends, its exit code is written, and whether the
    /// terminal is set as before.
    fn start(admin: SocketAddr) -> Self {
        Self::start_with(admin, "")
    }

    /// The same with more arguments.
    fn start_with(admin: SocketAddr, arguments: &str) -> Self {
        let binary = env!("CARGO_BIN_EXE_ringherd");
        let (rows, columns) = SIZE;
        let command = format!(
            "stty rows {rows} cols {columns}; before=$(stty -g); {binary} top --url http://{admin} {arguments}; code=$?; \
             [ \"$before\" = \"$(stty -g)\" ] && echo \"ended with $code, restored\""
        );
        let mut script = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .env_remove("RINGHERD_ADMIN_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script of util-linux runs");
        let keys = script.stdin.take().expect("piped");
        let mut output = script.stdout.take().expect("piped");
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let record = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            let mut terminal = vt100::Parser::new(rows, columns, 0);
            while let Ok(read @ 1..) = output.read(&mut piece) {
                terminal.process(&piece[..read]);
                let mut seen = record.lock().expect("no panic");
                seen.written.push_str(&String::from_utf8_lossy(&piece[..read]));
                seen.screens.push(terminal.screen().contents());
            }
        });
        Self { script, keys, seen }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }

    /// Whether `text` has been on the screen.
    fn has_shown(&self, text: &str) -> bool {
        self.seen().screens.iter().any(|screen| screen.contains(text))
    }

    /// Waits until `text` has been on the screen.
    fn shows(&self, text: &str) {
        wait_until(text, || self.has_shown(text).then_some(()));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads");
        self.keys.flush().expect("it reads");
    }

    /// The process of `ringherd top` itself.
    fn process(&self) -> Pid {
        let is_ours = |pid: &Pid| {
            let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
            name.is_ok_and(|name| name.trim() == "ringherd")
        };
        descendants(Pid::from_child(&self.script)).into_iter().find(is_ours).expect("it runs")
    }

    fn has_ended_well(&mut self) {
        self.shows("ended with 0, restored");
        let seen = self.seen().written.clone();
        for (taken, given_back) in [("\u{1b}[?1049h", "\u{1b}[?1049l"), ("\u{1b}[?25l", "\u{1b}[?25h")] {
            assert!(seen.rfind(taken) < seen.rfind(given_back), "{taken:?}: {seen:?}");
        }
        wait_until("script ends", || self.script.try_wait().expect("a child of ours"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn it_shows_the_replicas_and_changes_them() {
    let balancer = Balancer::start(&["--replicas", "2"]);
    balancer.wait_until_ready(2);
    let mut terminal = Terminal::start(balancer.admin);
    for text in ["Server 1", "Server 2", "live", "req/s", "joined"] {
        terminal.shows(text);
    }
    terminal.press("a");
    terminal.shows("add a replica?");
    terminal.press("y");
    terminal.shows("a replica was added");
    balancer.wait_until_ready(3);
    // The cursor key of a terminal; then the second replica is killed, and this confirmed.
    terminal.press("\u{1b}[B");
    terminal.press("k");
    terminal.shows("kill 'Server 2'?");
    terminal.press("y");
    wait_until("it is replaced", || (!balancer.replicas().contains(&"Server 2".to_owned())).then_some(()));
    terminal.press("q");
    terminal.has_ended_well();
}

#[test]
fn it_shows_the_pool_that_was_asked_for() {
    let folder = Folder::new("top-pool");
    let pools = "[pool.web.replicas]\ncount = 1\n[pool.api.replicas]\ncount = 2\n[[route]]\npool = \"web\"\n";
    let balancer = Balancer::start(&["--config", &folder.write("ringherd.toml", pools)]);
    let mut terminal = Terminal::start_with(balancer.admin, "--pool api");
    for text in ["pool api", "replicas: 2", "live", "req/s"] {
        terminal.shows(text);
    }
    terminal.press("a");
    terminal.shows("add a replica?");
    terminal.press("y");
    terminal.shows("a replica was added");
    terminal.press("q");
    terminal.has_ended_well();
    assert!(!terminal.has_shown("web:"), "what happens in others is not told");
}

#[test]
fn a_change_that_nobody_understood_is_one_event_among_others() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    balancer.wait_until_ready(1);
    assert_eq!(request(balancer.admin, "POST", "/add", Some(r#"{"n":0}"#)).status, 400);
    let mut terminal = Terminal::start(balancer.admin);
    for text in ["POST /add: refused", "joined", "live", "connections"] {
        terminal.shows(text);
    }
    terminal.press("q");
    terminal.has_ended_well();
    assert!(!terminal.has_shown("LOST"));
}

#[test]
fn a_lost_connection_is_shown_and_comes_back() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    balancer.wait_until_ready(1);
    let admin = balancer.admin;
    let mut terminal = Terminal::start(admin);
    terminal.shows("Server 1");
    drop(balancer);
    terminal.shows("CONNECTION LOST");
    let again = Command::new(env!("CARGO_BIN_EXE_ringherd"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", &admin.to_string(), "--replicas", "4"])
        .stderr(Stdio::null())
        .spawn();
    let _again = Again(again.expect("the binary starts"));
    terminal.shows("Server 4");
    terminal.press("q");
    terminal.has_ended_well();
}

/// A balancer at the address of one before it; its replicas end with it.
struct Again(Child);

impl Drop for Again {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_signal_ends_it_and_leaves_the_terminal_as_it_was() {
    let balancer = Balancer::start(&["--replicas", "0"]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut terminal = Terminal::start(balancer.admin);
        terminal.shows("live");
        kill_process(terminal.process(), signal).expect("it runs");
        terminal.has_ended_well();
    }
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringherd")).arg("top").stdin(Stdio::null()).output();
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(64));
    let problem = String::from_utf8(output.stderr).expect("text");
    assert!(problem.contains("top needs a terminal; 'ringherd status'"), "{problem}");
}
