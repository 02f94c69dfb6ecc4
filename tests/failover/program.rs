//! What deploys are tried with: this test binary itself, as a replica that is what its environment says.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::sync::{Arc, Once};
use std::time::Duration;
use std::{env, process, thread};

/// The command that starts it.
pub fn command() -> String {
    let binary = env::current_exe().expect("the path of this binary");
    format!("'{}' program::replica --exact --ignored --nocapture", binary.display())
}

/// What a replica writes down that finds what it needs in use by another one of its number.
pub const CONTENDED: &str = "contended";

/// What it does besides responding to heartbeats, in `BEHAVIOUR`.
enum Behaviour {
    /// Responds with its revision and its number.
    Good,
    /// Responds with 500.
    Fails,
    /// Never responds.
    Hangs,
    /// Is good, and exits so long after its first heartbeat.
    Crashes(Duration),
}

struct Program {
    /// `REVISION NUMBER`.
    name: String,
    behaviour: Behaviour,
    /// Gets a line for each POST that is run.
    tally: File,
    first_heartbeat: Once,
}

#[test]
#[ignore = "a replica, which the tests of deploys start"]
fn replica() {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let Ok(tally) = env::var("TALLY") else { return };
    let behaviour = match variable("BEHAVIOUR").split_once(':').map(|(_, millis)| millis.parse()) {
        Some(millis) => Behaviour::Crashes(Duration::from_millis(millis.expect("a number"))),
        None => match &*variable("BEHAVIOUR") {
            "fails" => Behaviour::Fails,
            "hangs" => Behaviour::Hangs,
            "does not start" => process::exit(3),
            _ => Behaviour::Good,
        },
    };
    let mut tally = File::options().append(true).create(true).open(tally).expect("a file");
    let number = variable("SERVER_NUMBER");
    // Held until this process is gone, however it ends.
    let _lock = (!variable("EXCLUSIVE").is_empty()).then(|| {
        let name = format!("{} {number}", variable("TALLY"));
        let lock = UnixAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name));
        lock.unwrap_or_else(|_| {
            writeln!(tally, "{CONTENDED}").expect("the disk has room");
            process::exit(5);
        })
    });
    let listener = TcpListener::bind(format!("127.0.0.1:{}", variable("PORT"))).expect("the port is free");
    let program = Arc::new(Program {
        name: format!("{} {}", variable("REVISION"), number),
        behaviour,
        tally,
        first_heartbeat: Once::new(),
    });
    for stream in listener.incoming().map_while(Result::ok) {
        let program = Arc::clone(&program);
        thread::spawn(move || program.serve(stream));
    }
}

impl Program {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((head, body)) = next_request(&mut reader) {
            let (status, content) = self.respond(&head, &body);
            let response =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{content}", content.len());
            if reader.get_mut().write_all(response.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn respond(&self, head: &str, body: &str) -> (u16, &str) {
        if head.starts_with("GET /heartbeat ") {
            if let Behaviour::Crashes(after) = self.behaviour {
                let crash = move || {
                    thread::sleep(after);
                    process::exit(4);
                };
                self.first_heartbeat.call_once(|| drop(thread::spawn(crash)));
            }
            return (200, "");
        }
        if head.starts_with("POST ") {
            // One write, at the end of the file, whoever else writes to it.
            let line = format!("{body}\n");
            (&self.tally).write_all(line.as_bytes()).expect("the disk has room");
        }
        if matches!(self.behaviour, Behaviour::Hangs) {
            loop {
                thread::park();
            }
        }
        (if matches!(self.behaviour, Behaviour::Fails) { 500 } else { 200 }, &self.name)
    }
}

/// Head and body.
fn next_request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let begin = head.len();
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return None;
        }
        let line = head[begin..].to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}
