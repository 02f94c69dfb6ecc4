//! A replica that answers when the test says so: what it takes to look at requests in flight.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::PATIENCE;

/// A replica in the test's own hands: heartbeats are answered at once, any other request only
/// when the test says so.
pub struct Held {
    /// Where it listens.
    pub address: String,
    /// A request has reached it.
    pub arrived: Receiver<()>,
    /// Lets one request be answered.
    pub release: Sender<()>,
}

/// Starts one; it ends with the test.
pub fn held_replica() -> Held {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (tell, arrived) = channel();
    let (release, released) = channel::<()>();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (tell, released) = (tell.clone(), std::sync::Arc::clone(&released));
            std::thread::spawn(move || {
                let heartbeat = read_head(&stream).starts_with("GET /heartbeat");
                if !heartbeat {
                    let _ = tell.send(());
                    let _ = released.lock().expect("no panic").recv_timeout(PATIENCE);
                }
                let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nheld";
                let _ = (&stream).write_all(answer.as_bytes());
            });
        }
    });
    Held { address, arrived, release }
}

fn read_head(mut stream: &TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}
