//! Responses that are complete before their requests are, and clients that send all before they read.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use crate::common::{Balancer, PATIENCE};

/// Far more than sockets hold.
const UPLOAD: usize = 10_000_000;

/// A server that refuses each upload at its head, then throws the rest away. It answers heartbeats.
fn strict_origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                let read = stream.read(&mut head).unwrap_or(0);
                let response: &[u8] = if head[..read].starts_with(b"GET /heartbeat") {
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                } else {
                    b"HTTP/1.1 413 Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntoo big"
                };
                let _ = stream.write_all(response);
                let _ = stream.shutdown(Shutdown::Write);
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
    });
    address
}

/// Sends a whole upload, then reads what came; the beginning of it.
fn upload(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {UPLOAD}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it is read");
    let chunk = vec![b'x'; UPLOAD / 100];
    for _ in 0..100 {
        stream.write_all(&chunk).expect("it is read to the end");
    }
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response, and no reset");
    response
}

#[test]
fn a_replicas_early_refusal_reaches_a_client_that_is_still_sending() {
    let origin = strict_origin().to_string();
    let balancer = Balancer::start(&["--upstream", &origin]);
    balancer.wait_until_ready(1);
    for _ in 0..3 {
        let response = upload(balancer.public, "/up");
        assert!(response.starts_with("HTTP/1.1 413 ") && response.ends_with("too big"), "{response}");
    }
}

#[test]
fn our_own_refusals_reach_it_too() {
    let balancer = Balancer::start(&["--replicas", "0"]);
    for _ in 0..3 {
        let response = upload(balancer.public, "/up");
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
        for address in [balancer.public, balancer.admin] {
            let response = upload(address, "/add");
            assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
        }
    }
}

#[test]
fn what_is_no_request_is_answered_all_the_same() {
    let balancer = Balancer::start(&["--replicas", "0"]);
    let mut stream = TcpStream::connect(balancer.public).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let field = format!("X-Long: {}\r\n", "y".repeat(8000));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").expect("it is read");
    for _ in 0..200 {
        stream.write_all(field.as_bytes()).expect("it is read to the end");
    }
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response, and no reset");
    assert!(response.starts_with("HTTP/1.1 431 "), "{response}");
}
