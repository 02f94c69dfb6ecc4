//! What is refused, with which status, and that none of it reaches the supervisor.

use http::{Method, Request, Version};
use http_body_util::Empty;

use super::script::{Bench, CONTEXT, Call, Got, add};
use crate::admin::{AdminConfig, Context, Listener};

/// Asserts a refusal in full.
fn assert_refused(bench: &Bench, call: &str, got: &Got, status: u16, code: &str) {
    assert_eq!(got.status.as_u16(), status, "{call}: {got:?}");
    assert_eq!(got.header("x-ringherd-error"), Some(code), "{call}");
    assert_eq!(got.header("content-type"), Some("application/json"), "{call}");
    assert_eq!(got.header("cache-control"), Some("no-store"), "{call}");
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"), "{call}");
    let cors = got.headers.keys().find(|name| name.as_str().starts_with("access-control"));
    assert_eq!(cors, None, "{call}");
    let json = got.json();
    assert_eq!(json["status"], "failure", "{call}");
    assert!(json["message"].as_str().unwrap().starts_with("<Error> "), "{call}: {json}");
    assert_eq!(json.as_object().unwrap().len(), 2, "{call}");
    assert_eq!(bench.commands(), [], "{call}");
}

async fn assert_all_refused(bench: &Bench, cases: Vec<(Call, u16, &str)>) {
    for (call, status, code) in cases {
        let got = bench.send(call.clone()).await;
        assert_refused(bench, &format!("{call:?}"), &got, status, code);
    }
}

fn open() -> Bench {
    Bench::new(AdminConfig { hosts: vec!["lb.example".to_owned()], ..AdminConfig::default() }, Ok(&["S1"]))
}

fn locked() -> Bench {
    Bench::new(AdminConfig { token: Some("s3cret".to_owned()), ..AdminConfig::default() }, Ok(&["S1"]))
}

