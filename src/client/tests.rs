//! The client against a small hyper server.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;

/// Method, path, token, type and body of a request.
type Asked = (String, String, String, String, String);

/// A server that answers every request with `status` and `body`; and what it was asked.
async fn server(status: u16, body: &'static str) -> (Url, Arc<Mutex<Vec<Asked>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::local(listener.local_addr().unwrap());
    let record: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let asked = Arc::clone(&record);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let record = Arc::clone(&record);
            let service = service_fn(move |request: Request<Incoming>| {
                let record = Arc::clone(&record);
                async move {
                    let (head, sent) = request.into_parts();
                    let sent = sent.collect().await.unwrap().to_bytes();
                    let header = |name: &str| {
                        head.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
                    };
                    record.lock().unwrap().push((
                        head.method.to_string(),
                        head.uri.to_string(),
                        header("authorization"),
                        header("content-type"),
                        String::from_utf8(sent.to_vec()).unwrap(),
                    ));
                    let mut answer = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
                    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                    Ok::<_, Infallible>(answer)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, asked)
}

#[tokio::test]
async fn each_change_is_one_request_of_the_api() {
    let (url, asked) = server(200, r#"{"message":"done","status":"successful"}"#).await;
    let client = Client::new(url, Some("s3cret".to_owned()));
    let name = "Server 1".to_owned();
    let done = client.add(2, std::slice::from_ref(&name)).await.unwrap();
    assert_eq!(done["message"], "done");
    client.add_endpoints(&["a:1".to_owned()], &[]).await.unwrap();
    client.remove(1, &[]).await.unwrap();
    client.change_ring(&json!({"slots": 512})).await.unwrap();
    client.set_weight(&name, 7).await.unwrap();
    client.kill("a/b").await.unwrap();
    client.deploy("v2", None).await.unwrap();
    client.clone().of_pool("web").deploy("v2", Some(10)).await.unwrap();
    client.promote().await.unwrap();
    client.abort_deploy().await.unwrap();
    let expected = [
        ("POST", "/add", r#"{"hostnames":["Server 1"],"n":2}"#),
        ("POST", "/add", r#"{"endpoints":["a:1"],"hostnames":[],"n":1}"#),
        ("DELETE", "/rm", r#"{"hostnames":[],"n":1}"#),
        ("PUT", "/ring", r#"{"slots":512}"#),
        ("PUT", "/replicas/Server%201", r#"{"weight":7}"#),
        ("POST", "/replicas/a%2Fb/kill", "{}"),
        ("POST", "/deploy", r#"{"revision":"v2"}"#),
        ("POST", "/pools/web/deploy", r#"{"canary":10,"revision":"v2"}"#),
        ("POST", "/deploy/promote", "{}"),
        ("DELETE", "/deploy", "{}"),
    ];
    let expected = expected.map(|(method, path, body)| {
        let [token, kind] = ["Bearer s3cret", "application/json"];
        [method, path, token, kind, body].map(str::to_owned).into()
    });
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn what_is_read_is_asked_for_without_a_body() {
    let (url, asked) = server(200, r#"{"name":"ringherd"}"#).await;
    let version: Value = Client::new(url.clone(), None).read("/version").await.unwrap();
    assert_eq!(version["name"], "ringherd");
    let [method, path] = ["GET", "/version"].map(str::to_owned);
    assert_eq!(*asked.lock().unwrap(), [(method, path, String::new(), String::new(), String::new())]);
    let error = Client::new(url, None).ring().await.unwrap_err();
    assert!(
        matches!(error, Error::BadResponse(..)) && error.to_string().contains("missing field"),
        "{error}"
    );
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_the_balancer() {
    let (url, _) = server(409, r#"{"message":"<Error> not \u001bhere","status":"failure"}"#).await;
    let refused = Client::new(url.clone(), None).kill("a").await.unwrap_err();
    assert_eq!(refused.status(), Some(StatusCode::CONFLICT));
    assert_eq!(refused.to_string(), format!("not \u{fffd}here ({url} answered 409 Conflict)"));
}

#[tokio::test]
async fn an_answer_of_something_else_is_no_refusal() {
    for (status, body) in [(404, "<html>"), (302, ""), (500, r#"{"message":"oops"}"#)] {
        let (url, _) = server(status, body).await;
        let client = Client::new(url.clone(), None);
        for error in [client.events(None).await.unwrap_err(), client.ring().await.unwrap_err()] {
            let told = format!("{url} does not answer as ringherd does: it answered {status} ");
            assert!(error.to_string().starts_with(&told) && error.status().is_none(), "{error}");
        }
    }
}

#[tokio::test]
async fn nobody_there_and_a_token_that_cannot_be_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::local(listener.local_addr().unwrap());
    let error = Client::new(url.clone(), Some("a\nb".to_owned())).ring().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(..)) && !error.to_string().contains("a\nb"), "{error}");
    drop(listener);
    let error = Client::new(url.clone(), None).ring().await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("no answer from {url}: ")), "{error}");
    assert_eq!(error.status(), None);
}

const STREAM: &str = r#"id: 3
event: replica
data: {"time":1,"replica":"S1","number":1,"event":"died","state":"starting","reason":"killed","address":null}

id: 4
event: publish
data: {"time":2,"version":9,"replicas":3,"slots_moved":null,"keys_moved":null,"peak_to_average":1.0,"build_seconds":0.1}

id: 5
event: change
data: {"time":3,"peer":"127.0.0.1:1","change":"kill \"S1\"","outcome":"refused","status":409}

id: 6
event: outage
data: {"time":4,"available":false,"reason":"gone"}

id: 7
event: config
data: {"time":5,"message":"configuration reloaded","needs_restart":[]}

id: 8
event: news
data: {"time":6}

: keep-alive

event: stats
data: {"time":7,"version":9,"requests":5,"requests_per_second":1.5,"p50_ms":null,"p99_ms":2.5,"replicas":[{"number":1,"name":"S1"}]}

"#;

#[tokio::test]
async fn events_come_one_by_one_until_the_stream_ends() {
    let (url, asked) = server(200, STREAM).await;
    let mut events = Client::new(url, None).events(Some(2)).await.unwrap();
    assert_eq!((events.last(), asked.lock().unwrap()[0].1.as_str()), (Some(2), "/events?after=2"));
    let mut found = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        assert_eq!(event.time, found.len() as u64 + 1);
        found.push(event);
    }
    assert_eq!(events.last(), Some(8));
    let ids: Vec<_> = found.iter().map(|event| event.id).collect();
    assert_eq!(ids, [Some(3), Some(4), Some(5), Some(6), Some(7), Some(8), None]);
    assert!(matches!(&found[0].kind, EventKind::Replica(change) if change.event == "died"));
    assert!(matches!(&found[1].kind, EventKind::Publish(Publication { version: 9, slots_moved: None, .. })));
    assert!(matches!(&found[2].kind, EventKind::Change { outcome, .. } if outcome == "refused"));
    assert!(matches!(&found[3].kind, EventKind::Outage { available: false, .. }));
    assert_eq!(found[4].kind, EventKind::Config("configuration reloaded".to_owned()));
    assert_eq!(found[5].kind, EventKind::Other("news".to_owned()));
    let EventKind::Stats(stats) = &found[6].kind else { panic!("{:?}", found[6]) };
    assert_eq!(
        (stats.rates.requests_per_second, stats.rates.p50_ms, stats.rates.p99_ms),
        (1.5, None, Some(2.5))
    );
    assert_eq!(stats.replicas[0].name, "S1");
}

#[tokio::test]
async fn an_event_that_cannot_be_read_costs_no_other() {
    const STREAM: &str = "id: 3\nevent: stats\ndata: [\n\nid: 4\nevent: publish\ndata: {\"time\":7}\n\n\
                          id: 5\nevent: change\ndata: {\"time\":8,\"peer\":\"a\",\"request\":\"POST /add\",\
                          \"change\":null,\"outcome\":\"refused\",\"status\":400}\n\n";
    let (url, _) = server(200, STREAM).await;
    let mut events = Client::new(url, None).events(None).await.unwrap();
    for (id, time, kind) in [(3, 0, "stats"), (4, 7, "publish")] {
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(event, Event { id: Some(id), time, kind: EventKind::Other(kind.to_owned()) });
        assert_eq!(events.last(), Some(id));
    }
    let [peer, request, outcome] = ["a", "POST /add", "refused"].map(str::to_owned);
    let kind = EventKind::Change { peer, request, change: None, outcome };
    assert_eq!(events.next().await.unwrap(), Some(Event { id: Some(5), time: 8, kind }));
}

/// The output of a replica that is followed.
const OUTPUT: &str = ": hello\n\nevent: dropped\ndata: 3\n\nid: 4\nevent: line\ndata:  x: y\n\n\
                      event: news\ndata: z\n\nid: 5\nevent: line\ndata: \n\n";

#[tokio::test]
async fn the_output_of_a_replica_comes_at_once_or_line_by_line() {
    let (url, asked) = server(200, "a\nb\n").await;
    assert_eq!(Client::new(url, None).of_pool("web").log("S 1", 7).await.as_deref(), Ok("a\nb\n"));
    assert_eq!(asked.lock().unwrap()[0].1, "/pools/web/replicas/S%201/log?lines=7");
    let (url, asked) = server(200, OUTPUT).await;
    let mut log = Client::new(url, None).follow_log("S1", 50).await.unwrap();
    assert_eq!(asked.lock().unwrap()[0].1, "/replicas/S1/log?lines=50&follow=true");
    let mut pieces = Vec::new();
    while let Some(piece) = log.next().await.unwrap() {
        pieces.push(piece);
    }
    let line = |text: &str| LogPiece::Line(text.to_owned());
    assert_eq!(pieces, [LogPiece::Dropped(3), line(" x: y"), line("")]);
}

#[test]
fn figures_are_narrowed_to_one_pool() {
    let replica = |pool: &str| ReplicaStats { pool: pool.to_owned(), ..ReplicaStats::default() };
    let pool = |name: &str, requests| PoolStats {
        name: name.to_owned(),
        version: requests,
        rates: Rates { requests, ..Rates::default() },
    };
    let all = Stats {
        version: 1,
        rates: Rates { requests: 9, ..Rates::default() },
        connections: 4,
        replicas: vec![replica("web"), replica("api"), replica("web")],
        pools: vec![pool("web", 5), pool("api", 3)],
    };
    for (name, requests, replicas) in [(None, 5, 2), (Some("web"), 5, 2), (Some("api"), 3, 1)] {
        let one = all.clone().of_pool(name);
        assert_eq!((one.rates.requests, one.version, one.replicas.len()), (requests, requests, replicas));
        assert_eq!(one.connections, 4, "those of all clients");
    }
    assert_eq!(all.clone().of_pool(Some("shop")), all, "there is none of this name");
    let lone = Stats { pools: vec![pool("web", 5)], ..all };
    assert_eq!(lone.of_pool(None).rates.requests, 9, "also those that reach none");
}
