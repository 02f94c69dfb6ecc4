//! How a deploy is told, and what the command asks a balancer that answers by script.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::client::{Client, DeployedNumber, Experience, Url};

fn number(number: u32, step: &str, serving: &str, beside: Option<&str>) -> DeployedNumber {
    DeployedNumber {
        number,
        step: step.to_owned(),
        serving: serving.to_owned(),
        beside: beside.map(str::to_owned),
    }
}

fn report(state: &str, numbers: Vec<DeployedNumber>) -> DeployReport {
    DeployReport {
        id: 1,
        from: "v1".to_owned(),
        to: "v2".to_owned(),
        order: "start-first".to_owned(),
        state: state.to_owned(),
        ended: ["succeeded", "reverted", "aborted"].contains(&state),
        reason: String::new(),
        failed: None,
        canary: None,
        numbers,
        old: Experience { requests: 200, errors: 1, p99_seconds: Some(0.0123) },
        new: Experience { requests: 0, errors: 0, p99_seconds: None },
        took_seconds: 12.345,
    }
}

fn reverted(reason: &str) -> DeployReport {
    let numbers = vec![number(1, "reverted", "S1", None)];
    let (reason, failed) = (reason.to_owned(), Some("N1".to_owned()));
    DeployReport { reason, failed, ..report("reverted", numbers) }
}

#[test]
fn percents_are_written_with_or_without_a_sign() {
    assert_eq!(["1", "10%", "99 %"].map(percent), [Ok(1), Ok(10), Ok(99)]);
    for bad in ["0", "100", "", "%", "+5", "1.5", "10%%", "ten"] {
        assert!(percent(bad).is_err(), "{bad}");
    }
}

#[test]
fn one_thing_is_asked_for() {
    let wanted = |words: &str| {
        let words = ["ringherd", "deploy"].into_iter().chain(words.split_whitespace());
        let matches = crate::cli::command().try_get_matches_from(words).ok()?;
        Some(Wanted::of(matches.subcommand()?.1))
    };
    let deploy =
        |canary, wait| Some(Wanted { what: What::Deploy { revision: "v2".to_owned(), canary }, wait });
    assert_eq!(wanted("v2"), deploy(None, true));
    assert_eq!(wanted("--canary 10% --pool web v2"), deploy(Some(10), true));
    assert_eq!(wanted("v2 --no-wait"), deploy(None, false));
    let other = |what, wait| Some(Wanted { what, wait });
    assert_eq!(wanted("--status"), other(What::Status, true));
    assert_eq!(wanted("--promote --no-wait"), other(What::Promote, false));
    assert_eq!(wanted("--abort"), other(What::Abort, true));
    for bad in
        ["", "--canary 10", "--canary 0 v2", "--status v2", "--status --abort", "--abort --canary 1", "v2 v3"]
    {
        assert_eq!(wanted(bad), None, "{bad}");
    }
}

#[test]
fn each_change_is_a_line() {
    let pending = |number_: u32| number(number_, "pending", &format!("S{number_}"), None);
    let before = report("starting", vec![pending(1), pending(2)]);
    let starting = report("starting", vec![number(1, "starting", "S1", Some("N1")), pending(2)]);
    let judging = report("judging", vec![number(1, "judging", "N\u{1b}1", Some("S1")), pending(2)]);
    let next = report(
        "starting",
        vec![number(1, "passed", "N1", Some("S1")), number(2, "starting", "S2", Some("N2"))],
    );
    let back =
        report("reverting", vec![number(1, "reverted", "S1", None), number(2, "reverted", "S2", None)]);
    let back = DeployReport { reason: "5 % of requests failed".to_owned(), ..back };
    for (before, now, expected) in [
        (&before, &before, &[][..]),
        (&before, &starting, &["number 1: 'N1' of v2 starts beside 'S1'"]),
        (
            &starting,
            &judging,
            &["number 1: v2 takes over from v1: 'N\u{fffd}1' from 'S1'", "judging 1 of 2 numbers"],
        ),
        (&judging, &next, &["number 1: v2 has passed", "number 2: 'N2' of v2 starts beside 'S2'"]),
        (
            &next,
            &back,
            &[
                "number 1: 'S1' of v1 has it again",
                "number 2: 'S2' of v1 has it again",
                "reverting: 5 % of requests failed",
            ],
        ),
    ] {
        assert_eq!(text::changes(before, now), expected);
    }
}

