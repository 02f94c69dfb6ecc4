//! What happens to a request on its way, and what becomes of it when its replica fails.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::common::client::{Answer, raw};
use crate::common::origin::Origin;
use crate::common::{Balancer, PATIENCE, request};

/// A balancer in front of one origin, with time-outs that end soon.
fn pair() -> (Origin, Balancer) {
    let origin = Origin::start();
    let upstream = origin.address.to_string();
    let balancer = Balancer::start(&[
        "--upstream",
        &upstream,
        "--response-timeout",
        "2s",
        "--body-timeout",
        "1s",
        "--header-timeout",
        "1s",
        "--keep-alive",
        "100ms",
    ]);
    balancer.wait_until_ready(1);
    (origin, balancer)
}

fn reason(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.header("x-ringherd-error").unwrap_or(""))
}

fn post(balancer: &Balancer, path: &str) -> Answer {
    request(balancer.public, "POST", path, Some("hello"))
}

#[test]
fn a_get_is_repeated_once_and_a_post_never() {
    let (origin, balancer) = pair();
    let get = request(balancer.public, "GET", "/close-once/get", None);
    assert_eq!((get.status, get.body.as_str()), (200, "fine"));
    assert_eq!(origin.arrived("/close-once/get").len(), 2);
    assert_eq!(reason(&post(&balancer, "/close-once/post")), (502, "upstream-closed"));
    assert_eq!(origin.arrived("/close-once/post").len(), 1);
    assert_eq!(reason(&request(balancer.public, "GET", "/close/x", None)), (502, "upstream-closed"));
    assert_eq!(origin.arrived("/close/x").len(), 2);
}

#[test]
fn a_connection_that_went_stale_costs_nobody_anything() {
    let (origin, balancer) = pair();
    for round in 0..20 {
        // The origin closes each connection after its answer without a word.
        let path = format!("/close-after/{round}");
        for answer in [request(balancer.public, "GET", &path, None), post(&balancer, &path)] {
            // A POST that met the end of its connection is not repeated; whatever else happens, it
            // does not arrive twice.
            assert!(answer.status == 200 || reason(&answer) == (502, "upstream-closed"), "{answer:?}");
        }
        let posts = origin.arrived(&path).iter().filter(|arrived| arrived.head.starts_with("POST")).count();
        assert!(posts <= 1, "{posts} times");
        assert_eq!(request(balancer.public, "GET", "/after", None).status, 200);
    }
}

#[test]
fn failures_of_the_replica_are_told_apart() {
    let (origin, balancer) = pair();
    for (path, expected) in [
        ("/garbage", (502, "bad-response")),
        ("/switch", (502, "bad-response")),
        ("/stall", (504, "response-timeout")),
    ] {
        assert_eq!(reason(&request(balancer.public, "GET", path, None)), expected, "{path}");
        assert_eq!(origin.arrived(path).len(), 1, "{path} is not repeated");
    }
}

/// An answer that breaks off must not look whole.
#[test]
fn an_answer_cut_short_is_cut_short_for_the_client() {
    let (_origin, balancer) = pair();
    for path in ["/cut", "/stall-body"] {
        let answer = request(balancer.public, "GET", path, None);
        assert_eq!((answer.status, answer.body.as_str()), (200, "short"));
        assert_eq!(
            answer.header("content-length"),
            Some("1000"),
            "the client knows that there should be more"
        );
    }
}

#[test]
fn a_client_that_stops_is_not_waited_for() {
    let (origin, balancer) = pair();
    let half = "POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello";
    assert_eq!(reason(&raw(balancer.public, half)), (408, "client-timeout"));
    assert_eq!(origin.arrived("/half").len(), 0, "half a body is no request");
    for beginning in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\nX: "] {
        let mut stream = TcpStream::connect(balancer.public).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(beginning.as_bytes()).expect("it reads");
        let mut said = Vec::new();
        assert!(stream.read_to_end(&mut said).is_ok(), "the connection is closed after {beginning:?}");
    }
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let (_origin, balancer) = pair();
    for (path, body) in [("/a", "fine"), ("/slow", "slow")] {
        let mut stream = TcpStream::connect(balancer.public).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).expect("it reads");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("an answer and, after some idleness, the end");
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with(body), "{said}");
    }
}

