//! The journal as it is read over the wire.

use rustix::process::{Signal, kill_process};

use crate::common::events::{Event, Events};
use crate::common::{Balancer, request, wait_until};

/// What happened to replicas, as `name event`.
fn turns(events: &[Event]) -> Vec<String> {
    let replica = events.iter().filter(|event| event.kind == "replica");
    let text = |event: &Event, key: &str| event.data[key].as_str().expect("text").to_owned();
    replica.map(|event| format!("{} {}", text(event, "replica"), text(event, "event"))).collect()
}

fn is_turn(event: &Event, turn: &str) -> bool {
    event.kind == "replica" && event.data["event"] == turn
}

#[test]
fn who_comes_late_sees_how_the_replicas_came() {
    let balancer = Balancer::start(&["--replicas", "2"]);
    balancer.wait_until_ready(2);
    let mut events = Events::open(balancer.admin, "/events");
    let seen = events.until(|event| event.kind == "stats");
    let (statistics, history) = seen.split_last().expect("there is one");
    let ids: Vec<_> = history.iter().map(|event| event.id.expect("a number")).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
    let mut turns = turns(history);
    turns.sort();
    assert_eq!(turns, ["Server 1 joined", "Server 1 starting", "Server 2 joined", "Server 2 starting"]);
    // Replicas that come up together are published together; else the second one takes a half.
    let published: Vec<_> = history.iter().filter(|event| event.kind == "publish").collect();
    let replicas: Vec<_> = published.iter().map(|event| &event.data["replicas"]).collect();
    let moved: Vec<_> = published.iter().filter_map(|event| event.data["keys_moved"].as_f64()).collect();
    match (replicas.len(), &moved[..]) {
        (1, [all]) => assert_eq!((replicas[0].as_u64(), *all), (Some(2), 1.0)),
        (2, [all, half]) => {
            assert_eq!((replicas[1].as_u64(), *all), (Some(2), 1.0));
            assert!((0.4..0.6).contains(half), "{half}");
        }
        _ => panic!("{published:?}"),
    }

    assert_eq!(statistics.id, None);
    assert_eq!(statistics.data["replicas"].as_array().map(Vec::len), Some(2));
    let last = ids[ids.len() - 1];
    let mut again = Events::open(balancer.admin, &format!("/events?after={}", last - 1));
    assert_eq!(again.next().and_then(|event| event.id), Some(last));
    // A number of a life before this one.
    let mut stranger = Events::open(balancer.admin, "/events?after=3");
    assert_eq!(stranger.next().and_then(|event| event.id), Some(ids[0]));
}

