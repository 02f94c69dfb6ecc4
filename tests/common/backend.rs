//! A replica whose heartbeats are always good, and whose requests fare as the test says.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};

/// A running one; it ends with the test.
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    name: String,
    /// Status of its responses; 0 for none, the connection is closed.
    status: AtomicU16,
    /// Further lines in the head of its responses.
    lines: Mutex<String>,
    served: AtomicUsize,
    at_once: AtomicUsize,
    most: AtomicUsize,
    held: Mutex<bool>,
    released: Condvar,
    heads: Mutex<Vec<String>>,
}

impl Backend {
    /// One that responds with 200 and `name`.
    pub fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { name: name.to_owned(), status: 200.into(), ..Shared::default() });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&served);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// What it responds with.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// From now on it responds with this status; with 0 it closes the connection instead.
    pub fn respond_with(&self, status: u16) {
        self.shared.status.store(status, SeqCst);
    }

    /// Further lines in the head of its responses, each with its end.
    pub fn add_lines(&self, lines: &str) {
        lines.clone_into(&mut self.shared.lines.lock().expect("no panic"));
    }

    /// Requests wait for [`Backend::release`] from now on.
    pub fn hold(&self) {
        *self.shared.held.lock().expect("no panic") = true;
    }

    /// They get their responses.
    pub fn release(&self) {
        *self.shared.held.lock().expect("no panic") = false;
        self.shared.released.notify_all();
    }

    /// Requests that have come.
    pub fn served(&self) -> usize {
        self.shared.served.load(SeqCst)
    }

    /// Requests that it works on.
    pub fn at_once(&self) -> usize {
        self.shared.at_once.load(SeqCst)
    }

    /// The most that there were of those.
    pub fn most(&self) -> usize {
        self.shared.most.load(SeqCst)
    }

    /// The heads of the requests that have come.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().expect("no panic").clone()
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap_or(0) == 0 {
                    return;
                }
            }
            let status = if head.starts_with("GET /heartbeat ") { 200 } else { self.work(head) };
            if status == 0 {
                return;
            }
            let (name, lines) = (&self.name, self.lines.lock().expect("no panic").clone());
            let response =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{lines}\r\n{name}", name.len());
            if reader.get_mut().write_all(response.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn work(&self, head: String) -> u16 {
        self.heads.lock().expect("no panic").push(head);
        self.served.fetch_add(1, SeqCst);
        self.most.fetch_max(self.at_once.fetch_add(1, SeqCst) + 1, SeqCst);
        let waits = self.held.lock().expect("no panic");
        drop(self.released.wait_while(waits, |held| *held).expect("no panic"));
        self.at_once.fetch_sub(1, SeqCst);
        self.status.load(SeqCst)
    }
}
