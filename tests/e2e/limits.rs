//! What clients may not do too much of: long targets, large bodies, many requests, many connections.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which are exact")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use rustix::process::Signal;

use crate::common::client::{Answer, raw};
use crate::common::http2::{Client, get, run, until};
use crate::common::origin::Origin;
use crate::common::scrape::Scrape;
use crate::common::taken::taken_replica;
use crate::common::{Balancer, connect, wait_until};

fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the end");
    String::from_utf8(rest).expect("text")
}

fn code(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.header("x-ringherd-error"))
}

fn failures(balancer: &Balancer, reason: &str) -> f64 {
    Scrape::of(balancer).sum("ringherd_request_failures_total", &[("reason", reason)])
}

fn refused(balancer: &Balancer) -> f64 {
    Scrape::of(balancer).value("ringherd_connections_refused_total", &[("reason", "per-client")])
}

#[test]
fn a_target_is_as_long_as_it_may_be() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &["--max-uri", "1000"]);
    let ask = |length: usize| {
        let target = format!("/uri?{}", "x".repeat(length - 5));
        raw(balancer.public, &format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    };
    assert_eq!(ask(1000).status, 200);
    assert_eq!(code(&ask(1001)), (414, Some("head-too-large")));
    assert_eq!(origin.arrived("/uri").len(), 1);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let answer = client.ask(get(&format!("/uri?{}", "x".repeat(996)))).await.expect("an answer");
        assert_eq!((answer.status(), answer.header("x-ringherd-error")), (414, "head-too-large"));
        client.get(&format!("/uri?{}", "x".repeat(995))).await;
    });
}

#[test]
fn an_announced_body_that_is_too_large_reaches_nobody() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &["--max-body", "1KiB"]);
    let post = |length: usize| {
        format!("POST /length HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")
    };
    let most = raw(balancer.public, &format!("{}{}", post(1024), "x".repeat(1024)));
    assert_eq!((most.status, most.body.as_str()), (200, "1024"));
    // Nothing of it has to come before the answer.
    let expecting = post(1025).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(code(&raw(balancer.public, &expecting)), (413, Some("body-too-large")));
    let answer = raw(balancer.public, &format!("{}{}", post(1025), "x".repeat(1025)));
    assert_eq!((code(&answer), answer.header("connection")), ((413, Some("body-too-large")), Some("close")));
    assert_eq!(origin.arrived("/length").len(), 1);
    assert_eq!(failures(&balancer, "body-too-large"), 2.0);
}

#[test]
fn a_body_that_turns_out_too_large_is_cut_and_its_client_told() {
    let replica = taken_replica();
    let balancer = Balancer::start(&["--upstream", &replica.address, "--max-body", "1000B"]);
    balancer.wait_until_ready(1);
    let mut client = connect(balancer.public);
    client
        .write_all(b"POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n")
        .expect("it reads");
    client.write_all(&[b'x'; 1000]).expect("it reads");
    client.write_all(b"\r\n").expect("it reads");
    let (head, mut stream) = replica.next();
    assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
    client.write_all(b"1\r\ny\r\n0\r\n\r\n").expect("it reads");
    let answer = rest(&mut client);
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close"), "{answer}");
    let mut body = String::new();
    // Reset or closed: it has come to an end that is none of a body.
    let _ = stream.read_to_string(&mut body);
    assert!(body.contains(&"x".repeat(1000)) && !body.contains('y') && !body.contains("0\r\n\r\n"), "{body}");
    assert_eq!(failures(&balancer, "body-too-large"), 1.0);
    let failed = Scrape::of(&balancer).value("ringherd_replica_failures_total", &[("number", "1")]);
    assert_eq!(failed, 0.0, "it is not the replica's fault");
}

