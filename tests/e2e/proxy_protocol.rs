//! The PROXY protocol: from load balancers in front, and to replicas.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which are exact")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use ringherd::listen::proxy_protocol::{Header, Parsed, Version, parse};

use crate::common::client::{Answer, parse as parse_answer};
use crate::common::http2::{Client, run};
use crate::common::origin::Origin;
use crate::common::scrape::Scrape;
use crate::common::tls::{Pair, TlsClient, exchange};
use crate::common::{Balancer, connect, wait_until};

const GET: &str = "GET /proxied HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Sends bytes, and reads to the end; nothing where the connection is closed without an answer.
fn send(address: SocketAddr, parts: &[&[u8]]) -> Option<Answer> {
    let mut stream = connect(address);
    for part in parts {
        // It may be closed before.
        if stream.write_all(part).is_err() {
            break;
        }
        if parts.len() > 1 {
            std::thread::yield_now();
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (!answer.is_empty()).then(|| parse_answer(&String::from_utf8(answer).expect("text")))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn header(source: &str) -> Header {
    Header::of(source.parse().expect("an address"), "198.51.100.1:443".parse().expect("an address"))
}

fn refused(balancer: &Balancer) -> f64 {
    Scrape::of(balancer).value("ringherd_connections_refused_total", &[("reason", "proxy-protocol")])
}

#[test]
fn the_client_that_is_told_is_the_client() {
    let origin = Origin::start();
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("proxy-protocol.log");
    let _ = std::fs::remove_file(&log);
    let balancer = Balancer::before(
        &origin,
        &["--proxy-protocol", "127.0.0.0/8", "--access-log", log.to_str().expect("text")],
    );
    let claim = "GET /proxied HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
    let mut expected = Vec::new();
    for (version, source, told) in [
        (Version::V1, "203.0.113.7:1234", "203.0.113.7"),
        (Version::V2, "203.0.113.8:1234", "203.0.113.8"),
        (Version::V1, "[2001:db8::1]:1", "2001:db8::1"),
        (Version::V2, "[2001:db8::2]:1", "2001:db8::2"),
    ] {
        let bytes = header(source).encode(version);
        let whole = [&bytes, claim.as_bytes()].concat();
        assert_eq!(send(balancer.public, &[&whole]).expect("an answer").status, 200, "{source}");
        // Byte by byte, and the rest behind it.
        let single: Vec<_> = whole.chunks(1).collect();
        assert_eq!(send(balancer.public, &single).expect("an answer").status, 200, "{source}");
        expected.extend([told, told]);
    }
    let told: Vec<_> =
        origin.arrived("/proxied").iter().map(|arrived| arrived.header("x-forwarded-for").concat()).collect();
    assert_eq!(told, expected, "what a client says itself is not taken");
    wait_until("all are logged", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let clients: Vec<_> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .map(|line| line["client"].as_str().unwrap_or_default().to_owned())
            .collect();
        (clients == expected).then_some(())
    });
}

#[test]
fn connections_of_the_load_balancer_itself_have_its_address() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &["--proxy-protocol", "127.0.0.1"]);
    for version in [Version::V1, Version::V2] {
        let bytes = [Header::local().encode(version).as_slice(), GET.as_bytes()].concat();
        assert_eq!(send(balancer.public, &[&bytes]).expect("an answer").status, 200);
    }
    let arrived = origin.arrived("/proxied");
    assert_eq!(arrived.len(), 2);
    assert!(arrived.iter().all(|arrived| arrived.header("x-forwarded-for") == ["127.0.0.1"]));
    // Nobody is told on the way that somebody only looked.
    drop(connect(balancer.public));
    assert_eq!(refused(&balancer), 0.0);
}

