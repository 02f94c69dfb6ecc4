//! gRPC through the balancer: clients and replicas on tonic.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which are exact")]

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use tokio::sync::mpsc;
use tonic::Code;

use crate::common::Balancer;
use crate::common::grpc::{client, replica, streaming, unary};
use crate::common::http2::{Client, reset_by, run, until, url};
use crate::common::nobody::Nobody;
use crate::common::scrape::Scrape;
use crate::common::upstream::{Speaks, Upstream};

fn start(replica: &Upstream, args: &[&str]) -> Balancer {
    let balancer = unready(replica, args);
    balancer.wait_until_ready(1);
    balancer
}

fn unready(replica: &Upstream, args: &[&str]) -> Balancer {
    let upstream = replica.address.to_string();
    Balancer::start(&[&["--upstream", &upstream, "--upstream-http", "h2", "--workers", "1"], args].concat())
}

/// A call with nothing in it, as a client says it that is not tonic.
fn call(name: &str, timeout: Option<&str>) -> Request<()> {
    let request = Request::post(url(&format!("/test.All/{name}")));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let request =
        timeout.into_iter().fold(request, |request, timeout| request.header("grpc-timeout", timeout));
    request.body(()).expect("a request")
}

#[test]
fn calls_of_each_kind_pass() {
    let replica = replica(Speaks::h2c(), true);
    let balancer = start(&replica, &["--health", "grpc"]);
    run(async {
        let client = client(balancer.public);
        assert_eq!(unary(&client, "Echo", "hello").await.expect("an answer"), "hello");
        let large = "x".repeat(3 << 20);
        assert_eq!(unary(&client, "Echo", &large).await.expect("an answer"), large);
        let mut counted =
            streaming(&client, "Count", stream::iter([Bytes::from("3")])).await.expect("a stream");
        for _ in 0..3 {
            assert_eq!(counted.message().await.expect("a message"), Some(Bytes::from("x")));
        }
        assert_eq!(counted.message().await.expect("the end"), None);
        let many = stream::iter((0..50).map(|_| Bytes::from("four")));
        let mut sum = streaming(&client, "Sum", many).await.expect("a stream");
        assert_eq!(sum.message().await.expect("a message"), Some(Bytes::from("50 200")));
        // Both ways at once: each message is answered before the next is sent.
        let (send, mut messages) = mpsc::channel::<Bytes>(1);
        let mut echo = streaming(&client, "Echo", stream::poll_fn(move |cx| messages.poll_recv(cx)))
            .await
            .expect("a stream");
        for number in 0..20 {
            send.send(Bytes::from(number.to_string())).await.expect("it goes on");
            assert_eq!(echo.message().await.expect("a message"), Some(Bytes::from(number.to_string())));
        }
        drop(send);
        assert_eq!(echo.message().await.expect("the end"), None);
    });
    let scrape = Scrape::when(&balancer, "all are counted", |scrape| {
        scrape.sum("ringherd_grpc_requests_total", &[("code", "OK")]) == 5.0
    });
    assert_eq!(scrape.sum("ringherd_grpc_requests_total", &[]), 5.0);
}

#[test]
fn an_error_of_the_replica_passes_with_large_trailers() {
    let replica = replica(Speaks::h2c(), true);
    let balancer = start(&replica, &[]);
    run(async {
        let client = client(balancer.public);
        let mut failing = streaming(&client, "Fail", stream::iter([Bytes::new()])).await.expect("a stream");
        assert_eq!(failing.message().await.expect("a message"), Some(Bytes::from("first")));
        let status = failing.message().await.expect_err("it fails");
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "50 % \u{fc}"));
        assert_eq!(status.metadata().get("x-large").map(tonic::metadata::MetadataValue::len), Some(48_000));
        assert!(status.metadata().get("x-ringherd-error").is_none());
        // One that is said in the head.
        assert_eq!(unary(&client, "None", "").await.expect_err("it fails").code(), Code::Unimplemented);
    });
    Scrape::when(&balancer, "both are counted", |scrape| {
        scrape.sum("ringherd_grpc_requests_total", &[("code", "FAILED_PRECONDITION")]) == 1.0
            && scrape.sum("ringherd_grpc_requests_total", &[("code", "UNIMPLEMENTED")]) == 1.0
    });
}

#[test]
fn a_hundred_thousand_tiny_messages_pass_each_way() {
    let replica = replica(Speaks::h2c(), true);
    let balancer = start(&replica, &[]);
    run(async {
        let client = client(balancer.public);
        let mut counted =
            streaming(&client, "Count", stream::iter([Bytes::from("100000")])).await.expect("a stream");
        let mut count = 0;
        while let Some(message) = counted.message().await.expect("a message") {
            assert_eq!(message, "x");
            count += 1;
        }
        assert_eq!(count, 100_000);
        let many = stream::iter((0..100_000).map(|_| Bytes::from("x")));
        let mut sum = streaming(&client, "Sum", many).await.expect("a stream");
        assert_eq!(sum.message().await.expect("a message"), Some(Bytes::from("100000 100000")));
    });
}

