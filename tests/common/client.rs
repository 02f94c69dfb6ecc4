//! The simplest HTTP client: one request, one connection, everything as it came.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Body, not decoded.
    pub body: String,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends a request, with a JSON body if there is one, and reads the answer to its end.
pub fn request(address: SocketAddr, method: &str, path: &str, body: Option<&str>) -> Answer {
    raw(address, &text(address, method, path, body))
}

fn text(address: SocketAddr, method: &str, path: &str, body: Option<&str>) -> String {
    let body = body.map_or_else(String::new, |body| {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
    let end = if body.is_empty() { "\r\n" } else { "" };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    format!("{head}{body}{end}")
}

/// Sends bytes as they are, and reads the answer to its end.
pub fn raw(address: SocketAddr, bytes: &str) -> Answer {
    try_raw(address, bytes).expect("it listens, reads, answers and closes")
}

/// The same, where nobody may be there.
pub fn try_request(address: SocketAddr, method: &str, path: &str, body: Option<&str>) -> io::Result<Answer> {
    try_raw(address, &text(address, method, path, body))
}

fn try_raw(address: SocketAddr, bytes: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(parse(&String::from_utf8(answer).expect("text")))
}

/// An answer as it came.
pub fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not an answer: {text:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer { status: status.parse().expect("a status"), headers, body: body.to_owned() }
}