#[test]
fn what_does_not_begin_with_a_header_is_closed_and_counted() {
    let origin = Origin::start();
    let mut balancer =
        Balancer::before(&origin, &["--proxy-protocol", "127.0.0.1", "--header-timeout", "200ms"]);
    let v2 = header("203.0.113.7:1").encode(Version::V2);
    let bad: [&[u8]; 6] = [
        GET.as_bytes(),
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY UNKNOWN ",
        &[&v2[..12], b"\x31\x11\0\x0c"].concat(),
        &v2[..20],
        &[&v2[..14], b"\xff\xff"].concat(),
    ];
    for bytes in bad {
        assert_eq!(send(balancer.public, &[bytes]), None, "{bytes:?}");
    }
    assert!(origin.arrived("/").iter().all(|arrived| arrived.head.contains("/heartbeat")));
    wait_until("all are counted", || (refused(&balancer) == 6.0).then_some(()));
    let event = balancer.find_log("it says so", |event| {
        event["refused"].as_str().is_some_and(|why| why.contains("--proxy-protocol"))
    });
    assert_eq!(event["level"], "WARN");
    // One that ends in its middle.
    let mut stream = connect(balancer.public);
    stream.write_all(b"PROXY TCP4 1.2").expect("it reads");
    stream.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    wait_until("it is counted", || (refused(&balancer) == 7.0).then_some(()));
}

#[test]
fn from_anybody_else_a_header_is_no_request() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &["--proxy-protocol", "10.0.0.0/8"]);
    for version in [Version::V1, Version::V2] {
        let bytes = [header("203.0.113.7:1").encode(version).as_slice(), GET.as_bytes()].concat();
        let answer = send(balancer.public, &[&bytes]).expect("an answer");
        assert_eq!((answer.status, answer.header("x-ringherd-error")), (400, Some("not-http")));
        assert!(answer.body.contains("--proxy-protocol"), "{answer:?}");
    }
    assert_eq!(refused(&balancer), 2.0);
    assert_eq!(send(balancer.public, &[GET.as_bytes()]).expect("an answer").status, 200);
    assert_eq!(origin.arrived("/proxied").len(), 1);
}

#[test]
fn limits_are_those_of_the_client_that_is_told() {
    let origin = Origin::start();
    let args =
        ["--proxy-protocol", "127.0.0.1", "--max-connections-per-client", "1", "--rate-limit", "1/h burst 2"];
    let balancer = Balancer::before(&origin, &args);
    let open = |source: &str| {
        let mut stream = connect(balancer.public);
        let keeps = GET.replace("Connection: close\r\n", "");
        let _ = stream.write_all(&[&header(source).encode(Version::V2), keeps.as_bytes()].concat());
        let mut answer = [0; 512];
        let read = stream.read(&mut answer).unwrap_or(0);
        (stream, String::from_utf8_lossy(&answer[..read.min(12)]).into_owned())
    };
    let (_one, answer) = open("203.0.113.1:1");
    assert_eq!(answer, "HTTP/1.1 200");
    assert_eq!(open("203.0.113.1:2").1, "");
    let (two, answer) = open("203.0.113.2:1");
    assert_eq!(answer, "HTTP/1.1 200");
    drop(two);
    let answers: Vec<_> = (0..2)
        .map(|_| {
            wait_until("its place is free", || {
                let answer = open("203.0.113.2:2").1;
                (!answer.is_empty()).then_some(answer)
            })
        })
        .collect();
    assert_eq!(answers, ["HTTP/1.1 200", "HTTP/1.1 429"]);
}

#[test]
fn the_header_comes_before_tls_and_before_http2() {
    let origin = Origin::start();
    let upstream = origin.address.to_string();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("proxy-protocol-tls");
    std::fs::create_dir_all(&folder).expect("a folder");
    let pair = Pair::write(&folder, "a", &["a"], 30);
    let client = TlsClient::trusting([&pair.der]);
    let args = [
        "--upstream",
        &upstream,
        "--proxy-protocol",
        "127.0.0.1",
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-certificate",
        text(&pair.cert),
        "--tls-key",
        text(&pair.key),
    ];
    let mut balancer = Balancer::start(&args);
    balancer.wait_until_ready(1);
    let event = balancer.find_log("it listens for TLS", |event| event["message"] == "listening for TLS");
    let address: SocketAddr = event["address"].as_str().expect("an address").parse().expect("an address");
    for (version, told) in [(Version::V1, "203.0.113.1"), (Version::V2, "203.0.113.2")] {
        let mut tcp = connect(address);
        tcp.write_all(&header(&format!("{told}:1")).encode(version)).expect("it reads");
        let answer = exchange(&mut client.over(tcp, "a").expect("a session"), GET);
        assert_eq!(answer.status, 200);
        let arrived = origin.arrived("/proxied").pop().expect("one");
        assert_eq!(arrived.header("x-forwarded-for"), [told]);
        assert_eq!(arrived.header("x-forwarded-proto"), ["https"]);
    }
    run(async {
        let mut tcp = tokio::net::TcpStream::connect(balancer.public).await.expect("it listens");
        let bytes = header("203.0.113.3:1").encode(Version::V1);
        tokio::io::AsyncWriteExt::write_all(&mut tcp, &bytes).await.expect("it reads");
        let (client, _) = Client::over(tcp).await;
        client.get("/h2").await;
    });
    assert_eq!(origin.arrived("/h2")[0].header("x-forwarded-for"), ["203.0.113.3"]);
}

