//! Heads of requests and responses: what a replica gets of them over HTTP/1, and a client over HTTP/2.

use bytes::Bytes;
use h2::Reason;
use http::{Method, Request, Version};

use super::in_front_of;
use crate::common::http2::{Client, get, reset_by, run, send, until, url, whole};
use crate::common::origin::Origin;

#[test]
fn a_replica_gets_a_request_of_http1() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let request = Request::get("https://b.example:8/head?q={1}")
            .header("te", "trailers")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-request-id", "mine");
        let answer = client.ask(request.body(()).expect("a request")).await.expect("a response");
        assert_eq!((answer.status(), answer.head.version), (200, Version::HTTP_2));
        assert_eq!(answer.header("x-request-id"), "mine");
    });
    let arrived = &origin.arrived("/head")[0];
    assert_eq!(arrived.head.lines().next(), Some("GET /head?q=%7B1%7D HTTP/1.1"));
    assert_eq!(arrived.header("host"), ["b.example:8"]);
    assert_eq!(arrived.header("cookie"), ["a=1; b=2"]);
    assert_eq!(arrived.header("x-forwarded-host"), ["b.example:8"]);
    // That of the connection, not what the client says.
    assert_eq!(arrived.header("x-forwarded-proto"), ["http"]);
    assert!(arrived.header("via")[0].starts_with("2.0 ringherd-"), "{arrived:?}");
    assert!(arrived.header("te").is_empty() && arrived.header("transfer-encoding").is_empty(), "{arrived:?}");
}

#[test]
fn one_host_is_asked_for() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let with = |hosts: &[&str]| {
            let request = Request::get(url("/host"));
            let add = |request: http::request::Builder, host: &&str| request.header("host", *host);
            hosts.iter().fold(request, add).body(()).expect("a request")
        };
        assert_eq!(client.ask(with(&["A.example"])).await.expect("a response").status(), 200);
        for hosts in [&["b.example"][..], &["a.example", "a.example"], &[""]] {
            let answer = client.ask(with(hosts)).await.expect("a response");
            assert_eq!((answer.status(), answer.header("x-ringherd-error")), (400, "bad-request"));
            assert_eq!(answer.header("connection"), "", "there is no such field in HTTP/2");
        }
        let other = Request::get("ftp://a.example/host").body(()).expect("a request");
        assert_eq!(client.ask(other).await.expect("a response").status(), 400);
    });
    assert_eq!(origin.arrived("/host").len(), 1);
}

#[test]
fn what_is_too_large_is_told_so() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &["--max-header-bytes", "8192"]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let large =
            Request::get(url("/large")).header("x-large", "x".repeat(8192)).body(()).expect("a request");
        assert_eq!(client.ask(large).await.expect("a response").status(), 431);
        let fields = |count: usize| {
            let request = Request::get(url("/many"));
            let add = |request: http::request::Builder, number| request.header(format!("x-{number}"), "x");
            (0..count).fold(request, add).body(()).expect("a request")
        };
        let answer = client.ask(fields(100)).await.expect("a response");
        assert_eq!((answer.status(), answer.header("x-ringherd-error")), (431, "head-too-large"));
        assert_eq!(client.ask(fields(90)).await.expect("a response").status(), 200);
    });
    assert_eq!((origin.arrived("/large").len(), origin.arrived("/many").len()), (0, 1));
}

#[test]
fn connect_is_refused_and_the_connection_goes_on() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let connect = Request::builder().method(Method::CONNECT).uri("a.example:443").body(()).expect("one");
        let answer = client.ask(connect).await.expect("a response");
        assert_eq!((answer.status(), answer.header("x-ringherd-error")), (501, "method-not-forwarded"));
        client.get("/after").await;
    });
}

#[test]
fn a_response_has_what_http2_has() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let answer = client.get("/hop").await;
        for name in ["connection", "keep-alive", "x-hop", "transfer-encoding"] {
            assert_eq!(answer.header(name), "", "{name}");
        }
        assert_eq!(answer.header("x-end"), "2");
        let answer = client.get("/chunked").await;
        assert_eq!((&answer.body[..], answer.header("transfer-encoding")), (&b"abcdefg"[..], ""));
        let answer = client.get("/trailers").await;
        assert_eq!((&answer.body[..], &answer.trailers["x-sum"]), (&b"abcd"[..], &"4".parse().expect("one")));
        assert_eq!(answer.trailers.len(), 1, "{answer:?}");
        let answer = client.ask(get("/empty")).await.expect("a response");
        assert_eq!((answer.status(), answer.body.len()), (204, 0));
    });
}

#[test]
fn a_response_to_head_has_no_body_whoever_makes_it() {
    let balancer = crate::common::Balancer::start(&["--replicas", "0", "--public-admin", "on"]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        for (path, status) in [("/none", 503), ("http://127.0.0.1/rep", 405)] {
            let url = if path.starts_with('/') { url(path) } else { path.to_owned() };
            let request = Request::head(url).body(()).expect("a request");
            let answer = client.ask(request).await.expect("a response");
            assert!(answer.body.is_empty() && !answer.header("content-length").is_empty(), "{answer:?}");
            if status == 503 {
                assert_eq!(answer.status(), status);
            }
        }
        // The admin routes are served over HTTP/2 too.
        let rep = Request::get("http://127.0.0.1/rep").body(()).expect("a request");
        let answer = client.ask(rep).await.expect("a response");
        assert_eq!(answer.status(), 200, "{answer:?}");
    });
}

#[test]
fn trailers_of_a_request_and_a_body_of_any_method_pass() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        for method in [Method::POST, Method::GET] {
            let request = Request::builder().method(method).uri(url("/length")).body(()).expect("one");
            let (mut body, response) = client.begin(request, true).await.expect("a stream");
            send(&mut body, Bytes::from_static(b"hello")).await.expect("it is taken");
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-sum", http::HeaderValue::from_static("5"));
            body.send_trailers(trailers).expect("it is open");
            let answer = whole(response.await.expect("a response")).await.expect("a body");
            assert_eq!(answer.body, "5");
        }
    });
    assert!(
        origin.arrived("/length").iter().all(|arrived| arrived.header("transfer-encoding") == ["chunked"])
    );
}

/// h2 refuses what a replica could take for more than one request; nothing of it is passed on.
#[test]
fn a_body_is_as_long_as_it_says() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        for length in ["3", "500"] {
            let request =
                Request::post(url("/length")).header("content-length", length).body(()).expect("one");
            let (mut body, response) = client.begin(request, true).await.expect("a stream");
            body.send_data(Bytes::from_static(b"hello"), true).expect("it is open");
            assert_eq!(reset_by(response.await), Some(Reason::PROTOCOL_ERROR), "{length}");
        }
        client.get("/after").await;
        let lengths = origin.arrived("/length");
        assert!(lengths.is_empty(), "{lengths:?}");
        until("all is over", || (in_flight(&balancer) == 0).then_some(())).await;
    });
}

fn in_flight(balancer: &crate::common::Balancer) -> u64 {
    balancer.ring().iter().map(|replica| replica["in_flight"].as_u64().expect("a number")).sum()
}
