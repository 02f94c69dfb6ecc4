//! What is answered to requests that are in order, and to those the supervisor turns down.

use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use http::StatusCode;
use serde_json::json;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use super::script::{Bench, CONTEXT, Call, add, change, view};
use crate::admin::{AdminConfig, Context, Listener};
use crate::cluster::KeySource;
use crate::control::name;
use crate::control::{Add, ControlError, Remove, Request, RingChange, State};

const THREE: &str =
    concat!(r#"{"message":{"N":3,"replicas":["Server 1","S4","S5"]},"status":"successful"}"#, "\n");

fn bench() -> Bench {
    Bench::new(AdminConfig::default(), Ok(&["Server 1", "S4", "S5"]))
}

#[tokio::test]
async fn the_three_routes_answer_to_the_letter_on_both_listeners() {
    let bench = bench();
    for listener in [Listener::Public, Listener::Admin] {
        let context = Context { listener, ..CONTEXT };
        let got = bench.send(Call::new("GET", "/rep?x").context(context)).await;
        assert_eq!(got.status, StatusCode::OK);
        let two = r#"{"message":{"N":2,"replicas":["S1","S2"]},"status":"successful"}"#;
        assert_eq!(got.text, format!("{two}\n"));
        assert_eq!(got.header("content-type"), Some("application/json"));
        assert_eq!(got.header("cache-control"), Some("no-store"));
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(got.headers.len(), 3);
        assert_eq!(bench.commands(), []);

        let body = r#"{"n":2,"hostnames":["S4","S5"]}"#;
        let names = vec!["S4".to_owned(), "S5".to_owned()];
        let got = bench.send(Call::new("POST", "/add").json(body).context(context)).await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, THREE));
        let add = Add { count: 2, names: names.clone(), endpoints: Vec::new() };
        assert_eq!(bench.commands(), [Request::Add(add)]);

        let got = bench.send(Call::new("DELETE", "/rm").json(body).context(context)).await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, THREE));
        assert_eq!(bench.commands(), [Request::Remove(Remove { count: 2, names })]);
        assert_eq!(got.header("connection"), None, "the body was read to its end");
    }
}

#[tokio::test]
async fn the_ring_is_shown_with_its_replicas() {
    let bench = bench();
    let mut ring = view(&["Server 1", "S4"]);
    let held = ring.replicas[0].endpoint.as_ref().unwrap().begin();
    change(&mut ring, 1, |replica| {
        replica.state = State::Ejected;
        replica.endpoint = None;
        replica.address = None;
        replica.instance = None;
        replica.note = "no answer".to_owned();
    });
    let (peak, slots) = (ring.ring.peak_to_average(), ring.ring.slots_owned().to_vec());
    bench.view.send(Arc::new(ring)).unwrap();
    let got = bench.send(Call::new("GET", "/ring")).await;
    drop(held);
    let share = |slots: u32| f64::from(slots) / 512.0;
    assert_eq!(
        got.json(),
        json!({
            "family": "modified", "probing": "quadratic", "slots": 512, "virtual_nodes": 9,
            "placement": "ring", "version": 7, "peak_to_average": peak, "key": "request-id",
            "bounded_load": 1.25,
            "replicas": [
                { "number": 1, "name": "Server 1", "address": "127.0.0.1:9001", "state": "ready",
                  "weight": 100, "slots": slots[0], "share": share(slots[0]), "in_flight": 1,
                  "requests": 1, "revision": "base", "instance": "pid 1" },
                { "number": 2, "name": "S4", "address": null, "state": "ejected", "weight": 100,
                  "slots": slots[1], "share": share(slots[1]), "in_flight": 0, "requests": 0, "revision": "base",
                  "note": "no answer" },
            ]
        })
    );
}

#[tokio::test]
async fn the_sectors_say_who_owns_the_middle_of_each() {
    let bench = bench();
    for names in [&["S1"][..], &["S1", "S2", "S3"], &["S1", "S2"]] {
        let view = view(names);
        let ring = Arc::clone(&view.ring);
        bench.view.send(Arc::new(view)).unwrap();
        let got = bench.send(Call::new("GET", "/ring/sectors")).await.json();
        assert_eq!((&got["version"], &got["slots"]), (&json!(7), &json!(512)));
        let owner = |sector: u32| ring.owner_number(((f64::from(sector) + 0.5) * 512.0 / 720.0) as u32);
        let owners: Vec<_> = (0..720).map(|sector| owner(sector).unwrap()).collect();
        assert_eq!(got["sectors"], json!(owners), "{names:?}");
        assert_eq!(owners.iter().max(), Some(&(names.len() as u32)), "each owns some");
    }
    bench.view.send(Arc::new(view(&[]))).unwrap();
    let got = bench.send(Call::new("GET", "/ring/sectors")).await.json();
    assert_eq!(got["sectors"], json!(vec![0; 720]), "nobody owns anything");
}