#[test]
fn silent_connections_of_the_load_balancer_make_room() {
    // A worker closes idle connections of its own only, and with several it may have none of the eight.
    let args = [
        "--proxy-protocol",
        "127.0.0.1",
        "--max-connections",
        "8",
        "--header-timeout",
        "5m",
        "--workers",
        "1",
    ];
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &args);
    let _silent: Vec<_> = (0..8).map(|_| connect(balancer.public)).collect();
    let bytes = [header("203.0.113.7:1").encode(Version::V1).as_slice(), GET.as_bytes()].concat();
    for _ in 0..5 {
        assert_eq!(send(balancer.public, &[&bytes]).expect("an answer").status, 200);
    }
}

/// A server that wants the PROXY protocol: what it is told of each connection, and its request.
fn proxied_replica() -> (SocketAddr, Receiver<(Header, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let tell = tell.clone();
            std::thread::spawn(move || serve_proxied(stream, &tell));
        }
    });
    (address, told)
}

fn serve_proxied(mut stream: TcpStream, tell: &std::sync::mpsc::Sender<(Header, String)>) {
    let mut bytes = Vec::new();
    let mut byte = [0];
    let header = loop {
        match parse(&bytes) {
            Ok(Parsed::Header(header, _)) => break header,
            Ok(Parsed::Missing(_)) if stream.read(&mut byte).is_ok_and(|read| read == 1) => {
                bytes.push(byte[0]);
            }
            _ => return,
        }
    };
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if !stream.read(&mut byte).is_ok_and(|read| read == 1) {
                return;
            }
            head.push(byte[0]);
        }
        let _ = tell.send((header, String::from_utf8_lossy(&head).into_owned()));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

#[test]
fn replicas_are_told_too_and_no_connection_serves_two_clients() {
    for (name, version) in [("v1", Version::V1), ("v2", Version::V2)] {
        let (address, told) = proxied_replica();
        let upstream = address.to_string();
        let balancer = Balancer::start(&[
            "--upstream",
            &upstream,
            "--upstream-proxy-protocol",
            name,
            "--proxy-protocol",
            "127.0.0.1",
        ]);
        balancer.wait_until_ready(1);
        for source in ["203.0.113.1:1111", "203.0.113.2:2222", "203.0.113.1:1111"] {
            let bytes = [header(source).encode(version).as_slice(), GET.as_bytes()].concat();
            assert_eq!(send(balancer.public, &[&bytes]).expect("an answer").status, 200);
        }
        let all: Vec<_> = told.try_iter().collect();
        let heartbeats: Vec<_> =
            all.iter().filter(|(_, request)| request.starts_with("GET /heartbeat")).collect();
        assert!(!heartbeats.is_empty() && heartbeats.iter().all(|(told, _)| *told == Header::local()));
        let requests: Vec<_> = all
            .iter()
            .filter(|(_, request)| request.starts_with("GET /proxied"))
            .map(|(told, _)| *told)
            .collect();
        let expected = ["203.0.113.1:1111", "203.0.113.2:2222", "203.0.113.1:1111"].map(header);
        assert_eq!(requests, expected);
    }
}

#[test]
fn without_anybody_in_front_replicas_are_told_the_two_ends_of_the_socket() {
    let (address, told) = proxied_replica();
    let upstream = address.to_string();
    let balancer = Balancer::start(&["--upstream", &upstream, "--upstream-proxy-protocol", "v2"]);
    balancer.wait_until_ready(1);
    let mut stream = connect(balancer.public);
    let from = stream.local_addr().expect("an address");
    stream.write_all(GET.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let ends = told.try_iter().find(|(_, request)| request.starts_with("GET /proxied")).expect("one").0;
    assert_eq!(ends, Header::of(from, balancer.public));
}