#[test]
fn a_response_under_way_breaks_off_when_the_body_turns_out_too_large() {
    let replica = taken_replica();
    let balancer = Balancer::start(&["--upstream", &replica.address, "--max-body", "1000B"]);
    balancer.wait_until_ready(1);
    let mut client = connect(balancer.public);
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").expect("it reads");
    let (_, mut stream) = replica.next();
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").expect("it reads");
    let mut begun = Vec::new();
    wait_until("the response begins", || {
        let mut part = [0; 512];
        let read = client.read(&mut part).expect("it is sent");
        begun.extend_from_slice(&part[..read]);
        begun.ends_with(b"abc").then_some(())
    });
    client.write_all(format!("400\r\n{}\r\n", "x".repeat(1024)).as_bytes()).expect("it reads");
    let mut more = Vec::new();
    let _ = client.read_to_end(&mut more);
    assert!(more.is_empty(), "{more:?}");
    wait_until("it is counted", || (failures(&balancer, "body-too-large") == 1.0).then_some(()));
    assert_eq!(failures(&balancer, "response-cut"), 0.0);
}

#[test]
fn a_stream_with_too_large_a_body_ends_and_the_others_go_on() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &["--max-body", "1KiB"]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let (mut body, response) = client.begin(get_post("/length"), true).await.expect("it begins");
        body.send_data(Bytes::from(vec![b'x'; 1025]), false).expect("it is sent");
        let response = response.await.expect("an answer");
        assert_eq!(response.status(), 413);
        assert_eq!(response.headers()["x-ringherd-error"], "body-too-large");
        client.get("/other").await;
        let answer = client.post("/length", Bytes::from(vec![b'x'; 1024])).await.expect("an answer");
        assert_eq!((answer.status(), &*answer.body), (200, &b"1024"[..]));
    });
    assert_eq!(origin.arrived("/length").len(), 1, "and the replica has no part for the whole");
}

fn get_post(path: &str) -> http::Request<()> {
    let mut request = get(path);
    *request.method_mut() = http::Method::POST;
    request
}

