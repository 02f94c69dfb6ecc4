//! What happens when all connections are in use.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::scrape::Scrape;
use crate::common::taken::taken_replica;
use crate::common::{Balancer, connect, request, wait_until};

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
    let mut clients: Vec<_> = (0..40).map(|_| connect(balancer.public)).collect();
    for client in &mut clients {
        assert!(get(client).starts_with("HTTP/1.1 200 "), "the limit is shared by the workers");
    }
    // As many as there may be, and nobody waits: nobody has to leave.
    for client in &mut clients {
        assert!(get(client).starts_with("HTTP/1.1 200 "), "it is kept");
    }
    assert_eq!(Scrape::of(&balancer).value("ringherd_connections", &[]) as usize, 40);
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

#[test]
fn no_more_connections_are_accepted_than_there_may_be() {
    const LIMIT: usize = 3;
    const CLIENTS: usize = 40;
    let replica = taken_replica();
    // More listeners than places: one that only waits for clients keeps none.
    let args = ["--upstream", &replica.address, "--max-connections", "3", "--workers", "4"];
    let balancer = Balancer::start(&args);
    balancer.wait_until_ready(1);
    let ask = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(balancer.public)).collect();
    for client in &mut clients {
        client.write_all(ask).expect("the kernel takes it");
    }
    let mut waiting: Vec<_> = (0..LIMIT).map(|_| replica.next().1).collect();
    for served in 0..CLIENTS {
        let open = Scrape::of(&balancer).value("ringherd_connections", &[]) as usize;
        assert!(open <= LIMIT, "{open} connections, {served} were served");
        let mut there = waiting.remove(0);
        there.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").expect("it reads");
        drop(there);
        if served + LIMIT < CLIENTS {
            waiting.push(replica.next().1);
        }
    }
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("a response");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}
