//! What is answered to clients that ask for the output of a replica.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Empty};

use super::script::{Bench, CONTEXT, Call};
use crate::admin::{AdminConfig, Body};
use crate::runtime::output::{Lines, LogSource, Unread};

fn bench() -> Bench {
    Bench::new(AdminConfig::default(), Ok(&["S1"]))
}

/// The response to a client that follows `S1`: its status and its body.
async fn followed(bench: &Bench) -> (u16, Body) {
    let request = http::Request::get("/replicas/S1/log?follow&lines=1").header("host", "127.0.0.1:5001");
    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let (head, body) = bench.admin.handle(request, CONTEXT).await.into_parts();
    (head.status.as_u16(), body)
}

async fn piece(body: &mut Body) -> Option<String> {
    let frame = body.frame().await?.expect("it cannot fail");
    Some(String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text"))
}

#[tokio::test]
async fn the_last_lines_are_text() {
    let bench = bench();
    let run = bench.outputs.begin("S1");
    (1..=3).for_each(|n| run.writer().line(&format!("line {n}")));
    let got = bench.send(Call::new("GET", "/replicas/s1/log?lines=2")).await;
    assert_eq!((got.status.as_u16(), got.text.as_str()), (200, "line 2\nline 3\n"));
    assert_eq!(got.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(got.header("cache-control"), Some("no-store"));
    drop(run);
    let got = bench.send(Call::new("GET", "/pools/default/replicas/S1/log")).await;
    assert_eq!(got.text, "line 1\nline 2\nline 3\n", "it has ended, and is kept");
}

#[tokio::test]
async fn why_there_is_none_is_told() {
    let bench = bench();
    for (path, why) in [
        ("/replicas/S2/log", "the output of 'S2' (pid 2) is not kept: nobody reads it"),
        ("/replicas/S9/log?follow", "there is no replica 'S9', and no output of one that has ended"),
    ] {
        let got = bench.send(Call::new("GET", path)).await;
        assert_eq!((got.status.as_u16(), got.header("x-ringherd-error")), (404, Some("not-found")), "{path}");
        assert_eq!(got.json()["message"], format!("<Error> {why}"));
    }
}

/// Reads nothing, for this reason.
#[derive(Debug)]
struct Shut(Unread);

impl LogSource for Shut {
    fn open(&self, _key: &str, _lines: usize, _follow: bool) -> BoxFuture<'static, Result<Lines, Unread>> {
        std::future::ready(Err(self.0.clone())).boxed()
    }
}

#[tokio::test]
async fn an_output_that_others_keep_and_that_is_not_read_has_a_reason() {
    let bench = bench();
    let driver = "its log driver 'none' cannot be read";
    for (unread, status, code, message) in [
        (
            Unread::Unreadable(driver.to_owned()),
            404,
            "not-found",
            "the output of 'S1' (pid 1) is not shown: ",
        ),
        (
            Unread::Unavailable("the engine is away".to_owned()),
            503,
            "runtime-unavailable",
            "the engine is away",
        ),
        (Unread::Unknown, 404, "not-found", "the output of 'S1' (pid 1) is not kept: nobody reads it"),
    ] {
        let _run = bench.outputs.begin_at("S1", Arc::new(Shut(unread)), "c1");
        for path in ["/replicas/S1/log", "/replicas/S1/log?follow"] {
            let got = bench.send(Call::new("GET", path)).await;
            assert_eq!((got.status.as_u16(), got.header("x-ringherd-error")), (status, Some(code)), "{path}");
            let told = got.json()["message"].to_string();
            assert!(told.contains(message), "{told}");
        }
    }
}

#[tokio::test]
async fn a_client_that_follows_gets_what_comes_until_the_end() {
    let bench = bench();
    let run = bench.outputs.begin("S1");
    run.writer().line("a");
    run.writer().line("b");
    let (status, mut body) = followed(&bench).await;
    assert_eq!(status, 200);
    assert_eq!(piece(&mut body).await.as_deref(), Some(": the output of a replica\n\n"));
    assert_eq!(piece(&mut body).await.as_deref(), Some("id: 2\nevent: line\ndata: b\n\n"));
    run.writer().line("c");
    assert_eq!(piece(&mut body).await.as_deref(), Some("id: 3\nevent: line\ndata: c\n\n"));
    drop(run);
    assert_eq!(piece(&mut body).await, None);
    let _run = bench.outputs.begin("S1");
    let (_, mut body) = followed(&bench).await;
    bench.admin.end_streams();
    while piece(&mut body).await.is_some() {}
}

#[tokio::test]
async fn the_room_for_those_that_follow_is_limited() {
    let bench = bench();
    let _run = bench.outputs.begin("S1");
    let mut bodies = Vec::new();
    for _ in 0..64 {
        let (status, body) = followed(&bench).await;
        assert_eq!(status, 200);
        bodies.push(body);
    }
    assert_eq!(followed(&bench).await.0, 503);
    bodies.pop();
    assert_eq!(followed(&bench).await.0, 200);
}
