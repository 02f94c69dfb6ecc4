//! TLS to replicas of others.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::{Request, Response};
use hyper::body::Incoming;
use rustix::process::Signal;

use crate::common::tls::Pair;
use crate::common::upstream::{Body, Speaks, Upstream, body};
use crate::common::{Balancer, request, wait_until};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("upstream-tls-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

async fn echo_path(request: Request<Incoming>) -> Response<Body> {
    Response::new(body(request.uri().path().to_owned()))
}

/// A replica with this certificate.
fn replica(pair: &Pair, clients: &[&Pair]) -> Upstream {
    Upstream::start(Speaks::tls(false, pair, clients), echo_path)
}

fn localhost(address: SocketAddr) -> String {
    format!("localhost:{}", address.port())
}

/// A balancer whose replicas speak TLS.
fn start(upstream: &str, args: &[&str]) -> Balancer {
    Balancer::start(&[&["--upstream", upstream, "--upstream-tls", "on"], args].concat())
}

/// Why its only replica is not ready.
fn why_not_ready(balancer: &mut Balancer) -> String {
    let event = balancer.find_log("it is told", |event| event["message"] == "replica is not ready");
    assert_eq!(request(balancer.public, "GET", "/x", None).status, 503);
    event["reason"].as_str().expect("text").to_owned()
}

#[test]
fn requests_and_heartbeats_go_over_tls_on_few_connections() {
    let folder = folder("plain");
    let pair = Pair::write(&folder, "localhost", &["localhost"], 30);
    let replica = replica(&pair, &[]);
    let balancer = start(&localhost(replica.address), &["--upstream-ca", text(&pair.cert), "--workers", "1"]);
    balancer.wait_until_ready(1);
    for _ in 0..20 {
        let answer = request(balancer.public, "GET", "/over-tls", None);
        assert_eq!((answer.status, answer.body.as_str()), (200, "/over-tls"));
    }
    // One for heartbeats, one for requests; some slack where one went idle for too long.
    assert!(replica.accepted() < 10, "{}", replica.accepted());
    assert!(replica.resumed() >= 1, "the second one resumes the session of the first");
}

#[test]
fn a_replica_that_cannot_be_verified_gets_no_requests_and_the_log_says_why() {
    let folder = folder("verify");
    let good = Pair::write(&folder, "good", &["localhost"], 30);
    let other = Pair::write(&folder, "other", &["other.test"], 30);
    let expired = Pair::write(&folder, "expired", &["localhost"], -1);
    for (shown, trusted, says) in [
        (&good, &other, "no authority that is known: give the certificate of its authority (--upstream-ca)"),
        (
            &other,
            &other,
            "not for the name 'localhost': give the name that it is for (--upstream-server-name)",
        ),
        (&expired, &expired, "has expired"),
    ] {
        let replica = replica(shown, &[]);
        let mut balancer = start(&localhost(replica.address), &["--upstream-ca", text(&trusted.cert)]);
        let why = why_not_ready(&mut balancer);
        assert!(why.contains(says), "{why}");
    }
    // The same one by its own name.
    let replica = replica(&other, &[]);
    let named = ["--upstream-ca", text(&other.cert), "--upstream-server-name", "other.test"];
    let balancer = start(&localhost(replica.address), &named);
    balancer.wait_until_ready(1);
    assert_eq!(request(balancer.public, "GET", "/x", None).status, 200);
}

#[test]
fn a_replica_without_tls_is_told_apart() {
    let plain = Upstream::start(Speaks { http2: false, ..Speaks::h2c() }, echo_path);
    let folder = folder("without");
    let pair = Pair::write(&folder, "localhost", &["localhost"], 30);
    let mut balancer = start(&localhost(plain.address), &["--upstream-ca", text(&pair.cert)]);
    let why = why_not_ready(&mut balancer);
    assert!(why.contains("does not speak TLS at this port (--upstream-tls)"), "{why}");
}

#[test]
fn a_certificate_is_shown_to_those_that_ask_and_read_again() {
    let folder = folder("client");
    let pair = Pair::write(&folder, "localhost", &["localhost"], 30);
    let (ours, later) =
        (Pair::write(&folder, "ours", &["us"], 30), Pair::write(&folder, "later", &["us"], 30));
    let replica = replica(&pair, &[&later]);
    let shown = ["--upstream-certificate", text(&ours.cert), "--upstream-key", text(&ours.key)];
    let mut balancer =
        start(&localhost(replica.address), &[&["--upstream-ca", text(&pair.cert)], &shown[..]].concat());
    let why = why_not_ready(&mut balancer);
    assert!(why.contains("(--upstream-certificate, --upstream-key)"), "{why}");
    std::fs::copy(&later.cert, &ours.cert).expect("a file");
    std::fs::copy(&later.key, &ours.key).expect("a file");
    balancer.signal(Signal::HUP);
    balancer.wait_until_ready(1);
    wait_until("requests go over it", || {
        (request(balancer.public, "GET", "/x", None).status == 200).then_some(())
    });
    // What is bad by then changes nothing.
    std::fs::write(&ours.cert, "no certificate").expect("a file");
    balancer.signal(Signal::HUP);
    balancer.find_log("it is told", |event| {
        event["message"] == "TLS to replicas not reloaded: what was before stays in force"
            && event["problem"].as_str().is_some_and(|problem| problem.contains("has no certificate"))
    });
    assert_eq!(request(balancer.public, "GET", "/x", None).status, 200);
}
