//! What is no request, or hardly one: how it is answered, counted and logged.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::common::origin::Origin;
use crate::common::scrape::Scrape;
use crate::common::{Balancer, PATIENCE, wait_until};

/// Sends these bytes; all that comes back until the connection ends.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(bytes).expect("it is read");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an end in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_the_parser_refuses_is_answered_counted_and_logged() {
    let log = std::env::temp_dir().join(format!("ringherd-refusals-{}", std::process::id()));
    let balancer = Balancer::start(&["--replicas", "0", "--access-log", log.to_str().expect("UTF-8")]);
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    let endless = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(66_000));
    let cases = [
        (b"\x16\x03\x01\x02\x00\x01\x00".to_vec(), "400", "not-http"),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), "400", "not-http"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n".to_vec(), "400", "not-http"),
        (large.into_bytes(), "431", "head-too-large"),
        (endless.into_bytes(), "431", "head-too-large"),
    ];
    for (bytes, status, reason) in &cases {
        let answer = exchange(balancer.public, bytes);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(&format!("x-ringherd-error: {reason}\r\n")), "{answer}");
        let body = answer.split_once("\r\n\r\n").expect("a head").1;
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["status"], "failure", "{answer}");
        assert!(answer.contains("\r\ndate: ") && answer.contains("connection: close\r\n"), "{answer}");
    }
    // Behind a good request on the same connection too.
    let answer = exchange(balancer.public, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGARBAGE\r\n\r\n");
    assert_eq!(answer.matches("HTTP/1.1 503 ").count(), 1, "{answer}");
    let scrape = Scrape::when(&balancer, "all are counted", |scrape| {
        scrape.sum("ringherd_request_failures_total", &[("reason", "not-http")]) >= 3.0
    });
    assert_eq!(scrape.sum("ringherd_request_failures_total", &[("reason", "head-too-large")]) as u32, 2);
    let lines = wait_until("all are logged", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        (text.lines().count() >= cases.len()).then_some(text)
    });
    let logged = |reason: &str| lines.lines().filter(|line| line.contains(reason)).count();
    assert!(logged("\"not-http\"") >= 3 && logged("\"head-too-large\"") == 2, "{lines}");
    let _ = fs::remove_file(&log);
}

#[test]
fn what_others_pass_on_in_a_target_is_passed_on_encoded() {
    let origin = Origin::start();
    let upstream = origin.address.to_string();
    let balancer = Balancer::start(&["--upstream", &upstream]);
    balancer.wait_until_ready(1);
    let mut stream = TcpStream::connect(balancer.public).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    // One after another on one connection, the last one in pieces.
    for (number, target) in ["?query=up{job=\"node\"}", "?q=a<b", "<b>", "?a|b^c`d\\e"].iter().enumerate() {
        let request = format!("GET /target/{number}{target} HTTP/1.1\r\nHost: a\r\nCookie: a=\"b\"\r\n\r\n");
        for piece in request.as_bytes().chunks(if number == 3 { 5 } else { 4096 }) {
            stream.write_all(piece).expect("it is read");
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"fine") {
            let mut byte = [0];
            let read = stream.read_exact(&mut byte);
            assert!(read.is_ok(), "{number}: {read:?} after {:?}", String::from_utf8_lossy(&answer));
            answer.push(byte[0]);
        }
        let arrived = &origin.arrived(&format!("/target/{number}"))[0];
        assert_eq!(arrived.header("cookie"), ["a=\"b\""]);
    }
    let targets: Vec<_> = (0..4)
        .map(|number| {
            let head = &origin.arrived(&format!("/target/{number}"))[0].head;
            head.split(' ').nth(1).expect("a target").to_owned()
        })
        .collect();
    assert_eq!(
        targets,
        [
            "/target/0?query=up%7Bjob=%22node%22%7D",
            "/target/1?q=a%3Cb",
            "/target/2%3Cb%3E",
            "/target/3?a%7Cb%5Ec%60d%5Ce"
        ]
    );
}

#[test]
fn a_body_that_looks_like_a_request_is_a_body() {
    let origin = Origin::start();
    let upstream = origin.address.to_string();
    let balancer = Balancer::start(&["--upstream", &upstream]);
    balancer.wait_until_ready(1);
    let inner = "DELETE /inner HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = format!("GET /{} {inner}", "\"".repeat(inner.len() / 2));
    let head = format!(
        "POST /outer HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // The head of the second request comes with the first one, and its body alone.
    let mut stream = TcpStream::connect(balancer.public).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(format!("GET /first HTTP/1.1\r\nHost: a\r\n\r\n{head}").as_bytes()).expect("it is read");
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).expect("the first response");
    assert!(answer[..read].starts_with(b"HTTP/1.1 200 "));
    stream.write_all(body.as_bytes()).expect("it is read");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the second response");
    assert_eq!(origin.arrived("/outer")[0].body, body.as_bytes());
    assert!(origin.arrived("/inner").is_empty(), "{rest}");
}