#[test]
fn a_life_of_a_pool_is_told_as_it_happens() {
    let mut balancer = Balancer::start(&["--replicas", "1"]);
    balancer.wait_until_ready(1);
    let mut events = Events::open(balancer.admin, "/events");
    events.until(|event| event.kind == "stats");

    request(balancer.admin, "POST", "/add", Some(r#"{"n":1,"hostnames":["B"]}"#));
    let seen = events.until(|event| event.kind == "change");
    assert_eq!(turns(&seen), ["B starting", "B joined"]);
    let change = &seen[seen.len() - 1].data;
    assert_eq!((&change["outcome"], &change["status"]), (&"done".into(), &200.into()));
    assert_eq!(change["change"], r#"add n=1 hostnames=["B"] endpoints=[]"#);

    kill_process(balancer.replica_pid("B"), Signal::KILL).expect("it runs");
    let seen = events.until(|event| is_turn(event, "joined"));
    let died = seen.iter().find(|event| is_turn(event, "died")).expect("a death");
    assert_eq!(died.data["reason"], "killed by signal 9 (SIGKILL)");
    let published = seen.iter().find(|event| event.kind == "publish").expect("the replacement");
    assert_eq!(published.data["slots_moved"], 0, "healing moves no keys");

    let answer = request(balancer.admin, "POST", "/replicas/Server%201/kill", Some("{}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = events.until(|event| is_turn(event, "joined"));
    assert!(turns(&seen).contains(&"Server 1 died".to_owned()), "{seen:#?}");

    request(balancer.admin, "DELETE", "/rm", Some(r#"{"n":1}"#));
    let seen = events.until(|event| is_turn(event, "stopped"));
    assert!(seen.iter().any(|event| is_turn(event, "left")), "{seen:#?}");

    balancer.signal(Signal::HUP);
    let reload = events.until(|event| event.kind == "config");
    assert_eq!(reload[reload.len() - 1].data["message"], "configuration reloaded");

    balancer.signal(Signal::TERM);
    while events.next().is_some() {}
    assert!(balancer.wait().success(), "a reader does not hold up the end");
}

#[test]
fn statistics_are_of_the_last_second() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    balancer.wait_until_ready(1);
    let mut events = Events::open(balancer.admin, "/events");
    events.until(|event| event.kind == "stats");
    for _ in 0..5 {
        assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
    }
    let mut seen = events.until(|event| event.kind == "stats" && event.data["requests"] == 5);
    // Requests count when they are answered, durations when that is over.
    seen.extend(events.until(|event| event.kind == "stats"));
    let some =
        |key: &str| seen.iter().filter_map(|event| event.data[key].as_f64()).find(|figure| *figure > 0.0);
    assert!(some("requests_per_second").is_some(), "{seen:#?}");
    let (p50, p99) = (some("p50_ms").expect("a median"), some("p99_ms").expect("a high quantile"));
    assert!(p50 <= p99 * 1.001, "{seen:#?}");
    let last = &seen[seen.len() - 1].data;
    assert_eq!(last["replicas"][0]["requests"], 5);
}

/// Kept without a reader, for one that comes later.
#[test]
fn statistics_of_the_seconds_before_are_kept() {
    let balancer = Balancer::start(&["--replicas", "1"]);
    balancer.wait_until_ready(1);
    for _ in 0..5 {
        assert_eq!(request(balancer.public, "GET", "/home", None).status, 200);
    }
    let seconds = wait_until("seconds with requests", || {
        let body = request(balancer.admin, "GET", "/statistics", None).body;
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let seconds = json["seconds"].as_array().expect("a list").clone();
        let sum: f64 =
            seconds.iter().map(|second| second["requests_per_second"].as_f64().expect("a rate")).sum();
        // How long they took is counted a moment later.
        let timed = seconds.iter().any(|second| second["p99_ms"].is_number());
        (sum > 0.0 && timed).then_some(seconds)
    });
    let times: Vec<_> = seconds.iter().map(|second| second["time"].as_u64().expect("a time")).collect();
    assert!(times.is_sorted(), "{seconds:?}");
}

#[test]
fn readers_have_a_limit_and_numbers_are_numbers() {
    let balancer = Balancer::start(&["--replicas", "0"]);
    for path in ["/events?after=x", "/events?from=1", "/events?after=-1"] {
        assert_eq!(request(balancer.admin, "GET", path, None).status, 400, "{path}");
    }
    let readers: Vec<_> = (0..64).map(|_| Events::open(balancer.admin, "/events")).collect();
    let refused = request(balancer.admin, "GET", "/events", None);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    drop(readers);
}

#[test]
fn strangers_do_not_fill_the_journal() {
    let balancer = Balancer::start_with(&["--replicas", "0"], |command| {
        command.env("RINGHERD_ADMIN_TOKEN", "correct-horse");
    });
    for _ in 0..3 {
        assert_eq!(request(balancer.admin, "POST", "/add", Some(r#"{"n":1}"#)).status, 401);
    }
    let token = "Authorization: Bearer correct-horse\r\n";
    let body = "{}";
    let known = format!(
        "POST /add HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{token}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(crate::common::client::raw(balancer.admin, &known).status, 400);
    let mut events = Events::open_with(balancer.admin, "/events", token);
    let seen = events.until(|event| event.kind == "stats");
    let changes: Vec<_> = seen.iter().filter(|event| event.kind == "change").collect();
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!(
        (&changes[0].data["status"], &changes[0].data["change"]),
        (&400.into(), &serde_json::Value::Null)
    );
}
