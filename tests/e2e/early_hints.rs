//! Interim responses of replicas of either version, over real sockets.

use std::io::{Read, Write};
use std::path::Path;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::common::http2::{Client, get, run};
use crate::common::taken::{read_head, taken_replica};
use crate::common::tls::{Pair, TlsClient};
use crate::common::{Balancer, connect};

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_hint_comes_before_its_response_with_and_without_tls() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("early-hints");
    std::fs::create_dir_all(&folder).expect("a folder");
    let pair = Pair::write(&folder, "a", &["a.test"], 30);
    let file = |path: &Path| path.to_str().expect("text").to_owned();
    let (cert, key) = (file(&pair.cert), file(&pair.key));
    let replica = taken_replica();
    let mut balancer = Balancer::start(&[
        "--upstream",
        &replica.address,
        "--early-hints",
        "on",
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-certificate",
        &cert,
        "--tls-key",
        &key,
    ]);
    balancer.wait_until_ready(1);
    let tls = balancer.find_log("it listens for TLS", |event| event["message"] == "listening for TLS");
    let tls = tls["address"].as_str().expect("an address").parse().expect("an address");
    let ask = "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

    let mut plain = connect(balancer.public);
    plain.write_all(ask.as_bytes()).expect("it reads");
    let (_, mut there) = replica.next();
    there.write_all(HINT.as_bytes()).expect("it reads");
    assert_eq!(read_head(&plain), HINT, "before there is a response");
    there.write_all(OK).expect("it reads");
    let mut rest = String::new();
    plain.read_to_string(&mut rest).expect("a response");
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("ok"), "{rest}");

    let mut secure = TlsClient::trusting([&pair.der]).connect(tls, "a.test").expect("a session");
    secure.write_all(ask.as_bytes()).expect("it reads");
    let (_, mut there) = replica.next();
    there.write_all(HINT.as_bytes()).expect("it reads");
    let mut hint = vec![0; HINT.len()];
    secure.read_exact(&mut hint).expect("a hint, before there is a response");
    assert_eq!(String::from_utf8(hint).expect("text"), HINT);
    there.write_all(OK).expect("it reads");
    let mut rest = String::new();
    secure.read_to_string(&mut rest).expect("a response");
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("ok"), "{rest}");
}

/// A replica of HTTP/2 that hints twice before each response.
async fn hinting() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.ok()?;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    for link in ["</a.css>", "</b.css>"] {
                        let hint = Response::builder().status(StatusCode::EARLY_HINTS).header("link", link);
                        respond.send_informational(hint.body(()).expect("a head")).ok()?;
                    }
                    let mut body = respond.send_response(Response::new(()), false).ok()?;
                    body.send_data(Bytes::from_static(b"ok"), true).ok()?;
                }
                Some(())
            });
        }
    });
    address
}

#[test]
fn a_replica_of_http2_hints_to_clients_of_http1() {
    run(async {
        let upstream = format!("localhost:{}", hinting().await.rsplit(':').next().expect("a port"));
        let started = tokio::task::spawn_blocking(move || {
            let upstream = ["--upstream", &upstream, "--upstream-http", "h2", "--early-hints", "on"];
            let balancer = Balancer::start(&upstream);
            balancer.wait_until_ready(1);
            balancer
        });
        let balancer = started.await.expect("it starts");
        let public = balancer.public;
        let ask = move |version: &'static str| {
            tokio::task::spawn_blocking(move || {
                let mut stream = connect(public);
                let head = format!("GET /x HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).expect("it reads");
                let mut all = String::new();
                stream.read_to_string(&mut all).expect("a response");
                all
            })
        };
        let all = ask("1.1").await.expect("no panic");
        let hints: String = ["a", "b"]
            .map(|name| format!("HTTP/1.1 103 Early Hints\r\nlink: </{name}.css>\r\n\r\n"))
            .concat();
        let rest = all.strip_prefix(&hints).unwrap_or_else(|| panic!("two hints begin {all}"));
        assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.contains("\r\nok"), "{rest}");
        let all = ask("1.0").await.expect("no panic");
        assert!(all[8..].starts_with(" 200 OK\r\n") && all.ends_with("ok"), "{all}");
        // The hints that hyper cannot send are missing, and nothing else.
        let (client, _) = Client::connect(public).await;
        assert_eq!(client.ask(get("/x")).await.expect("a response").status(), 200);
    });
}
