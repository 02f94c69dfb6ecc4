//! Many requests on one connection: each is on its own.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which are exact")]

use std::fmt::Write;

use bytes::Bytes;
use h2::Reason;
use http::Request;
use rustix::process::{Signal, kill_process};
use tokio::task::JoinSet;

use super::in_front_of;
use crate::common::Balancer;
use crate::common::http2::{Client, get, reset_by, run, send, until, url, whole};
use crate::common::origin::Origin;
use crate::common::scrape::Scrape;

#[test]
fn many_requests_share_a_connection() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let mut asked = JoinSet::new();
        // More than may be under way at a time: the others wait in the client.
        for number in 0..300_usize {
            let client = client.clone();
            asked.spawn(async move {
                let content = Bytes::from(vec![b'x'; number]);
                let answer = loop {
                    match client.post("/length", content.clone()).await {
                        // On a busy machine h2's client begins one stream too many at times. Nothing was done
                        // of it (RFC 9113, section 8.7).
                        Err(error) if error.reason() == Some(Reason::REFUSED_STREAM) => {}
                        answer => break answer.expect("a response"),
                    }
                };
                assert_eq!(answer.body, number.to_string());
            });
        }
        while let Some(outcome) = asked.join_next().await {
            outcome.expect("its own length");
        }
    });
    let scrape = Scrape::after(&balancer, 300);
    assert_eq!(scrape.by("ringherd_requests_total", "class"), [("2xx", 300.0)].into());
}

/// Of several parts and more than any window, both ways and at a time.
#[test]
fn large_bodies_pass_side_by_side() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let mut asked = JoinSet::new();
        for _ in 0..4 {
            let uploads = client.clone();
            asked.spawn(async move {
                let content = Bytes::from(vec![b'x'; 3_000_000]);
                let answer = uploads.post("/length", content).await.expect("a response");
                assert_eq!(answer.body, "3000000");
            });
            let downloads = client.clone();
            asked.spawn(async move { assert_eq!(downloads.get("/big").await.body.len(), 10_000_000) });
        }
        while let Some(outcome) = asked.join_next().await {
            outcome.expect("all of it");
        }
    });
}

#[test]
fn a_reset_stream_frees_its_replica() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        // Before its response, in the middle of it, and in the middle of its own body.
        let (mut before, first) = client.begin(get("/stall"), false).await.expect("a stream");
        let (mut within, second) = client.begin(get("/stall-body"), false).await.expect("a stream");
        let second = second.await.expect("a response");
        let request = Request::post(url("/length/never")).header("content-length", 9).body(()).expect("one");
        let (mut upload, third) = client.begin(request, true).await.expect("a stream");
        until("the last one is under way too", || (in_flight(&balancer) == 3.0).then_some(())).await;
        until("the first one has arrived", || origin.arrived("/stall").first().map(drop)).await;
        for stream in [&mut before, &mut within, &mut upload] {
            stream.send_reset(Reason::CANCEL);
        }
        until("none is under way", || (in_flight(&balancer) == 0.0).then_some(())).await;
        drop((first, second, third));
        client.get("/after").await;
        let failed = Scrape::of(&balancer);
        let failed = failed.by("ringherd_request_failures_total", "reason");
        assert_eq!(failed, [("client-gone", 3.0)].into());
    });
}

#[test]
fn a_client_that_takes_all_its_requests_back_is_cut_off() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, ending) = Client::connect(balancer.public).await;
        let mut asked = 0;
        while !ending.is_finished() && asked < 10_000 {
            let Ok((mut stream, response)) = client.begin(get("/stall"), false).await else { break };
            asked += 1;
            until("it is under way", || (ending.is_finished() || in_flight(&balancer) > 0.0).then_some(()))
                .await;
            stream.send_reset(Reason::CANCEL);
            drop(response);
            until("it is over", || (ending.is_finished() || in_flight(&balancer) == 0.0).then_some(())).await;
        }
        assert!((100..1_000).contains(&asked), "{asked}");
        // Others are served.
        let (client, _) = Client::connect(balancer.public).await;
        client.get("/after").await;
    });
}

#[test]
fn a_refusal_reaches_a_client_that_still_sends() {
    let balancer = Balancer::start(&["--replicas", "0"]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        for _ in 0..20 {
            let request = Request::post(url("/large")).body(()).expect("a request");
            let (mut body, response) = client.begin(request, true).await.expect("a stream");
            // To its end, or to where it is not wanted any more.
            let (_, response) = tokio::join!(send(&mut body, vec![b'x'; 1_000_000].into()), response);
            let answer = whole(response.expect("a response")).await.expect("a body");
            assert_eq!((answer.status(), answer.header("x-ringherd-error")), (503, "no-replica"));
        }
    });
}

