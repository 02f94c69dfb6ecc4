//! A replica that misbehaves on request: what its path says, it does. Everything it was sent is
//! recorded.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Request line and headers.
    pub head: String,
    /// Body, as far as it has a length.
    pub body: Vec<u8>,
}

impl Arrived {
    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let of_name =
            |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().filter(of_name).filter_map(|line| Some(line.split_once(':')?.1.trim())).collect()
    }
}

/// A running origin; it ends with the test.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    dead: Arc<AtomicBool>,
}

impl Origin {
    /// Starts one.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let origin =
            Self { address, arrived: Arc::default(), connections: Arc::default(), dead: Arc::default() };
        let (arrived, connections) = (Arc::clone(&origin.arrived), Arc::clone(&origin.connections));
        let dead = Arc::clone(&origin.dead);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if dead.load(Ordering::SeqCst) {
                    return;
                }
                connections.lock().expect("no panic").push(stream.try_clone().expect("a descriptor"));
                let arrived = Arc::clone(&arrived);
                std::thread::spawn(move || serve(stream, &arrived));
            }
        });
        origin
    }

    /// Dies as a killed process does: nobody listens, and every connection ends.
    pub fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
        // Wakes whoever accepts.
        let _ = TcpStream::connect(self.address);
        for connection in self.connections.lock().expect("no panic").iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.lock().expect("no panic").len()
    }

    /// The requests whose path begins so.
    pub fn arrived(&self, path: &str) -> Vec<Arrived> {
        let all = self.arrived.lock().expect("no panic");
        let asked =
            |arrived: &&Arrived| arrived.head.split(' ').nth(1).is_some_and(|at| at.starts_with(path));
        all.iter().filter(asked).cloned().collect()
    }
}

fn serve(stream: TcpStream, record: &Mutex<Vec<Arrived>>) {
    let mut reader = BufReader::new(stream);
    while let Some(arrived) = next_request(&mut reader) {
        let path = arrived.head.split(' ').nth(1).unwrap_or("/").to_owned();
        let seen = {
            let mut record = record.lock().expect("no panic");
            record.push(arrived.clone());
            record.iter().filter(|before| before.head.split(' ').nth(1) == Some(&path)).count()
        };
        if !answer(reader.get_mut(), &path, seen, &arrived) {
            break;
        }
    }
    // Dropping it would not do: a second handle on it is kept for `Origin::die`.
    let _ = reader.get_mut().shutdown(Shutdown::Both);
}

/// Answers; returns whether the connection goes on.
fn answer(out: &mut TcpStream, path: &str, seen: usize, arrived: &Arrived) -> bool {
    let ok = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (text, goes_on) = match path.split(['/', '?']).nth(1).unwrap_or("") {
        "close" => return false,
        "close-once" if seen == 1 => return false,
        "close-after" => (ok("last"), false),
        "garbage" => ("\0\0 this is not HTTP\r\n\r\n".to_owned(), false),
        "switch" => ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_owned(), false),
        "cut" => ("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort".to_owned(), false),
        "stall" => {
            std::thread::sleep(Duration::from_secs(20));
            return false;
        }
        "stall-body" => {
            let _ = out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort");
            std::thread::sleep(Duration::from_secs(20));
            return false;
        }
        "hop" => (
            "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            true,
        ),
        "odd" => ("HTTP/1.1 777 Odd\r\nContent-Length: 0\r\n\r\n".to_owned(), true),
        "old" => ("HTTP/1.0 200 OK\r\n\r\nold".to_owned(), false),
        "chunked" => (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n".to_owned(),
            true,
        ),
        "both" => (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"
                .to_owned(),
            true,
        ),
        "trailers" => (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nabcd\r\n0\r\n\
             X-Sum: 4\r\nConnection: close\r\n\r\n"
                .to_owned(),
            true,
        ),
        "empty" => ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), true),
        "slow" => {
            std::thread::sleep(Duration::from_millis(300));
            (ok("slow"), true)
        }
        "length" => (ok(&arrived.body.len().to_string()), true),
        "big" => (ok(&"x".repeat(10_000_000)), true),
        _ => (ok("fine"), true),
    };
    out.write_all(text.as_bytes()).is_ok() && goes_on
}

fn next_request(reader: &mut BufReader<TcpStream>) -> Option<Arrived> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut arrived = Arrived { head, body: Vec::new() };
    if let Some(length) = arrived.header("content-length").first() {
        arrived.body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut arrived.body).ok()?;
    } else if arrived.header("transfer-encoding") == ["chunked"] {
        arrived.body = chunks(reader)?;
    }
    Some(arrived)
}

fn chunks(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}