#[test]
fn errors_of_the_balancer_are_said_as_grpc_says_them() {
    let dead = Nobody::new();
    let upstream = dead.address.to_string();
    let balancer =
        Balancer::start(&["--upstream", &upstream, "--upstream-http", "h2", "--wait-for-replica", "0s"]);
    run(async {
        let status = unary(&client(balancer.public), "Echo", "x").await.expect_err("nobody is there");
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "no replica is available"));
        let reason = status.metadata().get("x-ringherd-error").and_then(|value| value.to_str().ok());
        assert_eq!(reason, Some("no-replica"));
        let (client, _) = Client::connect(balancer.public).await;
        let answer = client.ask(call("Echo", None)).await.expect("a response");
        assert_eq!((answer.status(), answer.body.len()), (200, 0));
        assert_eq!((answer.header("content-type"), answer.header("grpc-status")), ("application/grpc", "14"));
        // What is refused before it is looked at.
        let answer = client.ask(call("Echo", Some("1s"))).await.expect("a response");
        assert_eq!((answer.header("grpc-status"), answer.header("x-ringherd-error")), ("13", "bad-request"));
        assert!(answer.header("grpc-message").contains("grpc-timeout"), "{answer:?}");
        let mut two_hosts = call("Echo", None);
        two_hosts.headers_mut().insert("host", "other".parse().expect("a value"));
        let answer = client.ask(two_hosts).await.expect("a response");
        assert_eq!((answer.status(), answer.header("grpc-status")), (200, "13"));
    });
    Scrape::when(&balancer, "all are counted", |scrape| {
        scrape.sum("ringherd_grpc_requests_total", &[("code", "UNAVAILABLE")]) == 2.0
            && scrape.sum("ringherd_grpc_requests_total", &[("code", "INTERNAL")]) == 2.0
    });
}

#[test]
fn a_call_ends_when_its_time_is_over() {
    let replica = replica(Speaks::h2c(), true);
    let balancer = start(&replica, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let answer = client.ask(call("Hang", Some("200m"))).await.expect("a response");
        assert_eq!((answer.status(), answer.header("grpc-status")), (200, "4"), "{answer:?}");
        assert_eq!(answer.header("x-ringherd-error"), "deadline-exceeded");
        // With a response under way there is no clean end.
        let (_, response) = client.begin(call("Begin", Some("3S")), false).await.expect("a stream");
        let mut body = response.await.expect("a response").into_body();
        assert_eq!(body.data().await.expect("a part").expect("a part")[5..], *b"first");
        reset_by(body.data().await.expect("more than that"));
        // One that is in time is not touched.
        let answer = client.ask(call("Echo", Some("1H"))).await.expect("a response");
        assert_eq!(answer.trailers["grpc-status"], "0");
    });
    Scrape::when(&balancer, "both are counted", |scrape| {
        scrape.sum("ringherd_grpc_requests_total", &[("code", "DEADLINE_EXCEEDED")]) == 2.0
            && scrape.sum("ringherd_request_failures_total", &[("reason", "deadline-exceeded")]) == 2.0
    });
    let failures = Scrape::of(&balancer).sum("ringherd_replica_failures_total", &[]);
    assert_eq!(failures, 0.0, "it is not to blame");
}

/// A stream may pause for longer than a body.
#[test]
fn a_stream_without_messages_goes_on() {
    let replica = replica(Speaks::h2c(), true);
    let balancer = start(&replica, &["--body-timeout", "200ms"]);
    run(async {
        let (send, mut messages) = mpsc::channel::<Bytes>(1);
        send.send(Bytes::from("one")).await.expect("it goes on");
        let mut echo =
            streaming(&client(balancer.public), "Echo", stream::poll_fn(move |cx| messages.poll_recv(cx)))
                .await
                .expect("a stream");
        assert_eq!(echo.message().await.expect("a message"), Some(Bytes::from("one")));
        // Nothing that could be waited for happens in this time.
        tokio::time::sleep(Duration::from_millis(700)).await;
        send.send(Bytes::from("two")).await.expect("it goes on");
        assert_eq!(echo.message().await.expect("a message"), Some(Bytes::from("two")));
    });
}

#[test]
fn a_call_that_its_client_takes_back_is_counted_as_that() {
    let replica = replica(Speaks::h2c(), true);
    let balancer = start(&replica, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let (mut body, response) = client.begin(call("Begin", None), false).await.expect("a stream");
        let mut stream = response.await.expect("a response").into_body();
        stream.data().await.expect("a part").expect("a part");
        body.send_reset(h2::Reason::CANCEL);
        drop(stream);
        until("it is counted", || {
            let scrape = Scrape::of(&balancer);
            (scrape.sum("ringherd_grpc_requests_total", &[("code", "CANCELLED")]) == 1.0).then_some(())
        })
        .await;
    });
}

#[test]
fn heartbeats_ask_the_health_service() {
    let good = replica(Speaks::h2c(), true);
    start(&good, &["--health", "grpc:good"]);
    let without = replica(Speaks::h2c(), false);
    for (replica, check, says) in [
        (&good, "grpc:bad", "says that 'bad' is NOT_SERVING"),
        (&good, "grpc:other", "does not know the service 'other': check --health"),
        (&without, "grpc", "has no health service (grpc.health.v1)"),
    ] {
        let mut balancer = unready(replica, &["--health", check]);
        let event = balancer.find_log("it is told", |event| event["message"] == "replica is not ready");
        let reason = event["reason"].as_str().expect("text");
        assert!(reason.contains(says), "{reason}");
    }
}
