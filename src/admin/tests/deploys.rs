//! Deploys: what is asked of the supervisor, and how one is shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;

use super::script::{Bench, Call, change, view};
use crate::admin::AdminConfig;
use crate::control::{
    ControlError, DeployOrder, DeployRequest, DeployState, DeployStep, DeployView, DeployedNumber,
    Experience, Request, View,
};
use crate::runtime::Revision;

fn deploy(state: DeployState) -> DeployView {
    let now = Instant::now();
    let began = now.checked_sub(Duration::from_secs(12)).expect("the machine runs that long");
    let number = |number, step, serving: &str, beside: Option<&str>| DeployedNumber {
        number,
        step,
        serving: serving.to_owned(),
        beside: beside.map(str::to_owned),
    };
    DeployView {
        id: 3,
        from: "base".to_owned(),
        to: "v2".to_owned(),
        order: DeployOrder::StartFirst,
        state,
        reason: String::new(),
        failed: None,
        canary: None,
        numbers: vec![
            number(1, DeployStep::Judging, "S1b", Some("S1")),
            number(2, DeployStep::Pending, "S2", None),
        ],
        old: Experience { requests: 100, errors: 1, p99: Some(Duration::from_millis(20)) },
        new: Experience { requests: 7, errors: 0, p99: None },
        began,
        ended: state.has_ended().then(|| began + Duration::from_secs(10)),
    }
}

fn deploying(state: DeployState) -> View {
    let mut view = view(&["S1", "S2"]);
    view.deploy = Some(Arc::new(deploy(state)));
    view
}

fn bench() -> Bench {
    Bench::answering(AdminConfig::default(), || Ok(deploying(DeployState::Judging)))
}