#[tokio::test]
async fn foreign_hosts_and_pages() {
    let rm = || Call::new("DELETE", "/rm").json(r#"{"n":1}"#);
    let cases = vec![
        (add().host("evil.example"), 421, "misdirected"),
        (rm().host("evil.example:5001"), 421, "misdirected"),
        (Call::new("GET", "/rep").host("evil.example"), 421, "misdirected"),
        (Call::new("POST", "http://x/add").json(r#"{"n":1}"#), 421, "misdirected"),
        (Call::new("GET", "http://evil.example/rep"), 421, "misdirected"),
        (add().without("host"), 400, "bad-request"),
        (add().with("host", "127.0.0.1:5001"), 400, "bad-request"),
        (add().host(""), 400, "bad-request"),
        (add().host("user@127.0.0.1"), 400, "bad-request"),
        (Call::new("GET", "http://127.0.0.1/rep").without("host"), 400, "bad-request"),
        (add().with("origin", "http://evil.example"), 403, "foreign-origin"),
        (add().with("origin", "null"), 403, "foreign-origin"),
        (add().with("origin", "http://127.0.0.1:5000"), 403, "foreign-origin"),
        (add().with("origin", "https://127.0.0.1:5001"), 403, "foreign-origin"),
        (
            add().with("origin", "http://127.0.0.1:5001").with("origin", "http://127.0.0.1:5001"),
            403,
            "foreign-origin",
        ),
        (add().with("sec-fetch-site", "cross-site"), 403, "foreign-origin"),
        (rm().with("sec-fetch-site", "same-site"), 403, "foreign-origin"),
        (Call::new("GET", "/rep").with("sec-fetch-site", "cross-site"), 403, "foreign-origin"),
    ];
    assert_all_refused(&open(), cases).await;
}

#[tokio::test]
async fn our_own_hosts_and_pages_are_let_in() {
    let bench = open();
    for call in [
        add().host("localhost"),
        add().host("[::1]:5001"),
        add().host("LB.Example:80"),
        Call::new("POST", "http://127.0.0.1:5001/add").json(r#"{"n":1}"#).host("evil.example"),
        add().with("origin", "http://127.0.0.1:5001").with("sec-fetch-site", "same-origin"),
        add().with("sec-fetch-site", "none"),
        add().host("lb.example").with("origin", "https://lb.example").with("sec-fetch-site", "same-origin"),
    ] {
        let got = bench.send(call.clone()).await;
        assert_eq!(got.status, 200, "{call:?}");
        assert_eq!(bench.commands().len(), 1, "{call:?}");
    }
}

#[tokio::test]
async fn http_2_names_the_host_in_its_target() {
    let bench = open();
    for (uri, status) in [("http://127.0.0.1:5001/rep", 200), ("http://evil.example/rep", 421)] {
        let request = Request::builder().version(Version::HTTP_2).uri(uri).body(Empty::new()).unwrap();
        assert_eq!(bench.send_body(request, CONTEXT).await.status, status, "{uri}");
    }
}

#[tokio::test]
async fn without_the_token() {
    let bench = locked();
    let authorizations: &[&[&str]] = &[
        &[],
        &["Bearer wrong"],
        &["Bearer "],
        &["Basic YTpi"],
        &["Bearer s3cretx"],
        &["Bearer s3cre"],
        &["Bearer wrong", "Bearer s3cret"],
    ];
    for values in authorizations {
        for call in [add(), Call::new("DELETE", "/rm").json(r#"{"n":1}"#), Call::new("GET", "/rep")] {
            let call = values.iter().fold(call, |call, value| call.with("authorization", value));
            let got = bench.send(call.clone().with("x-forwarded-for", "127.0.0.1")).await;
            assert_refused(&bench, &format!("{call:?}"), &got, 401, "unauthorized");
            assert_eq!(got.header("www-authenticate"), Some("Bearer"));
        }
    }
    let got = bench.send(add().with("authorization", "bearer s3cret")).await;
    assert_eq!((got.status.as_u16(), bench.commands().len()), (200, 1));
}

#[tokio::test]
async fn the_first_check_that_fails_answers() {
    let token = |call: Call| call.with("authorization", "Bearer s3cret");
    let worst = || Call::new("POST", "/nowhere?x").with("content-type", "text/plain");
    let cases = vec![
        (worst().host("evil.example").with("origin", "null"), 421, "misdirected"),
        (worst().with("origin", "null"), 403, "foreign-origin"),
        (worst(), 401, "unauthorized"),
        (Call::new("POST", "/rep"), 401, "unauthorized"),
        (token(worst()), 404, "not-found"),
        (token(Call::new("GET", "/add?x")), 405, "method-not-allowed"),
        (token(Call::new("POST", "/add?x")), 400, "bad-request"),
        (token(Call::new("POST", "/add").with("content-type", "text/plain")), 415, "unsupported-media-type"),
        (token(Call::new("POST", "/add").json("{")), 400, "bad-request"),
    ];
    assert_all_refused(&locked(), cases).await;
}

#[tokio::test]
async fn paths_are_taken_as_they_are() {
    let paths = ["//add", "/./add", "/x/../add", "/add/", "/%61dd", "/ADD", "/add;x", "/add%00", "*"];
    let more = [
        "/replicas",
        "/replicas/",
        "/replicas/a/b",
        "/replicas/a/",
        "/replicas//kill",
        "/replicas/a/kill/",
        "/healthz/",
        "/metrics/",
        "/home",
    ];
    let cases = paths.iter().chain(&more).map(|path| {
        let call = Call::new("POST", path).json(r#"{"n":1}"#);
        (call, 404, "not-found")
    });
    assert_all_refused(&open(), cases.collect()).await;
    let weight = |path| Call::new("PUT", path).json(r#"{"weight":1}"#);
    let cases = vec![
        (weight("/replicas/a%"), 400, "bad-request"),
        (weight("/replicas/%ff"), 400, "bad-request"),
        (weight("/replicas/a?x"), 400, "bad-request"),
        (Call::new("POST", "/replicas/%ff/kill").json("{}"), 400, "bad-request"),
        (Call::new("POST", "/replicas/a/kill").json(r#"{"n":1}"#), 400, "bad-request"),
        (add().context(Context { flawed_target: true, ..CONTEXT }), 400, "bad-request"),
    ];
    assert_all_refused(&open(), cases).await;
}

#[tokio::test]
async fn a_known_path_names_its_methods() {
    let bench = open();
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "X"];
    for (path, allow) in [
        ("/", "GET, HEAD"),
        ("/rep", "GET, HEAD"),
        ("/add", "POST"),
        ("/rm", "DELETE"),
        ("/ring", "GET, HEAD, PUT"),
        ("/ring/sectors", "GET, HEAD"),
        ("/statistics", "GET, HEAD"),
        ("/replicas/S1", "PUT"),
        ("/replicas/S1/kill", "POST"),
        ("/metrics", "GET, HEAD"),
        ("/events", "GET"),
        ("/version", "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
    ] {
        for method in methods.into_iter().filter(|method| !allow.split(", ").any(|right| right == *method)) {
            let call = Call::new(method, path).with("x-http-method-override", allow);
            let got = bench.send(call).await;
            assert_refused(&bench, &format!("{method} {path}"), &got, 405, "method-not-allowed");
            assert_eq!(got.header("allow"), Some(allow));
        }
    }
}

#[tokio::test]
async fn the_public_listener_has_only_its_three() {
    let bench = open();
    let context = Context { listener: Listener::Public, ..CONTEXT };
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/ring"),
        (Method::GET, "/healthz"),
        (Method::HEAD, "/rep"),
        (Method::OPTIONS, "/add"),
    ] {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header("host", "127.0.0.1")
            .body(Empty::new())
            .unwrap();
        let got = bench.send_body(request, context).await;
        assert_refused(&bench, &format!("{method} {path}"), &got, 404, "not-found");
    }
}

#[tokio::test]
async fn bodies_that_are_not_plain_json() {
    let typed = |kind: &str| add().without("content-type").with("content-type", kind);
    let cases = vec![
        (typed("text/plain"), 415, "unsupported-media-type"),
        (typed("application/x-www-form-urlencoded"), 415, "unsupported-media-type"),
        (typed("multipart/form-data; boundary=x"), 415, "unsupported-media-type"),
        (typed("application/json; charset=utf-16"), 415, "unsupported-media-type"),
        (add().without("content-type"), 415, "unsupported-media-type"),
        (add().with("content-type", "application/json"), 415, "unsupported-media-type"),
        (add().with("content-encoding", "gzip"), 415, "unsupported-media-type"),
        (Call::new("POST", "/add"), 415, "unsupported-media-type"),
        (Call::new("DELETE", "/rm"), 415, "unsupported-media-type"),
        (Call::new("PUT", "/ring"), 415, "unsupported-media-type"),
        (Call::new("PUT", "/replicas/S1"), 415, "unsupported-media-type"),
    ];
    assert_all_refused(&open(), cases).await;
}

#[tokio::test]
async fn bodies_that_ask_for_nonsense() {
    let mut cases = Vec::new();
    let huge = format!("1{}", "0".repeat(400));
    for n in ["4294967296", "9223372036854775808", "18446744073709551616", &huge, "-1", "1.5", "1e3", "\"3\""]
    {
        cases.push(("POST", "/add", format!("{{\"n\":{n}}}")));
        cases.push(("DELETE", "/rm", format!("{{\"n\":{n}}}")));
    }
    for (method, path, body) in [
        ("POST", "/add", r#"{"n":0,"hostnames":["a"]}"#),
        ("POST", "/add", r#"{"n":1,"hostnames":["A","B"]}"#),
        ("POST", "/add", r#"{"n":2,"hostnames":["dup1","dup1"]}"#),
        ("POST", "/add", r#"{"n":1,"hostnames":["a\r\nX: y"]}"#),
        ("POST", "/add", r#"{"n":0,"n":1000000}"#),
        ("POST", "/add", r#"{"n":0}{"n":1}"#),
        ("POST", "/add", "n=1"),
        ("POST", "/add", ""),
        ("DELETE", "/rm", r#"{"n":1,"hostnames":["a1","a2"]}"#),
        ("DELETE", "/rm", r#"{"n":1,"endpoints":[]}"#),
        ("PUT", "/ring", "{}"),
        ("PUT", "/ring", r#"{"family":"best"}"#),
        ("PUT", "/ring", r#"{"bounded_load":2}"#),
        ("PUT", "/replicas/S1", r#"{"weight":101}"#),
        ("PUT", "/replicas/S1", r#"{"weight":-1}"#),
        ("PUT", "/replicas/S1", r#"{"weight":null}"#),
    ] {
        cases.push((method, path, body.to_owned()));
    }
    let cases = cases
        .into_iter()
        .map(|(method, path, body)| (Call::new(method, path).json(body), 400, "bad-request"));
    assert_all_refused(&open(), cases.collect()).await;
}
