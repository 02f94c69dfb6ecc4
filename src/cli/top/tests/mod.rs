//! Screens as text, and what keys do.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw::draw;
use super::model::{Action, Dialog, Effect, Input, Key, Link, Model};
use crate::client::{
    Event, EventKind, PastReport, PastSecond, Rates, ReplicaChange, ReplicaStats, RingReport, Stats,
};

fn replica(number: u32, name: &str, requests_per_second: f64) -> ReplicaStats {
    ReplicaStats {
        pool: "default".to_owned(),
        number,
        name: name.to_owned(),
        state: "ready".to_owned(),
        note: String::new(),
        weight: 100,
        drained_from: None,
        slots: 21800,
        share: 0.333,
        in_flight: 1,
        requests: 4100,
        requests_per_second,
    }
}

fn stats(replicas: Vec<ReplicaStats>) -> Input {
    event(EventKind::Stats(Stats {
        version: 7,
        rates: Rates {
            requests: 12345,
            requests_per_second: replicas.iter().map(|replica| replica.requests_per_second).sum(),
            p50_ms: Some(0.412),
            in_flight: 3,
            ..Rates::default()
        },
        connections: 64,
        replicas,
        ..Stats::default()
    }))
}

fn event(what: EventKind) -> Input {
    Input::Event(Event { id: None, time: 1_764_000_000_000, kind: what })
}

fn ring() -> RingReport {
    serde_json::from_str(
        r#"{"family":"modified","probing":"quadratic","slots":65539,"virtual_nodes":256,"placement":"ring",
        "version":6,"peak_to_average":1.038,"key":"request-id","bounded_load":1.25,"replicas":[
        {"number":1,"name":"Server 1","address":null,"state":"starting","weight":100,"slots":1,"share":1.0,
         "in_flight":0,"requests":0}]}"#,
    )
    .unwrap()
}

/// A model of three replicas, one of which is not well.
fn model() -> Model {
    let mut model = Model::new("http://127.0.0.1:5001".to_owned(), None);
    model.take(Input::Ring(ring()));
    let mut sick = replica(10, "S\u{1b}[2J", 0.0);
    sick.state = "ejected".to_owned();
    sick.note = "no\nanswer".to_owned();
    for rate in [0.0, 100.0, 400.0] {
        model.take(stats(vec![
            replica(1, "Server 1", rate),
            replica(2, "Server 2", rate / 4.0),
            sick.clone(),
        ]));
    }
    model.take(event(EventKind::Replica(ReplicaChange {
        pool: "default".to_owned(),
        replica: "S10".to_owned(),
        number: 10,
        event: "ejected".to_owned(),
        state: String::new(),
        reason: "no answer".to_owned(),
        address: None,
    })));
    model
}

fn screen(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model)).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(width));
    rows.map(|row| {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned() + "\n"
    })
    .collect()
}

#[test]
fn the_page_shows_ring_replicas_and_events() {
    assert_eq!(screen(&model(), 100, 22), include_str!("page.txt"));
}

#[test]
fn dialogs_lie_over_it() {
    let mut model = model();
    model.take(Input::Key(Key::Letter('?')));
    assert_eq!(screen(&model, 100, 22), include_str!("help.txt"));
    model.take(Input::Key(Key::Escape));
    model.take(Input::Key(Key::Letter('k')));
    assert!(screen(&model, 100, 22).contains("│ kill 'Server 1'? y: yes, any other key: no"));
}

#[test]
fn no_size_is_too_small() {
    let mut model = model();
    model.take(Input::Key(Key::Letter('?')));
    for (width, height) in [(1, 1), (2, 40), (300, 2), (20, 8), (300, 100)] {
        screen(&model, width, height);
    }
}

/// The figures of a busy balancer at the usual size: names and states can be read, and no line of the
/// head is cut off.
#[test]
fn names_come_before_figures_where_there_is_no_room_for_both() {
    let mut model = Model::new("http://127.0.0.1:5001".to_owned(), None);
    model.take(Input::Ring(ring()));
    let names = ["Server 1", "Server-K3VX9Q", "Server-K3VX9R"];
    let busy = (1..).zip(names).map(|(number, name)| {
        let mut replica = replica(number, name, 12345.0);
        replica.requests = 123_456_789;
        replica
    });
    model.take(stats(busy.collect()));
    let shown = screen(&model, 80, 24);
    for text in names.iter().chain(&["ready", "33.3 %", "12345", "bounded load 1.25", "connections 64"]) {
        assert!(shown.contains(text), "{text}:\n{shown}");
    }
    assert!(!shown.contains("123456789"), "{shown}");
    assert!(screen(&model, 100, 24).contains("123456789"));

    // A note is shown beside them, and a name that is longer than the screen keeps both its ends.
    let mut sick = replica(4, &format!("A{}Z", "x".repeat(61)), 0.0);
    sick.state = "ejected".to_owned();
    sick.note = "answered 503, for a long while".to_owned();
    model.take(stats(vec![sick]));
    let shown = screen(&model, 80, 24);
    assert!(shown.contains("xxZ  ejected") && shown.contains("Axx") && shown.contains('…'), "{shown}");
    assert!(shown.contains("answered 503"), "{shown}");
}

#[test]
fn before_the_first_figures_there_is_the_ring() {
    let mut model = Model::new("http://a:1".to_owned(), None);
    assert!(screen(&model, 80, 20).contains("ringherd top  http://a:1  connecting"));
    model.take(Input::Ring(ring()));
    let shown = screen(&model, 100, 20);
    assert!(shown.contains("ring version 6: modified, ring, quadratic, 65539 slots x 256"), "{shown}");
    assert!(shown.contains("> 1  Server 1  starting     100  100.0 %         -"), "{shown}");
}