#[test]
fn the_next_replica_takes_what_a_dead_one_refuses() {
    let (dead, alive) = (TcpListener::bind("127.0.0.1:0").expect("a port"), Origin::start());
    let upstreams = [dead.local_addr().expect("an address").to_string(), alive.address.to_string()];
    // Heartbeats that come too late to help: the requests find out for themselves.
    let balancer = Balancer::start_with(
        &["--upstream", &upstreams[0], "--upstream", &upstreams[1], "--health-interval", "1h"],
        |_| {
            // It answers the one heartbeat that lets it in.
            std::thread::spawn(move || {
                let (mut stream, _) = dead.accept().expect("a heartbeat");
                let _ = stream.read(&mut [0; 1024]);
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            });
        },
    );
    balancer.wait_until_ready(2);
    for round in 0..20 {
        let (get, post) = (format!("/get/{round}"), format!("/post/{round}"));
        assert_eq!(request(balancer.public, "GET", &get, None).status, 200);
        assert_eq!(request(balancer.public, "POST", &post, Some("hello")).status, 200);
        assert_eq!((alive.arrived(&get).len(), alive.arrived(&post).len()), (1, 1));
    }
}

#[test]
fn what_concerns_one_connection_stays_there() {
    let (origin, balancer) = pair();
    let answer = raw(
        balancer.public,
        "GET /hop HTTP/1.1\r\nHost: a.example\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nTE: gzip\r\n\
         Upgrade: h2c\r\nKeep-Alive: 5\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nVia: 1.0 fred\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    assert_eq!((answer.header("x-hop"), answer.header("keep-alive")), (None, None));
    assert_eq!(answer.header("x-end"), Some("2"));
    let arrived = &origin.arrived("/hop")[0];
    for gone in ["x-secret", "te", "upgrade", "keep-alive"] {
        assert_eq!(arrived.header(gone), [""; 0], "{gone}");
    }
    assert_eq!(arrived.header("x-forwarded-for"), ["127.0.0.1"], "what the client claims is replaced");
    assert_eq!(arrived.header("x-forwarded-proto"), ["http"]);
    assert_eq!(arrived.header("x-forwarded-host"), ["a.example"]);
    let via = arrived.header("via")[0];
    assert!(via.starts_with("1.0 fred, 1.1 ringherd-"), "{via}");
    assert_eq!(arrived.header("x-request-id")[0].len(), 16);
}

#[test]
fn bodies_arrive_whole_both_ways() {
    let (origin, balancer) = pair();
    assert_eq!(request(balancer.public, "GET", "/big", None).body.len(), 10_000_000);
    let sent = "z".repeat(3_000_000);
    assert_eq!(request(balancer.public, "POST", "/length", Some(&sent)).body, "3000000");
    assert_eq!(origin.arrived("/length")[0].body, sent.as_bytes());
    let chunked = "POST /length/c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    assert_eq!(raw(balancer.public, chunked).body, "11");
    assert_eq!(origin.arrived("/length/c")[0].body, b"hello world");
    let chunked = request(balancer.public, "GET", "/chunked", None);
    assert_eq!(chunked.header("transfer-encoding"), Some("chunked"));
    assert!(chunked.body.contains("abcd") && chunked.body.contains("efg"), "{chunked:?}");
    assert!(request(balancer.public, "GET", "/old", None).body.contains("old"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (origin, balancer) = pair();
    let get = |path: String, close| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{close}\r\n");
    let mut requests: String = (0..9).map(|number| get(format!("/p/{number}"), "")).collect();
    requests += &get("/hop".to_owned(), "Connection: close\r\n");
    let first = raw(balancer.public, &requests);
    assert_eq!(first.body.matches("HTTP/1.1 200").count(), 9, "nine more follow the first: {first:?}");
    let order: Vec<_> =
        origin.arrived("/p/").iter().map(|a| a.head.split(' ').nth(1).map(str::to_owned)).collect();
    assert_eq!(order, (0..9).map(|number| Some(format!("/p/{number}"))).collect::<Vec<_>>());
}

/// The size of a chunked body is known only at its end.
#[test]
fn a_connection_is_used_again_after_a_body_in_chunks() {
    let (origin, balancer) = pair();
    // One worker's connections, one request after the other, heartbeats apart.
    let mut requests = "GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n".repeat(19);
    requests += "GET /chunked HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let before = origin.connections();
    raw(balancer.public, &requests);
    assert_eq!(origin.arrived("/chunked").len(), 20);
    let heartbeats = origin.arrived("/heartbeat").len();
    let opened = origin.connections() - before;
    assert!(opened <= 1 + heartbeats, "{opened} connections for 20 requests, {heartbeats} heartbeats");
}

#[test]
fn an_answer_with_two_lengths_is_that_of_its_chunks() {
    let (_origin, balancer) = pair();
    let answer = request(balancer.public, "GET", "/both", None);
    assert_eq!((answer.status, answer.header("content-length")), (200, None));
    assert!(answer.body.contains("0123456789"), "{answer:?}");
}

#[test]
fn a_length_that_cannot_be_is_refused_at_once() {
    let (_origin, balancer) = pair();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n";
    assert_eq!(reason(&raw(balancer.public, head)), (413, "body-too-large"));
}