#[tokio::test]
async fn ring_and_weights_can_be_changed() {
    let bench = bench();
    let got = bench.send(Call::new("PUT", "/ring").json(r#"{"slots":65536,"key":"path"}"#)).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.json()["replicas"].as_array().unwrap().len(), 3);
    let change = RingChange { slots: Some(65_536), key: Some(KeySource::Path), ..RingChange::default() };
    assert_eq!(bench.commands(), [Request::ChangeRing(change)]);

    let got = bench.send(Call::new("PUT", "/replicas/Server%201").json(r#"{"weight":0}"#)).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.json()["name"], "Server 1");
    assert_eq!(bench.commands(), [Request::SetWeight { name: "Server 1".to_owned(), weight: 0 }]);

    // The spelling of a host name is that of the same replica.
    for path in ["/replicas/server-1", "/replicas/SERVER_1"] {
        let got = bench.send(Call::new("PUT", path).json(r#"{"weight":7}"#)).await;
        assert_eq!((got.status, &got.json()["name"]), (StatusCode::OK, &json!("Server 1")), "{path}");
    }
    assert_eq!(bench.commands().len(), 2);

    let got = bench.send(Call::new("POST", "/replicas/Server%201/kill").json("{}")).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.json()["message"], "'Server 1' is being killed");
    assert_eq!(bench.commands(), [Request::Kill { name: "Server 1".to_owned() }]);
}

#[tokio::test]
async fn whatever_is_text_ends_with_a_newline() {
    let bench = bench();
    for call in [
        Call::new("GET", "/"),
        Call::new("GET", "/rep"),
        Call::new("GET", "/ring"),
        Call::new("GET", "/ring/sectors"),
        Call::new("GET", "/statistics"),
        Call::new("GET", "/version"),
        Call::new("GET", "/healthz"),
        Call::new("GET", "/metrics"),
        Call::new("GET", "/openapi.json"),
        Call::new("GET", "/nowhere"),
        Call::new("POST", "/rep"),
        add(),
        add().host("evil.example"),
    ] {
        let text = bench.send(call.clone()).await.text;
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{call:?}: {text:?}");
    }
}

#[tokio::test]
async fn head_is_get() {
    let bench = bench();
    for path in ["/", "/rep", "/ring", "/ring/sectors", "/statistics", "/version", "/healthz", "/readyz"] {
        let (get, head) =
            (bench.send(Call::new("GET", path)).await, bench.send(Call::new("HEAD", path)).await);
        assert_eq!((get.status, &get.headers, &get.text), (head.status, &head.headers, &head.text), "{path}");
        assert_eq!(get.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn probes_need_no_token_and_no_name() {
    let bench = Bench::new(AdminConfig { token: Some("t".to_owned()), ..AdminConfig::default() }, Ok(&[]));
    for call in [
        Call::new("GET", "/healthz"),
        Call::new("GET", "/readyz").host("evil.example"),
        Call::new("HEAD", "/readyz").without("host"),
    ] {
        assert_eq!(bench.send(call.clone()).await.status, StatusCode::OK, "{call:?}");
    }
    assert_eq!(bench.send(Call::new("POST", "/healthz")).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn readiness_follows_the_replicas_and_ends_with_stopping() {
    let bench = bench();
    let mut ejected = view(&["S1"]);
    change(&mut ejected, 0, |replica| replica.state = State::Ejected);
    let mut drained = view(&["S1"]);
    change(&mut drained, 0, |replica| replica.weight = 0);
    let mut stopping = view(&["S1"]);
    stopping.stopping = true;
    for (view, code) in
        [(view(&[]), "not-ready"), (ejected, "not-ready"), (drained, "not-ready"), (stopping, "stopping")]
    {
        bench.view.send(Arc::new(view)).unwrap();
        let got = bench.send(Call::new("GET", "/readyz")).await;
        assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(got.header("x-ringherd-error"), Some(code));
        assert_eq!(got.header("retry-after"), Some("1"));
        assert_eq!(bench.send(Call::new("GET", "/healthz")).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn the_supervisors_errors_become_answers() {
    use ControlError as E;
    let names = || vec![("S9".to_owned(), "exited with status 1".to_owned())];
    let cases = [
        (E::NameTaken("S4".into()), 400, "bad-request", "<Error> a replica named 'S4' exists already"),
        (E::UnknownName("S9".into()), 400, "bad-request", "<Error> there is no replica named 'S9'"),
        (E::Name(name::check("_").unwrap_err()), 400, "bad-request", "<Error> hostname \"_\" is not a name"),
        (E::TooFew { asked: 9, present: 3 }, 400, "bad-request", "<Error> cannot remove 9"),
        (E::TooMany { asked: 99, total: 102, max: 64 }, 400, "bad-request", "<Error> cannot add 99"),
        (E::MoreNamesThanAdded, 400, "bad-request", "<Error> Length of hostname list is more than newly"),
        (E::MoreNamesThanRemoved, 400, "bad-request", "<Error> Length of hostname list is more than rem"),
        (E::EndpointsNotTaken("process"), 400, "bad-request", "<Error> 'endpoints' is for"),
        (E::EndpointsNeeded(2), 400, "bad-request", "<Error> --runtime fixed"),
        (E::BadEndpoint("x".into()), 400, "bad-request", "<Error> endpoint 'x'"),
        (E::EndpointTaken("a:1".into()), 400, "bad-request", "<Error> endpoint 'a:1'"),
        (E::Ring("at most 56 fit".into()), 409, "conflict", "<Error> at most 56 fit"),
        (
            E::RemovedMeanwhile(vec!["S9".into()]),
            409,
            "conflict",
            "<Error> nothing was added, because 'S9' was",
        ),
        (E::StartFailed(names()), 502, "start-failed", "<Error> nothing was added, because of 'S9': exited"),
        (E::Busy, 503, "busy", "<Error> too many changes are waiting"),
        (E::Stopping, 503, "stopping", "<Error> the balancer is stopping"),
    ];
    for (error, status, code, message) in cases {
        let bench = Bench::new(AdminConfig::default(), Err(error));
        let got = bench.send(add()).await;
        assert_eq!((got.status.as_u16(), got.header("x-ringherd-error")), (status, Some(code)), "{got:?}");
        assert!(got.json()["message"].as_str().unwrap().starts_with(message), "{got:?}");
        assert_eq!(got.json()["status"], "failure");
        assert_eq!(got.header("retry-after").is_some(), status == 503);
        assert_eq!(bench.commands().len(), 1);
    }
}

#[tokio::test]
async fn a_replica_that_is_missing_from_the_path_is_not_found() {
    let bench = Bench::new(AdminConfig::default(), Err(ControlError::UnknownName("S9".into())));
    let got = bench.send(Call::new("PUT", "/replicas/S9").json(r#"{"weight":5}"#)).await;
    assert_eq!((got.status.as_u16(), got.header("x-ringherd-error")), (404, Some("not-found")));
}

#[tokio::test]
async fn every_attempt_to_change_leaves_one_line() {
    let (log, _guard) = kept();
    let bench = bench();
    bench.send(Call::new("GET", "/rep")).await;
    assert_eq!(log.take(), Vec::<serde_json::Value>::new());

    bench.send(Call::new("POST", "/add").json(r#"{"n":2,"hostnames":["S4"]}"#)).await;
    let [line] = &log.take()[..] else { panic!("one line") };
    assert_eq!(line["target"], "audit");
    let fields = &line["fields"];
    assert_eq!(fields["audit"], true);
    assert_eq!(fields["peer"], "127.0.0.1:40000");
    assert_eq!(fields["request"], "POST /add");
    assert_eq!((&fields["status"], &fields["outcome"]), (&json!(200), &json!("done")));
    assert!(fields["duration_ms"].is_u64());
    assert_eq!(fields["change"], r#"add n=2 hostnames=["S4"] endpoints=[]"#);

    bench.send(add().host("evil.example")).await;
    let [line] = &log.take()[..] else { panic!("one line") };
    assert_eq!((&line["fields"]["status"], &line["fields"]["outcome"]), (&json!(421), &json!("refused")));
}

#[tokio::test]
async fn a_client_that_leaves_is_in_the_audit_log_too() {
    let (log, _guard) = kept();
    let bench = bench();
    {
        let mut answer = std::pin::pin!(bench.send(add()));
        // The command is sent by the first poll; the supervisor has had no turn to answer.
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(answer.as_mut().poll(cx).is_pending())).await
        );
    }
    let [line] = &log.take()[..] else { panic!("one line") };
    assert_eq!(line["fields"]["outcome"], "the client left before the answer");
    assert_eq!(line["fields"]["change"], "add n=1 hostnames=[] endpoints=[]");
}

/// The log lines of this thread from now on, until the guard is dropped.
fn kept() -> (Log, DefaultGuard) {
    // A place in the code that logs for the first time asks who listens, and keeps the answer. Without somebody who
    // always does, a test on another thread may have it keep that nobody does.
    static ALWAYS: Once = Once::new();
    ALWAYS.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry())
            .expect("no other test sets one");
    });
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

/// Log lines, kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> Vec<serde_json::Value> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        serde_json::Deserializer::from_slice(&bytes).into_iter().map(Result::unwrap).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