#[test]
fn what_was_before_is_in_the_picture_at_once() {
    let mut model = Model::new("http://a:1".to_owned(), None);
    let second = |requests_per_second| PastSecond { requests_per_second };
    model.take(Input::Past(PastReport { seconds: vec![second(250.4), second(0.0)] }));
    assert!(screen(&model, 80, 20).contains("requests per second, at most 250 in 2 s"));
    model.take(stats(vec![replica(1, "Server 1", 300.0)]));
    assert!(screen(&model, 80, 20).contains("requests per second, at most 300 in 3 s"));
}

#[test]
fn a_lost_connection_is_seen_until_it_is_back() {
    let mut model = model();
    let shown = |model: &Model| screen(model, 100, 20).lines().next().unwrap().to_owned();
    assert!(shown(&model).ends_with("  live"));
    model.take(Input::Time(Duration::from_secs(9)));
    assert!(shown(&model).ends_with("  no figures for 9 s"));
    model.take(Input::Lost("refused\u{7}".to_owned()));
    assert!(shown(&model).ends_with("  CONNECTION LOST: refused\u{fffd}"));
    model.take(stats(Vec::new()));
    assert_eq!(model.link, Link::Live);
    assert!(shown(&model).ends_with("  live"));
}

#[test]
fn a_replica_is_selected_by_number() {
    let mut model = model();
    assert_eq!(model.position(), Some(0));
    for (key, position) in [(Key::Up, 0), (Key::Down, 1), (Key::Down, 2), (Key::Down, 2), (Key::Up, 1)] {
        assert_eq!(model.take(Input::Key(key)), None);
        assert_eq!(model.position(), Some(position), "{key:?}");
    }
    model.take(stats(vec![replica(2, "other", 0.0), replica(3, "third", 0.0)]));
    assert_eq!(model.position(), Some(0), "the number stays, whoever has it");
    model.take(stats(vec![replica(1, "first", 0.0), replica(3, "third", 0.0)]));
    assert_eq!(model.position(), Some(0));
    model.take(stats(Vec::new()));
    assert_eq!(model.position(), None);
    for key in [Key::Up, Key::Down, Key::Letter('k'), Key::Letter('d')] {
        assert_eq!(model.take(Input::Key(key)), None);
    }
    assert_eq!(model.dialog, None);
}

#[test]
fn keys_ask_back_and_then_for_changes() {
    let mut model = model();
    let typed = |model: &mut Model, letter| model.take(Input::Key(Key::Letter(letter)));
    let name = || "Server 1".to_owned();
    for (letter, action) in [
        ('a', Action::Add),
        ('d', Action::Drain(name())),
        ('r', Action::Remove(name())),
        ('k', Action::Kill(name())),
    ] {
        assert_eq!(typed(&mut model, letter), None);
        assert_eq!(typed(&mut model, 'n'), None, "no is no");
        assert_eq!(typed(&mut model, 'y'), None, "there is nothing to confirm any more");
        assert_eq!(typed(&mut model, letter), None);
        assert_eq!(typed(&mut model, 'y'), Some(Effect::Ask(action)));
        model.take(Input::Told(Ok("done".to_owned())));
    }
    let mut idle = replica(1, "Server 1", 0.0);
    idle.weight = 0;
    idle.drained_from = Some(40);
    model.take(stats(vec![idle]));
    assert_eq!(typed(&mut model, 'd'), None);
    assert!(screen(&model, 100, 22).contains("│ give 'Server 1' weight 40 again? y: yes"));
    assert_eq!(typed(&mut model, 'y'), Some(Effect::Ask(Action::Restore(name(), 40))));
}

#[test]
fn one_change_is_under_way_at_a_time() {
    let mut model = model();
    let mut pasted = "ay".repeat(9).chars().map(Key::Letter).collect::<Vec<_>>();
    pasted.extend("kyry".chars().map(Key::Letter));
    let asked: Vec<_> = pasted.into_iter().filter_map(|key| model.take(Input::Key(key))).collect();
    assert_eq!(asked, [Effect::Ask(Action::Add)]);
    model.take(Input::Key(Key::Letter('d')));
    assert_eq!(screen(&model, 80, 20).lines().last(), Some("the change before is not done yet"));
    model.take(Input::Told(Err("no".to_owned())));
    model.take(Input::Key(Key::Letter('a')));
    assert_eq!(model.take(Input::Key(Key::Letter('y'))), Some(Effect::Ask(Action::Add)));
}

#[test]
fn what_became_of_a_change_is_shown_until_the_next_key() {
    let mut model = model();
    model.take(Input::Told(Err("no\u{1b}".to_owned())));
    let foot = |model: &Model| screen(model, 80, 20).lines().last().unwrap().to_owned();
    assert_eq!(foot(&model), "no\u{fffd}");
    model.take(Input::Key(Key::Down));
    assert!(foot(&model).starts_with("a add"));
}

#[test]
fn the_end_is_one_key_away() {
    for key in [Key::Quit, Key::Escape, Key::Letter('q')] {
        assert_eq!(model().take(Input::Key(key)), Some(Effect::Quit), "{key:?}");
    }
    let mut model = model();
    model.dialog = Some(Dialog::Help);
    assert_eq!(model.take(Input::Key(Key::Escape)), None, "the first one closes the help");
    model.dialog = Some(Dialog::Help);
    assert_eq!(model.take(Input::Key(Key::Quit)), Some(Effect::Quit));
}

#[tokio::test]
async fn a_task_that_fails_is_the_end() {
    assert_eq!(super::has_not_failed(tokio::spawn(async {}).await), Ok(()));
    let failed = super::has_not_failed(tokio::spawn(async { panic!("of this test") }).await);
    assert_eq!(failed.unwrap_err().exit(), crate::cli::Exit::Internal);
}
