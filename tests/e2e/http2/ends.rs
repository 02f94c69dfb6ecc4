//! How connections end.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which are exact")]

use h2::Reason;
use rustix::process::Signal;

use super::in_front_of;
use crate::common::held::held_replica;
use crate::common::http2::{Client, get, run, until, whole};
use crate::common::origin::Origin;
use crate::common::scrape::Scrape;
use crate::common::{Balancer, request};

#[test]
fn a_stop_is_announced_and_what_is_in_flight_is_answered() {
    let held = held_replica();
    let mut balancer = Balancer::start(&["--upstream", &held.address, "--workers", "1"]);
    balancer.wait_until_ready(1);
    run(async {
        let (client, ending) = Client::connect(balancer.public).await;
        let (_body, response) = client.begin(get("/slow"), false).await.expect("a stream");
        until("the request reaches the replica", || held.arrived.try_recv().ok()).await;
        let (idle, idle_ending) = Client::connect(balancer.public).await;
        balancer.signal(Signal::TERM);
        let told = idle_ending.await.expect("no panic");
        assert!(told.is_ok(), "an idle one ends in peace: {told:?}");
        drop(idle);
        // A new one is refused by the client itself, which was told.
        let error = client.until_refused().await;
        assert_eq!((error.is_go_away(), error.reason()), (true, Some(Reason::NO_ERROR)), "{error:?}");
        held.release.send(()).expect("the replica waits");
        let answer = whole(response.await.expect("a response")).await.expect("a body");
        assert_eq!((answer.status(), &answer.body[..]), (200, &b"held"[..]));
        let told = ending.await.expect("no panic");
        assert!(told.is_ok(), "{told:?}");
    });
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn an_idle_connection_is_told_before_it_is_closed() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &["--keep-alive", "300ms"]);
    run(async {
        let (client, ending) = Client::connect(balancer.public).await;
        client.get("/home").await;
        let told = ending.await.expect("no panic");
        assert!(told.is_ok(), "{told:?}");
        let error = client.ask(get("/home")).await.expect_err("it is closed");
        assert_eq!((error.is_go_away(), error.reason()), (true, Some(Reason::NO_ERROR)), "{error:?}");
    });
}

#[test]
fn an_idle_connection_makes_room() {
    let origin = Origin::start();
    let balancer =
        in_front_of(&origin, &["--max-connections", "1", "--keep-alive", "10m", "--header-timeout", "10m"]);
    run(async {
        let (client, ending) = Client::connect(balancer.public).await;
        client.get("/home").await;
        let public = balancer.public;
        let other = tokio::task::spawn_blocking(move || request(public, "GET", "/home", None).status);
        assert!(ending.await.expect("no panic").is_ok());
        assert_eq!(other.await.expect("no panic"), 200);
    });
}

#[test]
fn requests_end_with_their_connection() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, ending) = Client::connect(balancer.public).await;
        let (_first, _) = client.begin(get("/stall"), false).await.expect("a stream");
        let (_second, response) = client.begin(get("/stall-body"), false).await.expect("a stream");
        let response = response.await.expect("a response");
        until("both have arrived", || origin.arrived("/stall").get(1).map(drop)).await;
        ending.abort();
        let gone = |scrape: &Scrape| {
            scrape.sum("ringherd_request_failures_total", &[("reason", "client-gone")]) == 2.0
        };
        until("both are over", || gone(&Scrape::of(&balancer)).then_some(())).await;
        let scrape = Scrape::of(&balancer);
        assert_eq!(scrape.value("ringherd_requests_in_flight", &[]), 0.0);
        drop(response);
    });
}