#[tokio::test]
async fn each_change_of_a_deploy_reaches_the_pool_and_is_accepted() {
    let bench = bench();
    let to = |canary| Request::Deploy(DeployRequest { revision: "v2".to_owned(), canary });
    for (call, asked) in [
        (Call::new("POST", "/deploy").json(r#"{"revision":"v2"}"#), to(None)),
        (Call::new("POST", "/pools/default/deploy").json(r#"{"revision":"v2","canary":10}"#), to(Some(10))),
        (Call::new("POST", "/deploy/promote").json("{}"), Request::Promote),
        (Call::new("POST", "/pools/default/deploy/promote").json("{}"), Request::Promote),
        (Call::new("DELETE", "/deploy"), Request::AbortDeploy),
        (Call::new("DELETE", "/deploy").json("{}"), Request::AbortDeploy),
        (Call::new("DELETE", "/pools/default/deploy"), Request::AbortDeploy),
    ] {
        let got = bench.send(call.clone()).await;
        assert_eq!(got.status, StatusCode::ACCEPTED, "{call:?} {got:?}");
        assert_eq!((&got.json()["id"], &got.json()["state"]), (&json!(3), &json!("judging")));
        assert_eq!(bench.commands(), [asked], "{call:?}");
    }
}

#[tokio::test]
async fn a_deploy_is_shown_with_all_that_is_known_of_it() {
    let bench = bench();
    let never = bench.send(Call::new("GET", "/deploy")).await;
    assert_eq!((never.status, never.header("x-ringherd-error")), (StatusCode::NOT_FOUND, Some("not-found")));
    bench.view.send(Arc::new(deploying(DeployState::Judging))).unwrap();
    let got = bench.send(Call::new("GET", "/pools/default/deploy")).await;
    assert_eq!(got.status, StatusCode::OK);
    let mut json = got.json();
    let took = json["took_seconds"].take().as_f64().expect("a number");
    assert!((12.0..60.0).contains(&took), "{took}");
    assert_eq!(
        json,
        json!({
            "id": 3, "from": "base", "to": "v2", "order": "start-first", "state": "judging", "ended": false, "reason": "", "failed": null,
            "canary": null,
            "numbers": [
                { "number": 1, "step": "judging", "serving": "S1b", "beside": "S1" },
                { "number": 2, "step": "pending", "serving": "S2", "beside": null },
            ],
            "old": { "requests": 100, "errors": 1, "p99_seconds": 0.02 },
            "new": { "requests": 7, "errors": 0, "p99_seconds": null },
            "took_seconds": null, "ended_seconds_ago": null,
        })
    );
    let mut ended = deploying(DeployState::Reverted);
    let deploy = Arc::make_mut(ended.deploy.as_mut().expect("one"));
    deploy.order = DeployOrder::StopFirst;
    (deploy.reason, deploy.failed, deploy.canary) =
        ("5 % failed".to_owned(), Some("S1b".to_owned()), Some(1));
    bench.view.send(Arc::new(ended)).unwrap();
    let json = bench.send(Call::new("GET", "/deploy")).await.json();
    assert_eq!((&json["ended"], &json["took_seconds"]), (&json!(true), &json!(10.0)));
    assert_eq!(json["order"], "stop-first");
    assert!(json["ended_seconds_ago"].as_f64().is_some_and(|ago| ago >= 2.0), "{json}");
    assert_eq!(
        (&json["reason"], &json["failed"], &json["canary"]),
        (&json!("5 % failed"), &json!("S1b"), &json!(1))
    );
}

#[tokio::test]
async fn what_cannot_be_deployed_is_refused() {
    let known = || vec!["base".to_owned(), "v2".to_owned()];
    for (error, status) in [
        (ControlError::Deploying("v2".to_owned()), StatusCode::CONFLICT),
        (ControlError::DeployingElsewhere, StatusCode::CONFLICT),
        (ControlError::NotDeploying, StatusCode::CONFLICT),
        (ControlError::NotWaiting("v2".to_owned()), StatusCode::CONFLICT),
        (ControlError::DeployedAlready("v2".to_owned()), StatusCode::CONFLICT),
        (ControlError::NothingToDeploy, StatusCode::CONFLICT),
        (ControlError::UnknownRevision { name: "v3".to_owned(), known: known() }, StatusCode::CONFLICT),
        (ControlError::NoDeploys("fixed"), StatusCode::CONFLICT),
    ] {
        let message = error.to_string();
        let bench = Bench::new(AdminConfig::default(), Err(error));
        let got = bench.send(Call::new("POST", "/deploy").json(r#"{"revision":"v3"}"#)).await;
        assert_eq!(got.status, status, "{message}");
        assert_eq!(got.json()["message"], format!("<Error> {message}"));
    }
}

#[tokio::test]
async fn a_body_that_makes_no_sense_reaches_nobody() {
    let bench = bench();
    for (method, path, body) in [
        ("POST", "/deploy", "{}"),
        ("POST", "/deploy", r#"{"revision":2}"#),
        ("POST", "/deploy", r#"{"revision":"v2","canary":0}"#),
        ("POST", "/deploy", r#"{"revision":"v2","canary":100}"#),
        ("POST", "/deploy", r#"{"revision":"v2","canary":null}"#),
        ("POST", "/deploy", r#"{"revision":"v2","canary":"10%"}"#),
        ("POST", "/deploy", r#"{"revision":"v2","to":1}"#),
        ("POST", "/deploy/promote", r#"{"canary":1}"#),
        ("DELETE", "/deploy", r#"{"revision":"v2"}"#),
    ] {
        let got = bench.send(Call::new(method, path).json(body)).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{method} {path} {body}");
    }
    let bare = bench.send(Call::new("POST", "/deploy/promote")).await;
    assert_eq!(bare.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "a form can send it");
    assert_eq!(bench.commands(), []);
}

#[tokio::test]
async fn replicas_are_shown_with_their_revision() {
    let bench = bench();
    let mut ring = view(&["S1", "S2"]);
    change(&mut ring, 1, |replica| {
        replica.revision = Arc::new(Revision { name: "v2".to_owned(), ..Revision::default() });
    });
    bench.view.send(Arc::new(ring)).unwrap();
    let json = bench.send(Call::new("GET", "/ring")).await.json();
    assert_eq!(
        (&json["replicas"][0]["revision"], &json["replicas"][1]["revision"]),
        (&json!("base"), &json!("v2"))
    );
}

#[tokio::test]
async fn an_image_is_deployed_only_by_who_has_shown_a_token() {
    const BODY: &str = r#"{"revision":"registry.example.org/web:3"}"#;
    let open = bench();
    let refused = open.send(Call::new("POST", "/deploy").json(BODY)).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(open.commands().is_empty(), "the pool is not asked");
    let config = AdminConfig { token: Some("12345678".to_owned()), ..AdminConfig::default() };
    let guarded = Bench::answering(config, || Ok(deploying(DeployState::Judging)));
    let call = Call::new("POST", "/deploy").json(BODY).with("authorization", "Bearer 12345678");
    assert_eq!(guarded.send(call).await.status, StatusCode::ACCEPTED);
}
