//! A reader of `GET /events`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number, if it has one.
    pub id: Option<u64>,
    /// Its kind.
    pub kind: String,
    /// Its facts.
    pub data: Value,
}

/// A stream of events.
pub struct Events(BufReader<TcpStream>);

impl Events {
    /// Asks for the events at `path`, such as `/events`.
    pub fn open(admin: SocketAddr, path: &str) -> Self {
        Self::open_with(admin, path, "")
    }

    /// The same, with more header lines.
    pub fn open_with(admin: SocketAddr, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(admin).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        // In HTTP/1.0 the body is not cut into chunks.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {admin}\r\n{headers}\r\n").expect("it reads");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).expect("a head"), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
        Self(reader)
    }

    /// The next event; `None` at the end of the stream.
    pub fn next(&mut self) -> Option<Event> {
        let (mut id, mut kind, mut data) = (None, String::new(), Value::Null);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).expect("within the time-out") == 0 {
                return None;
            }
            let line = line.trim_end_matches('\n');
            match line.split_once(": ") {
                Some(("id", text)) => id = Some(text.parse().expect("a number")),
                Some(("event", text)) => text.clone_into(&mut kind),
                Some(("data", text)) => data = serde_json::from_str(text).expect("JSON"),
                Some(("", _)) => {}
                _ if line.is_empty() && !kind.is_empty() => return Some(Event { id, kind, data }),
                _ => assert!(line.is_empty(), "not a line of an event: {line:?}"),
            }
        }
    }

    /// The events up to the first that `wanted` is true of, that one included.
    pub fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut seen = Vec::new();
        loop {
            let event = self.next().unwrap_or_else(|| panic!("the stream ended after {seen:#?}"));
            seen.push(event);
            if seen.last().is_some_and(&wanted) {
                return seen;
            }
        }
    }
}