#[test]
fn the_last_request_of_a_connection_says_so() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &["--max-requests-per-connection", "2"]);
    let mut client = connect(balancer.public);
    // More than it may have, all at once.
    let requests = (1..=4).map(|number| format!("GET /last/{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client.write_all(requests.collect::<Vec<_>>().concat().as_bytes()).expect("it reads");
    let answers = rest(&mut client);
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    let (first, second) = answers.split_once("fine").expect("two answers");
    assert!(!first.contains("connection: close") && second.contains("connection: close"), "{answers}");
    assert_eq!(origin.arrived("/last").len(), 2);
    run(async {
        let (client, ending) = Client::connect(balancer.public).await;
        for path in ["/h2/1", "/h2/2"] {
            client.get(path).await;
        }
        client.until_refused().await;
        ending.await.expect("no panic").expect("an orderly end");
    });
}

#[test]
fn a_client_has_so_many_connections_over_all_workers() {
    let origin = Origin::start();
    let args = ["--max-connections-per-client", "3", "--workers", "2"];
    let balancer = Balancer::before(&origin, &args);
    let ask = |stream: &mut TcpStream| {
        // It may be closed before.
        let _ = stream.write_all(b"GET /place HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut answer = [0; 512];
        stream.read(&mut answer).ok().filter(|read| *read > 0)
    };
    let mut kept: Vec<_> = (0..3).map(|_| connect(balancer.public)).collect();
    assert!(kept.iter_mut().all(|stream| ask(stream).is_some()));
    for number in 1..=10 {
        assert_eq!(ask(&mut connect(balancer.public)), None, "{number}");
    }
    wait_until("they are counted", || (refused(&balancer) == 10.0).then_some(()));
    assert!(kept.iter_mut().all(|stream| ask(stream).is_some()), "those that are there are left alone");
    kept.pop();
    let again = wait_until("its place is free again", || {
        let mut stream = connect(balancer.public);
        ask(&mut stream).map(|_| stream)
    });
    drop(again);
}

#[test]
fn connections_of_a_trusted_proxy_are_those_of_many() {
    let origin = Origin::start();
    let balancer =
        Balancer::before(&origin, &["--max-connections-per-client", "1", "--trusted-proxies", "127.0.0.1"]);
    let mut streams: Vec<_> = (0..5).map(|_| connect(balancer.public)).collect();
    for stream in &mut streams {
        stream.write_all(b"GET /p HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it reads");
        assert!(rest(stream).starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(refused(&balancer), 0.0);
}

/// Asks with these fields; the status.
fn ask(balancer: &Balancer, fields: &str) -> Answer {
    raw(balancer.public, &format!("GET /rate HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"))
}

#[test]
fn a_client_makes_so_many_requests() {
    let origin = Origin::start();
    let mut balancer = Balancer::before(
        &origin,
        &["--rate-limit", "1/h burst 3", "--trusted-proxies", "127.0.0.1", "--workers", "2"],
    );
    let of = |client: &str| ask(&balancer, &format!("X-Forwarded-For: {client}\r\n"));
    for number in 0..6 {
        assert_eq!(of("9.9.9.9").status, if number < 3 { 200 } else { 429 }, "{number}");
    }
    let answer = of("9.9.9.9");
    assert_eq!(code(&answer), (429, Some("rate-limited")));
    let after: u64 = answer.header("retry-after").expect("it says when").parse().expect("seconds");
    assert!((3500..=3601).contains(&after), "{after}");
    assert_eq!(of("9.9.9.8").status, 200, "another client");
    // A network of IPv6 is one client.
    let v6: Vec<_> = (1..=4).map(|host| of(&format!("2001:db8::{host}")).status).collect();
    assert_eq!(v6, [200, 200, 200, 429]);
    assert_eq!(of("2001:db8:0:1::1").status, 200);
    assert_eq!(failures(&balancer, "rate-limited"), 5.0);
    assert_eq!(origin.arrived("/rate").len(), 8);
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("configuration reloaded");
    assert_eq!(ask(&balancer, "X-Forwarded-For: 9.9.9.9\r\n").status, 429, "a reload forgets nothing");
}

#[test]
fn requests_are_counted_by_a_header_and_without_it_by_address() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &["--rate-limit", "1/h", "--rate-limit-by", "header:X-Api-Key"]);
    let statuses: Vec<_> = ["x-api-key: a\r\n", "x-api-key: b\r\n", "X-Api-Key: a\r\n", "", "x-api-key:\r\n"]
        .map(|fields| ask(&balancer, fields).status)
        .into();
    assert_eq!(statuses, [200, 200, 429, 200, 429]);
}

#[test]
fn a_rate_limit_begins_and_ends_with_a_reload() {
    let origin = Origin::start();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("rate-limit.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    write("");
    let mut balancer = Balancer::before(&origin, &["--config", file.to_str().expect("text")]);
    let mut reload = |text: &str, expected: u16| {
        write(text);
        balancer.signal(Signal::HUP);
        balancer.wait_for_log("configuration reloaded");
        wait_until("the workers have it", || (ask(&balancer, "").status == expected).then_some(()));
    };
    reload("[limits]\nrate-limit = \"1/h\"\n", 429);
    // What the slow one left is not for this one.
    reload("[limits]\nrate-limit = \"1000/s\"\n", 200);
    reload("[limits]\nrate-limit = \"1/h\"\n", 429);
    reload("[limits]\nrate-limit = \"off\"\n", 200);
}

#[test]
fn silent_clients_of_tls_make_room() {
    let args = [
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-self-signed",
        "--max-connections",
        "8",
        "--tls-handshake-timeout",
        "5m",
        "--workers",
        "1",
    ];
    let mut balancer = Balancer::start(&args);
    balancer.wait_until_ready(3);
    let event = balancer.find_log("it listens for TLS", |event| event["message"] == "listening for TLS");
    let address: SocketAddr = event["address"].as_str().expect("an address").parse().expect("an address");
    let silent: Vec<_> = (0..8).map(|_| connect(address)).collect();
    for number in 0..10 {
        let answer = raw(balancer.public, "GET /home HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(answer.status, 200, "{number}");
    }
    run(until("some have been closed", || {
        silent.iter().find_map(|stream| {
            stream.set_nonblocking(true).expect("a socket");
            matches!((&*stream).read(&mut [0]), Ok(0)).then_some(())
        })
    }));
}