#[test]
fn a_number_that_is_empty_in_between_is_told_as_such() {
    let stop_first =
        |state, numbers| DeployReport { order: "stop-first".to_owned(), ..report(state, numbers) };
    let pending = stop_first("starting", vec![number(1, "pending", "S1", None)]);
    let starting = stop_first("starting", vec![number(1, "starting", "N1", None)]);
    let judging = stop_first("judging", vec![number(1, "judging", "N1", None)]);
    let reverting = stop_first("reverting", vec![number(1, "reverted", "O1", None)]);
    assert_eq!(
        text::changes(&pending, &starting),
        ["number 1: the replica of v1 has to go first; 'N1' of v2 follows"]
    );
    let served = ["number 1: 'N1' of v2 serves it", "judging 1 of 1 number"];
    assert_eq!(text::changes(&starting, &judging), served);
    let back = "number 1: the replica of v2 has to go; 'O1' of v1 follows";
    assert_eq!(text::changes(&judging, &reverting), [back, "reverting: no reason is known"]);
}

#[test]
fn an_end_says_what_became_of_it_and_how_long_it_took() {
    let numbers = || vec![number(1, "passed", "N1", None), number(2, "passed", "N2", None)];
    assert_eq!(text::end(&report("succeeded", numbers())), "deployed v2 to 2 numbers in 12s 300ms");
    let waiting = DeployReport { canary: Some(1), ..report("waiting", numbers()) };
    assert!(text::end(&waiting).starts_with("v2 is on 1 of 2 numbers after 12s 300ms, and waits: "));
    let aborted = "v2 was taken back after 12s 300ms, as asked for: v1 is on all numbers again";
    let back = vec![number(1, "reverted", "S1", None), number(2, "pending", "S2", None)];
    assert_eq!(text::end(&report("aborted", back)), aborted);
    let kept = report("aborted", vec![number(1, "passed", "N1", None), number(2, "reverted", "S2", None)]);
    let expected = "v2 was taken back after 12s 300ms, as asked for: v2 is still on 1 of 2 numbers";
    assert_eq!(text::end(&kept), expected);
    let expected = "v2 was taken back after 12s 300ms, v1 is on all numbers again: all is\u{fffd}lost";
    assert_eq!(text::end(&reverted("all is\nlost")), expected);
}

#[test]
fn one_that_was_only_prepared_has_changed_nothing() {
    let numbers = || vec![number(1, "pending", "S1", None), number(2, "pending", "S2", None)];
    let begun = "deploying v2 in the place of v1 to 2 numbers, once its image is there";
    assert_eq!(text::begun(&report("preparing", numbers())), begun);
    let ended = DeployReport { reason: "no image".to_owned(), ..report("reverted", numbers()) };
    let expected = "v2 was not deployed, and nothing has changed: no image";
    assert_eq!((text::end(&ended), text::begun(&ended)), (expected.to_owned(), expected.to_owned()));
}

#[test]
fn a_status_is_a_few_lines() {
    let mut report = reverted("5 % failed");
    report.numbers.push(number(2, "judging", "N2", Some("S2")));
    assert_eq!(
        text::status(&report),
        [
            "deploy 1: v1 -> v2, reverted after 12s 300ms",
            "reason: 5 % failed (at 'N1')",
            "v1: 200 requests, 1 failed (0.50 %), 99 % within 12.3 ms",
            "v2: 0 requests, 0 failed (0.00 %), 99 % within unknown",
            "number 1: reverted, served by 'S1'",
            "number 2: judging, served by 'N2', 'S2' beside it",
        ]
    );
}

#[test]
fn the_last_lines_of_a_log_are_shown() {
    let log = "1\n2\n\u{1b}[2J3\n\tat main\n";
    assert_eq!(text::log("N1", log, 2), "\n\nthe last lines that 'N1' wrote:\n  \u{fffd}[2J3\n      at main");
}

