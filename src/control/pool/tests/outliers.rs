//! Ejection for what requests meet with: when it begins and ends, and how many there may be.

use super::*;
use crate::cluster::Standing;
use crate::control::pool::Sample;
use crate::control::pool::outliers::TRIALS;
use crate::control::{EjectionCause, OutlierConfig};

fn failures(id: ReplicaId, streak: u32) -> Event {
    Event::RequestsFailed { id, streak, last: "connection closed" }
}

fn standings(actions: &[Action]) -> Vec<(ReplicaId, Standing)> {
    let of = |action: &Action| match action {
        Action::SetStanding(id, standing) => Some((*id, *standing)),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

fn transitions(actions: &[Action]) -> Vec<Transition> {
    let of = |action: &Action| match action {
        Action::Note(change) => Some(change.transition),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

/// Lets time pass with good heartbeats only.
fn rest(herd: &mut Herd, by: Duration) -> Actions {
    let end = herd.now + by;
    let mut all = Actions::default();
    while let Some(at) = herd.pool.next_deadline().filter(|&at| at <= end) {
        herd.now = at;
        let actions = herd.step(Event::Tick);
        for id in checks(&actions) {
            all.extend(herd.step(Event::Heartbeat(id, Verdict::Good)));
        }
        all.extend(actions);
    }
    herd.now = end;
    all
}

fn tried(herd: &mut Herd, id: ReplicaId, went_well: bool) -> Actions {
    herd.step(Event::TrialEnded { id, went_well })
}

#[test]
fn failures_in_a_row_eject_and_a_trial_brings_back() {
    let mut herd = Herd::of(3);
    let before = herd.pool.publication();
    let id = herd.id(2);
    let limit = OutlierConfig::default().consecutive_failures;
    assert_eq!(herd.step(failures(id, limit - 1)), []);
    let actions = herd.step(failures(id, limit));
    assert_eq!(standings(&actions), [(id, Standing::Ejected)]);
    assert_eq!(transitions(&actions), [Transition::Outlier(EjectionCause::Consecutive)]);
    assert_eq!(herd.state(2), State::Ejected);
    assert_eq!(herd.member(2).note, "5 requests in a row failed; the last: connection closed");
    assert_eq!(herd.pool.publication(), before, "the ring stays, and heartbeats say what they said");
    assert_eq!(herd.step(failures(id, limit + 1)), [], "it is out already");

    let base = OutlierConfig::default().base_ejection_time;
    assert_eq!(standings(&rest(&mut herd, base.saturating_sub(Duration::from_millis(1)))), []);
    let actions = rest(&mut herd, Duration::from_millis(1));
    assert_eq!(standings(&actions), [(id, Standing::HalfOpen)]);
    assert!(herd.member(2).note.starts_with("half-open; "), "{}", herd.member(2).note);
    for _ in 1..TRIALS {
        assert_eq!(tried(&mut herd, id, true), []);
    }
    let actions = tried(&mut herd, id, true);
    assert_eq!(standings(&actions), [(id, Standing::Good)]);
    assert_eq!(transitions(&actions), [Transition::Recovered]);
    assert_eq!((herd.state(2), herd.member(2).note), (State::Ready, String::new()));
    assert_eq!(tried(&mut herd, id, false), [], "it is on trial no more");
    assert_eq!(stops(&actions), []);
}

#[test]
fn each_failed_trial_doubles_the_back_off_up_to_its_limit_and_good_conduct_ends_that() {
    let mut herd = Herd::of(3);
    let id = herd.id(2);
    let OutlierConfig { base_ejection_time: base, max_ejection_time: longest, .. } = OutlierConfig::default();
    herd.step(failures(id, 9));
    let mut pause = base;
    for _ in 0..8 {
        assert_eq!(standings(&rest(&mut herd, pause.saturating_sub(Duration::from_millis(1)))), []);
        assert_eq!(standings(&rest(&mut herd, Duration::from_millis(1))), [(id, Standing::HalfOpen)]);
        tried(&mut herd, id, true);
        let actions = tried(&mut herd, id, false);
        assert_eq!(standings(&actions), [(id, Standing::Ejected)]);
        assert_eq!(transitions(&actions), [Transition::Outlier(EjectionCause::Trial)]);
        pause = (pause * 2).min(longest);
    }
    assert_eq!(pause, longest);
    rest(&mut herd, longest);
    (0..TRIALS).for_each(|_| _ = tried(&mut herd, id, true));
    assert_eq!(herd.state(2), State::Ready);
    rest(&mut herd, longest);
    herd.step(failures(id, 9));
    assert_eq!(standings(&rest(&mut herd, base)), [(id, Standing::HalfOpen)], "it begins anew");
}

#[test]
fn half_of_the_healthy_stay_and_a_refusal_is_told_once() {
    let mut herd = Herd::of(4);
    let ids: Vec<_> = (1..=4).map(|number| herd.id(number)).collect();
    for &id in &ids[..2] {
        assert_eq!(standings(&herd.step(failures(id, 5))), [(id, Standing::Ejected)]);
    }
    let refused = |actions: &[Action]| {
        let is_news = |action: &Action| match action {
            Action::EjectionRefused { is_news, .. } => Some(*is_news),
            _ => None,
        };
        actions.iter().filter_map(is_news).collect::<Vec<_>>()
    };
    let actions = herd.step(failures(ids[2], 5));
    assert_eq!((standings(&actions), refused(&actions)), (vec![], vec![true]));
    assert_eq!(herd.state(3), State::Ready);
    assert_eq!(herd.step(failures(ids[2], 6)), [], "it is not looked at again so soon");
    rest(&mut herd, Duration::from_secs(1));
    assert_eq!(refused(&herd.step(failures(ids[2], 7))), [false]);

    // One of the two that are left dies: the first of the ejected has to help out.
    let actions = herd.exit(ids[3]);
    assert_eq!(standings(&actions), [(ids[0], Standing::Good)]);
    assert_eq!((herd.state(1), herd.state(2)), (State::Ready, State::Ejected));
}

#[test]
fn a_single_replica_is_never_ejected() {
    let mut herd = Herd::of(1);
    let id = herd.id(1);
    let actions = herd.step(failures(id, 1000));
    assert!(matches!(actions[..], [Action::EjectionRefused { .. }]), "{actions:?}");
}

#[test]
fn heartbeats_and_requests_are_two_reasons_and_one_that_is_well_again_is_tried_at_once() {
    let mut herd = Herd::of(3);
    let id = herd.id(2);
    herd.step(failures(id, 5));
    herd.bad(id);
    let actions = herd.bad(id);
    assert!(actions.contains(&Action::SetUp(id, false)), "{actions:?}");
    let long = OutlierConfig::default().max_ejection_time / 20;
    let mut actions = Actions::default();
    while herd.state(2) == State::Ejected && !actions.contains(&Action::SetUp(id, true)) {
        actions = rest(&mut herd, long);
    }
    assert_eq!(standings(&actions), [(id, Standing::HalfOpen)]);
    assert_eq!(transitions(&actions), [], "it is not back yet");
    assert_eq!(herd.state(2), State::Ejected);
    (0..TRIALS).for_each(|_| _ = tried(&mut herd, id, true));
    assert_eq!(herd.state(2), State::Ready);
}

#[test]
fn a_replacement_begins_with_a_good_standing() {
    let mut herd = Herd::of(3);
    let dead = herd.id(2);
    herd.step(failures(dead, 5));
    let launch = launches(&herd.exit(dead)).remove(0);
    herd.bring_up(launch.id);
    assert_eq!(herd.state(2), State::Ready);
}

#[test]
fn one_that_fails_more_often_than_the_others_is_ejected() {
    let mut herd = Herd::of(6);
    let sample = |number: u32, failures| Sample { id: herd.id(number), requests: 500, failures };
    let samples: Vec<_> = (1..=6).map(|number| sample(number, if number == 4 { 200 } else { 1 })).collect();
    let id = herd.id(4);
    let actions = herd.step(Event::SuccessRates(samples));
    assert_eq!(standings(&actions), [(id, Standing::Ejected)]);
    assert_eq!(transitions(&actions), [Transition::Outlier(EjectionCause::SuccessRate)]);
    assert_eq!(herd.member(4).note, "60.0 % of its requests went well, 93.2 % on average");
}

#[test]
fn it_can_be_switched_off_and_a_lower_share_brings_back() {
    let mut herd = Herd::of(4);
    let ids = [herd.id(1), herd.id(2)];
    for id in ids {
        herd.step(failures(id, 5));
    }
    let outliers =
        OutlierConfig { consecutive_failures: 0, max_ejection_percent: 25, ..OutlierConfig::default() };
    let config = ControlConfig { outliers, ..herd.pool.config().clone() };
    let actions = herd.step(Event::Request(TICKET, Request::Reload(Box::new(config))));
    assert_eq!(standings(&actions).len(), 1);
    let back = standings(&actions)[0].0;
    assert_eq!(herd.step(failures(back, 100)), []);
}
