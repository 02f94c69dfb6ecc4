//! A replica whose requests the test answers itself, on their sockets: what it takes to play the other
//! end of a tunnel.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::PATIENCE;

/// A replica in the test's own hands: heartbeats are answered at once, any other request is for the
/// test.
pub struct Taken {
    /// Where it listens.
    pub address: String,
    arrived: Receiver<(String, TcpStream)>,
}

/// Starts one; it ends with the test.
pub fn taken_replica() -> Taken {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (tell, arrived) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let tell = tell.clone();
            std::thread::spawn(move || {
                stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                let head = read_head(&stream);
                if head.starts_with("GET /heartbeat") {
                    let well = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                    let _ = (&stream).write_all(well.as_bytes());
                } else if !head.is_empty() {
                    let _ = tell.send((head, stream));
                }
            });
        }
    });
    Taken { address, arrived }
}

impl Taken {
    /// The next request, and the connection it came on.
    pub fn next(&self) -> (String, TcpStream) {
        self.arrived.recv_timeout(PATIENCE).expect("a request reaches the replica")
    }

    /// The same, if one has come already.
    pub fn poll(&self) -> Option<(String, TcpStream)> {
        self.arrived.try_recv().ok()
    }
}

/// Reads a head, to the empty line behind it and no further; what there is if the end comes before.
pub fn read_head(mut stream: &TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// The 101 to the handshake of a WebSocket in this head.
pub fn switch(asked: &str) -> String {
    let key = asked.split("\r\n").find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("a key");
    let proved = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let proof = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, proved.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        BASE64_STANDARD.encode(proof.as_ref())
    )
}