/// Answers requests for deploys with these, one after the other, and others with a log; and what it was asked.
async fn balancer(answers: Vec<(u16, Value)>) -> (Session, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::local(listener.local_addr().unwrap());
    let (asked, answers) =
        (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Mutex::new(VecDeque::from(answers))));
    let record = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (record, answers) = (Arc::clone(&record), Arc::clone(&answers));
            let service = service_fn(move |request: Request<Incoming>| {
                let (method, path) = (request.method(), request.uri().path().to_owned());
                record.lock().unwrap().push(format!("{method} {path}"));
                let (status, body) = if path.ends_with("/log") {
                    (200, "it went wrong\n".to_owned())
                } else {
                    let (status, json) = answers.lock().unwrap().pop_front().expect("an answer is left");
                    (status, json.to_string())
                };
                let mut answer = Response::new(Full::new(Bytes::from(body)));
                *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                async { Ok::<_, Infallible>(answer) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (Session { client: Client::new(url, None) }, asked)
}

/// What a command tells, what it ends with, and what it asked.
async fn told(wanted: What, answers: Vec<(u16, Value)>) -> (Vec<String>, Result<(), Failure>, Vec<String>) {
    let (session, asked) = balancer(answers).await;
    let mut lines = Vec::new();
    let mut tell = |line| {
        lines.push(line);
        Ok(())
    };
    let ended = run(&session, &Wanted { what: wanted, wait: true }, &mut tell).await;
    let asked = asked.lock().unwrap().clone();
    (lines, ended.and_then(|ended| ended.outcome), asked)
}

fn json(status: u16, report: &DeployReport) -> (u16, Value) {
    (status, serde_json::to_value(report).expect("JSON"))
}

fn deploy() -> What {
    What::Deploy { revision: "v2".to_owned(), canary: None }
}

#[tokio::test]
async fn a_deploy_is_followed_to_its_end() {
    let starting = report("starting", vec![number(1, "starting", "S1", Some("N1"))]);
    let busy =
        (503, json!({"message": "<Error> too many changes are waiting; try again", "status": "failure"}));
    let done = report("succeeded", vec![number(1, "passed", "N1", None)]);
    let answers = vec![json(202, &starting), busy, json(200, &starting), json(200, &done)];
    let (lines, outcome, asked) = told(deploy(), answers).await;
    let expected = [
        "deploying v2 in the place of v1 to 1 number",
        "number 1: v2 has passed",
        "deployed v2 to 1 number in 12s 300ms",
    ];
    assert_eq!((lines.as_slice(), outcome), (expected.map(str::to_owned).as_slice(), Ok(())));
    assert_eq!(asked, ["POST /deploy", "GET /deploy", "GET /deploy", "GET /deploy"]);
}

#[tokio::test]
async fn one_that_was_taken_back_has_an_exit_code_of_its_own_and_the_words_of_the_replica() {
    let starting = report("starting", vec![number(1, "starting", "S1", Some("N1"))]);
    let answers = vec![json(202, &starting), json(200, &reverted("it died"))];
    let (lines, outcome, asked) = told(deploy(), answers).await;
    let message = "v2 was taken back after 12s 300ms, v1 is on all numbers again: it died\n\nthe last lines that 'N1' \
                   wrote:\n  it went wrong";
    assert_eq!(outcome, Err(Failure::new(Exit::Reverted, message)));
    assert_eq!(lines.last().map(String::as_str), Some("number 1: 'S1' of v1 has it again"));
    assert_eq!(asked.last().map(String::as_str), Some("GET /replicas/N1/log"));
}

#[tokio::test]
async fn a_canary_is_left_waiting_and_promoting_one_is_followed() {
    let waiting =
        DeployReport { canary: Some(1), ..report("waiting", vec![number(1, "passed", "N1", Some("S1"))]) };
    let done = DeployReport { canary: Some(1), ..report("succeeded", vec![number(1, "passed", "N1", None)]) };
    let (lines, outcome, _) = told(deploy(), vec![json(202, &waiting), json(200, &waiting)]).await;
    assert_eq!(outcome, Ok(()));
    assert!(lines.last().is_some_and(|line| line.contains("--promote")), "{lines:?}");
    let answers = vec![json(202, &waiting), json(200, &waiting), json(200, &done)];
    let (_, outcome, asked) = told(What::Promote, answers).await;
    assert_eq!((outcome, asked[0].as_str()), (Ok(()), "POST /deploy/promote"));
    let aborted = report("aborted", vec![number(1, "reverted", "S1", None)]);
    let (_, outcome, asked) = told(What::Abort, vec![json(202, &waiting), json(200, &aborted)]).await;
    assert_eq!((outcome, asked[0].as_str()), (Ok(()), "DELETE /deploy"));
    // Somebody else has taken it back.
    let (_, outcome, _) = told(deploy(), vec![json(202, &waiting), json(200, &aborted)]).await;
    assert_eq!(outcome.map_err(|failure| failure.exit()), Err(Exit::Reverted));
}

#[tokio::test]
async fn a_deploy_that_nobody_knows_any_more_is_not_waited_for() {
    let starting = report("starting", Vec::new());
    let another = DeployReport { id: 2, ..starting.clone() };
    let gone = (404, json!({"message": "<Error> nothing has been deployed", "status": "failure"}));
    for answer in [json(200, &another), gone] {
        let (_, outcome, _) = told(deploy(), vec![json(202, &starting), answer]).await;
        assert_eq!(outcome.map_err(|failure| failure.exit()), Err(Exit::Unavailable));
    }
    let refused = (409, json!({"message": "<Error> revision 'v2' is deployed already", "status": "failure"}));
    let (lines, outcome, _) = told(deploy(), vec![refused]).await;
    assert!(lines.is_empty());
    assert_eq!(outcome.map_err(|failure| failure.exit()), Err(Exit::Negative));
}
