//! The balancer behind other proxies, and in a circle with itself.

use std::net::SocketAddr;

use crate::common::client::{Answer, raw};
use crate::common::origin::Origin;
use crate::common::scrape::Scrape;
use crate::common::{Balancer, request};

/// What a proxy that ends TLS says of its client.
const FROM_EDGE: &str = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n\
                         X-Forwarded-Port: 443\r\nForwarded: for=9.9.9.9;proto=https\r\nX-Real-IP: 9.9.9.9\r\n";

fn send(address: SocketAddr, request_line: &str, fields: &str) -> Answer {
    raw(address, &format!("{request_line}\r\nHost: a.example\r\nConnection: close\r\n{fields}\r\n"))
}

#[test]
fn what_a_trusted_proxy_says_reaches_the_replica() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &["--trusted-proxies", "10.0.0.0/8,127.0.0.1"]);
    assert_eq!(send(balancer.public, "GET /edge HTTP/1.1", FROM_EDGE).status, 200);
    let arrived = &origin.arrived("/edge")[0];
    assert_eq!(arrived.header("x-forwarded-for"), ["9.9.9.9, 127.0.0.1"]);
    assert_eq!(arrived.header("x-forwarded-proto"), ["https"]);
    assert_eq!(arrived.header("x-forwarded-host"), ["shop.example"]);
    assert_eq!(arrived.header("x-forwarded-port"), ["443"]);
    assert_eq!(arrived.header("x-real-ip"), ["9.9.9.9"]);
    let ours = "for=127.0.0.1;host=\"a.example\";proto=http";
    assert_eq!(arrived.header("forwarded"), [format!("for=9.9.9.9;proto=https, {ours}")]);
}

#[test]
fn what_anybody_else_claims_does_not() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &["--trusted-proxies", "10.0.0.0/8"]);
    // A claim is no claim less for being called hop-by-hop.
    let fields = format!("{FROM_EDGE}Connection: X-Forwarded-For\r\n");
    assert_eq!(send(balancer.public, "GET /claim HTTP/1.1", &fields).status, 200);
    let arrived = &origin.arrived("/claim")[0];
    assert_eq!(arrived.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(arrived.header("x-forwarded-proto"), ["http"]);
    assert_eq!(arrived.header("x-forwarded-host"), ["a.example"]);
    for gone in ["x-forwarded-port", "forwarded", "x-real-ip"] {
        assert_eq!(arrived.header(gone), [""; 0], "{gone}");
    }
}

#[test]
fn a_clients_address_is_that_behind_the_trusted_proxy() {
    let origins = [Origin::start(), Origin::start(), Origin::start()];
    let upstreams = origins.each_ref().map(|origin| origin.address.to_string());
    let mut args = vec!["--key", "client-ip", "--trusted-proxies", "127.0.0.1"];
    args.extend(upstreams.iter().flat_map(|upstream| ["--upstream", upstream.as_str()]));
    let balancer = Balancer::start(&args);
    balancer.wait_until_ready(3);
    for client in 0..60 {
        for _ in 0..2 {
            let fields = format!("X-Forwarded-For: 1.2.3.{client}\r\n");
            let path = format!("GET /client/{client}/x HTTP/1.1");
            assert_eq!(send(balancer.public, &path, &fields).status, 200);
        }
    }
    let at = |origin: &Origin, client| origin.arrived(&format!("/client/{client}/")).len();
    let sticks = |client: &usize| origins.iter().any(|origin| at(origin, *client) == 2);
    assert_eq!((0..60).filter(sticks).count(), 60, "each client has one replica");
    let busy = origins.iter().filter(|origin| !origin.arrived("/client/").is_empty());
    assert!(busy.count() > 1, "and not all the same");
}

#[test]
fn a_request_that_comes_back_ends_the_circle() {
    let origin = Origin::start();
    let one = Balancer::before(&origin, &["--key", "path"]);
    let two = Balancer::start(&["--upstream", &one.public.to_string(), "--health-path", "/heartbeat"]);
    two.wait_until_ready(1);
    let body = format!(r#"{{"n":1,"endpoints":["{}"]}}"#, two.public);
    assert_eq!(request(one.admin, "POST", "/add", Some(&body)).status, 200);
    let answers: Vec<_> =
        (0..30).map(|number| request(one.public, "GET", &format!("/loop/{number}"), None)).collect();
    let looped: Vec<_> = answers.iter().filter(|answer| answer.status == 508).collect();
    assert!(!looped.is_empty(), "none went the other way");
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count() + looped.len(),
        30,
        "{answers:?}"
    );
    let failures = |scrape: &Scrape| scrape.sum("ringherd_request_failures_total", &[("reason", "loop")]);
    assert_eq!(failures(&Scrape::of(&one)) as usize, looped.len(), "each went round once");
}

