//! The texts of the commands, as golden text.

use serde_json::json;

use super::text;
use crate::client::{ReplicaReport, RingReport};

fn replica(number: u32, name: &str, state: &str) -> ReplicaReport {
    ReplicaReport {
        number,
        name: name.to_owned(),
        address: (state != "starting").then(|| ([127, 0, 0, 1], 40000 + number as u16).into()),
        state: state.to_owned(),
        weight: 100,
        drained_from: None,
        slots: 1,
        share: 1.0 / f64::from(number),
        in_flight: 12,
        requests: 34567,
        revision: "base".to_owned(),
        instance: "pid 7".to_owned(),
        note: String::new(),
    }
}

fn report(replicas: Vec<ReplicaReport>) -> RingReport {
    RingReport {
        family: "modified".to_owned(),
        probing: "quadratic".to_owned(),
        slots: 65539,
        virtual_nodes: 256,
        placement: "ring".to_owned(),
        version: 7,
        peak_to_average: 1.0383,
        key: "request-id".to_owned(),
        bounded_load: Some(1.25),
        outage: None,
        replicas,
    }
}

#[test]
fn a_status_is_an_aligned_table() {
    let mut sick = replica(10, "S\u{1b}[2J", "ejected");
    sick.note = "no\nanswer".to_owned();
    let url = "http://127.0.0.1:5001".parse().unwrap();
    let mut report = report(vec![replica(1, "Server 1", "ready"), replica(2, "S2", "starting"), sick]);
    report.outage = Some("the engine is away".to_owned());
    assert_eq!(
        text::status(&url, &report),
        "\
http://127.0.0.1:5001: 3 replicas, 1 ready
ring version 7: modified family, ring placement, quadratic probing, 65539 slots, 256 virtual nodes, peak to average 1.038
key request-id, bounded load 1.25
replicas can neither be added nor removed: the engine is away

number  name      state     weight     share  in flight  requests  address          instance  note
     1  Server 1  ready        100  100.00 %         12     34567  127.0.0.1:40001  pid 7
     2  S2        starting     100   50.00 %         12     34567  -                pid 7
    10  S\u{fffd}[2J     ejected      100   10.00 %         12     34567  127.0.0.1:40010  pid 7     no\u{fffd}answer
"
    );
}

#[test]
fn a_revision_that_was_deployed_has_a_column() {
    let mut second = replica(2, "S2", "ready");
    second.revision = "v2".to_owned();
    let url = "http://a:1".parse().unwrap();
    let text = text::status(&url, &report(vec![replica(1, "S1", "ready"), second]));
    let lines: Vec<_> = text.lines().rev().take(2).collect();
    assert!(lines[0].ends_with("pid 7     v2") && lines[1].ends_with("pid 7     base"), "{text}");
}

#[test]
fn no_replicas_need_no_table() {
    let mut report = report(Vec::new());
    report.bounded_load = None;
    let text = text::status(&"http://a:1".parse().unwrap(), &report);
    assert!(text.starts_with("http://a:1: 0 replicas, 0 ready\n") && text.ends_with("bounded load off\n"));
}

#[test]
fn changes_are_told_in_a_line() {
    let names = |names: &[&str]| text::replicas(&json!({"message": {"N": 0, "replicas": names}}));
    assert_eq!(names(&["a", "b\u{7}"]), "there are 2 replicas now: a, b\u{fffd}\n");
    assert_eq!(names(&["a"]), "there is 1 replica now: a\n");
    assert_eq!(names(&[]), "there are no replicas now\n");
    assert_eq!(
        text::weight(&replica(3, "S3", "ready")),
        "'S3' has weight 100 and owns 33.33 % of the slots\n"
    );
    assert_eq!(text::message(&json!({"message": "'a' is being killed"})), "'a' is being killed\n");
}
