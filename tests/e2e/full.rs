//! What happens when all connections are in use.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::{Balancer, PATIENCE, request, wait_until};

fn connect(balancer: &Balancer) -> TcpStream {
    let stream = TcpStream::connect(balancer.public).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// One request on a connection that is kept.
fn get(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /home HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is read");
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).expect("a response");
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[test]
fn idle_connections_make_room_and_the_longest_idle_ones_first() {
    // Longer than anybody here waits: only for want of room does one end.
    let args =
        ["--max-connections", "40", "--workers", "2", "--keep-alive", "10m", "--header-timeout", "10m"];
    let balancer = Balancer::start(&args);
    balancer.wait_until_ready(3);
    let mut clients: Vec<_> = (0..40).map(|_| connect(&balancer)).collect();
    for client in &mut clients {
        assert!(get(client).starts_with("HTTP/1.1 200 "), "the limit is shared by the workers");
    }
    for _ in 0..20 {
        assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
    }
    // Some of the first have ended, and the last one has not.
    let first = wait_until("one makes room", || {
        clients.iter_mut().position(|client| {
            client.set_nonblocking(true).expect("a socket");
            matches!(client.read(&mut [0]), Ok(0))
        })
    });
    assert!(first < 39, "{first}");
    let mut last = clients.pop().expect("one");
    last.set_nonblocking(false).expect("a socket");
    assert!(get(&mut last).starts_with("HTTP/1.1 200 "));
}