#[test]
fn our_own_addresses_are_no_replicas() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &[]);
    for own in [balancer.public, balancer.admin] {
        for endpoint in
            [own.to_string(), format!("localhost:{}", own.port()), format!("0.0.0.0:{}", own.port())]
        {
            let answer = request(
                balancer.admin,
                "POST",
                "/add",
                Some(&format!(r#"{{"n":1,"endpoints":["{endpoint}"]}}"#)),
            );
            assert_eq!(answer.status, 400, "{endpoint}: {answer:?}");
            assert!(answer.body.contains("own address"), "{answer:?}");
        }
    }
    assert_eq!(balancer.replicas().len(), 1);
}

#[test]
fn without_via_nothing_is_told() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &["--via", "off"]);
    assert_eq!(send(balancer.public, "GET /via HTTP/1.1", "Via: 1.0 fred\r\n").status, 200);
    assert_eq!(origin.arrived("/via")[0].header("via"), ["1.0 fred"]);
}

#[test]
fn a_target_that_is_not_for_us_is_refused() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &[]);
    for line in ["GET * HTTP/1.1", "POST * HTTP/1.1", "GET ftp://a.example/x HTTP/1.1"] {
        let answer = send(balancer.public, line, "");
        assert_eq!((answer.status, answer.header("x-ringherd-error")), (400, Some("bad-request")), "{line}");
    }
    assert_eq!(send(balancer.public, "OPTIONS * HTTP/1.1", "").status, 200);
    assert_eq!(send(balancer.public, "GET http://a.example/x HTTP/1.1", "").status, 200);
}

#[test]
fn outsiders_do_not_reach_the_admin_routes_through_a_proxy() {
    let balancer = Balancer::start(&[]);
    balancer.wait_until_ready(3);
    let rep = |address: SocketAddr, fields: &str| send(address, "GET http://127.0.0.1/rep HTTP/1.1", fields);
    assert_eq!(rep(balancer.public, "").json()["message"]["N"], 3);
    for field in [
        "X-Forwarded-For: 1.1.1.1",
        "X-Forwarded-Proto: https",
        "Forwarded: for=1.1.1.1",
        "Via: 1.1 edge",
        "X-Real-IP: 1.1.1.1",
    ] {
        let fields = format!("{field}\r\nX-Request-Id: 7\r\n");
        // A replica answers, which knows no such path.
        let answer = rep(balancer.public, &fields);
        assert!(!answer.body.contains("\"N\""), "{field}: {answer:?}");
    }
    assert_eq!(balancer.replicas().len(), 3);

    // In front of what a user runs there are none unless they are asked for.
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &[]);
    rep(balancer.public, "");
    assert_eq!(origin.arrived("/rep").len(), 1);
    let balancer = Balancer::before(&origin, &["--public-admin", "on"]);
    assert_eq!(rep(balancer.public, "").json()["message"]["N"], 1);
}

#[test]
fn a_client_is_told_its_request_id_and_on_request_the_replica() {
    let origin = Origin::start();
    let balancer = Balancer::before(&origin, &["--expose-replica", "on"]);
    let answer = send(balancer.public, "GET /id HTTP/1.1", "X-Request-Id: mine\r\n");
    assert_eq!(
        (answer.header("x-request-id"), answer.header("x-ringherd-replica")),
        (Some("mine"), Some("Server 1"))
    );
    let answer = send(balancer.public, "GET /id/made HTTP/1.1", "");
    assert_eq!(answer.header("x-request-id"), Some(origin.arrived("/id/made")[0].header("x-request-id")[0]));

    let balancer = Balancer::start(&["--replicas", "0"]);
    let answer = send(balancer.public, "GET /id HTTP/1.1", "X-Request-Id: mine\r\n");
    assert_eq!(answer.status, 503);
    assert_eq!((answer.header("x-request-id"), answer.header("x-ringherd-replica")), (Some("mine"), None));
}