#[test]
fn connections_are_counted() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        client.get("/counted").await;
    });
    let scrape = Scrape::after(&balancer, 1);
    let count = |name: &str| scrape.value(name, &[]);
    assert_eq!(
        (count("ringherd_connections_accepted_total"), count("ringherd_connections_http2_total")),
        (1.0, 1.0)
    );
}

fn in_flight(balancer: &Balancer) -> f64 {
    Scrape::of(balancer).value("ringherd_requests_in_flight", &[])
}

#[test]
fn who_does_not_read_one_response_still_gets_the_others() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &["--body-timeout", "1s"]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        let (_body, response) = client.begin(get("/big"), false).await.expect("a stream");
        let mut stalled = response.await.expect("a response").into_body();
        // The window is never given back.
        let mut came = 0;
        let end = loop {
            let part = stalled.data().await.expect("no end");
            match part {
                Ok(part) => came += part.len(),
                Err(error) => break error,
            }
            client.get("/other").await;
        };
        assert_eq!((end.is_remote(), end.reason()), (true, Some(Reason::CANCEL)));
        assert!((1..=65_535).contains(&came), "{came}");
        // The window of the connection too is as it was.
        assert_eq!(client.get("/big").await.body.len(), 10_000_000);
        let scrape = Scrape::of(&balancer);
        assert_eq!(scrape.by("ringherd_request_failures_total", "reason"), [("client-gone", 1.0)].into());
        assert_eq!(in_flight(&balancer), 0.0);
    });
}

#[test]
fn a_stream_ends_with_its_replica_and_the_connection_goes_on() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        // Never a clean end.
        assert_eq!(reset_by(client.ask(get("/cut")).await), Some(Reason::INTERNAL_ERROR));
        let answer = client.ask(get("/garbage")).await.expect("a response");
        assert_eq!((answer.status(), answer.header("x-ringherd-error")), (502, "bad-response"));
        client.get("/after").await;
    });
}

#[test]
fn no_get_fails_when_a_replica_is_killed() {
    let balancer = Balancer::start(&[]);
    balancer.wait_until_ready(3);
    let stop = std::cell::Cell::new(false);
    run(async {
        let client = |_| async {
            let (client, _) = Client::connect(balancer.public).await;
            let mut good = 0;
            while !stop.get() {
                let answers = futures_util::future::join_all((0..10).map(|_| client.ask(get("/home")))).await;
                for answer in answers {
                    assert_eq!(answer.expect("a response").status(), 200);
                    good += 1;
                }
            }
            good
        };
        let clients = futures_util::future::join_all((0..3).map(client));
        let killing = async {
            let enough = |scrape: &Scrape, more: f64| {
                scrape.sum("ringherd_requests_total", &[("class", "2xx")]) >= more
            };
            until("they are at work", || enough(&Scrape::of(&balancer), 300.0).then_some(())).await;
            kill_process(balancer.replica_pid("Server 2"), Signal::KILL).expect("it runs");
            until("its place is taken", || {
                let ring = balancer.ring();
                (ring[1]["name"] != "Server 2" && ring[1]["state"] == "ready").then_some(())
            })
            .await;
            stop.set(true);
        };
        let (good, ()) = tokio::join!(clients, killing);
        assert!(good.iter().all(|good| *good > 0), "{good:?}");
    });
}

#[test]
fn the_access_log_names_the_version() {
    let origin = Origin::start();
    let file = std::env::temp_dir().join(format!("ringherd-http2-{}.log", std::process::id()));
    let args = ["--access-log", file.to_str().expect("UTF-8"), "--access-log-format", "common"];
    let balancer = in_front_of(&origin, &args);
    run(async {
        let (client, _) = Client::connect(balancer.public).await;
        client.get("/logged").await;
        let mut line = String::new();
        until("the line is written", || {
            line.clear();
            write!(line, "{}", std::fs::read_to_string(&file).unwrap_or_default()).expect("text");
            line.ends_with('\n').then_some(())
        })
        .await;
        assert!(line.contains("\"GET /logged HTTP/2.0\" 200"), "{line}");
    });
    let _ = std::fs::remove_file(&file);
}
