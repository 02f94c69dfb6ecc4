//! Deploys in which the old replica has to go before the new one starts.

use super::*;
use crate::control::DeployOrder;

fn config(surge: u32) -> DeployConfig {
    DeployConfig { order: DeployOrder::StopFirst, surge, ..DeployConfig::default() }
}

fn herd(replicas: u32, surge: u32) -> Herd {
    herd_of(replicas, config(surge))
}

impl Herd {
    /// Numbers that nobody serves, and numbers and weights of the ring.
    fn unserved(&self) -> (Vec<u32>, Vec<(u32, u8)>) {
        let members = self.pool.publication().members;
        let down = members.iter().filter(|member| !member.up).map(|member| member.number).collect();
        (down, members.iter().map(|member| (member.number, member.weight)).collect())
    }

    /// A replica that leaves has finished its requests, is stopped, and ends; what that leads to.
    fn leave(&mut self, id: ReplicaId) -> Actions {
        let actions = self.step(Event::Drained(id));
        assert_eq!(stops(&actions), [id]);
        assert!(launches(&actions).is_empty(), "it has not ended: {actions:?}");
        self.exit(id)
    }

    /// The replica leaves that is drained by `actions`, and its successor starts and is ready.
    fn follow(&mut self, id: ReplicaId) -> ReplicaId {
        let launches = launches(&self.leave(id));
        let [launch] = &launches[..] else { panic!("one follows: {launches:?}") };
        self.bring_up(launch.id);
        launch.id
    }

    /// Brings a deploy to its end, in which all replicas are well.
    fn finish(&mut self, mut drained: Vec<ReplicaId>) {
        while !self.view().state.has_ended() {
            for id in std::mem::take(&mut drained) {
                self.follow(id);
            }
            drained = drains(&self.calm(Duration::from_millis(100)));
        }
    }
}

fn drains(actions: &[Action]) -> Vec<ReplicaId> {
    let id = |action: &Action| if let Action::Drain(id) = action { Some(*id) } else { None };
    actions.iter().filter_map(id).collect()
}

#[test]
fn the_incumbent_has_ended_before_its_successor_starts_and_the_ring_stays() {
    let mut herd = herd(3, 1);
    let (before, (_, ring)) = (herd.placed(), herd.unserved());
    let mut actions = herd.deploy("v1", None);
    for number in 1..=3_u32 {
        let old = before[&number];
        assert_eq!(publications(&actions).len(), 1, "{actions:?}");
        assert_eq!(herd.unserved(), (vec![number], ring.clone()), "it is out of the choice, and on the ring");
        assert_eq!((drains(&actions), launches(&actions)), (vec![old], vec![]), "{actions:?}");
        assert!(!actions.contains(&Action::Unserved));
        assert_eq!((herd.view().state, herd.state(number)), (DeployState::Starting, State::Starting));
        let launches = launches(&herd.leave(old));
        let [launch] = &launches[..] else { panic!("now: {launches:?}") };
        assert_eq!((launch.number, launch.revision.shown()), (number, "v1"));
        assert_eq!(launch.replaces, None);
        // The first good heartbeat publishes it, as if it healed the number.
        let ready = herd.bring_up(launch.id);
        assert_eq!(published(&ready), [1, 2, 3]);
        assert_eq!((herd.placed()[&number], herd.unserved()), (launch.id, (vec![], ring.clone())));
        actions = herd.calm(MIN_HEALTHY * 99 / 100);
        assert_eq!(herd.view().state, DeployState::Starting, "{actions:?}");
        herd.calm(MIN_HEALTHY / 100);
        assert_eq!(herd.view().state, DeployState::Judging);
        actions = herd.calm(WINDOW);
    }
    assert_eq!((herd.view().state, herd.view().order), (DeployState::Succeeded, DeployOrder::StopFirst));
    assert_eq!(herd.revisions(), ["v1"; 3]);
    assert!(drains(&actions).is_empty() && stops(&actions).is_empty(), "nobody is left: {actions:?}");
    let died = herd.exit(herd.id(2));
    assert_eq!(launches(&died)[0].revision.shown(), "v1");
}

#[test]
fn a_revision_that_does_not_start_is_followed_by_the_one_before() {
    let mut herd = herd(2, 1);
    let before = herd.placed();
    herd.deploy("v1", None);
    let id = launches(&herd.leave(before[&1]))[0].id;
    let name = herd.member(1).name;
    let failed = RuntimeEvent::StartFailed { id, reason: "the lock is of another kind".into() };
    let actions = herd.step(Event::Runtime(failed));
    let launches = launches(&actions);
    let [back] = &launches[..] else { panic!("the old revision, and it alone: {actions:?}") };
    assert_eq!((back.number, back.revision.shown()), (1, "base"));
    let view = herd.view();
    assert_eq!((view.state, view.reason.as_str()), (DeployState::Reverting, "the lock is of another kind"));
    assert_eq!((view.failed.as_deref(), herd.steps()[0]), (Some(name.as_str()), DeployStep::Reverted));
    assert_eq!(herd.placed()[&2], before[&2]);
    herd.bring_up(back.id);
    assert_eq!((herd.view().state, herd.revisions()), (DeployState::Reverted, vec!["base".to_owned(); 2]));
    assert_eq!(herd.unserved().0, [0; 0]);
}

#[test]
fn those_that_serve_go_back_one_after_the_other_and_one_that_does_not_at_once() {
    let mut herd = herd(4, 1);
    let before = herd.placed();
    let mut drained = drains(&herd.deploy("v1", None));
    for _ in 0..2 {
        herd.follow(drained[0]);
        drained = drains(&herd.calm(MIN_HEALTHY + WINDOW));
    }
    let third = launches(&herd.leave(drained[0]))[0].id;
    herd.bring_up(third);
    let [first, second] = [1, 2].map(|number| herd.placed()[&number]);
    // Numbers 1 and 2 have passed, and the third dies.
    let back = launches(&herd.exit(third));
    assert_eq!((back[0].number, back.len()), (3, 1), "{back:?}");
    assert_eq!(herd.unserved().0, [3]);
    // Number 2 dies as well, before it is its turn.
    let died = launches(&herd.exit(second));
    assert_eq!((died[0].number, died[0].revision.shown(), died.len()), (2, "base", 1), "{died:?}");
    herd.bring_up(back[0].id);
    assert_eq!(herd.placed()[&1], first, "one is missing already");
    let actions = herd.bring_up(died[0].id);
    assert_eq!((drains(&actions), herd.unserved().0), (vec![first], vec![1]));
    assert_eq!(herd.view().state, DeployState::Reverting);
    herd.follow(first);
    assert_eq!((herd.view().state, herd.revisions()), (DeployState::Reverted, vec!["base".to_owned(); 4]));
    assert_eq!(herd.placed()[&4], before[&4], "it was not touched");
}

#[test]
fn so_many_are_missing_as_is_configured_and_one_stays() {
    for (replicas, surge, expected) in [(5, 2, vec![1, 2]), (3, 5, vec![1, 2]), (2, 2, vec![1])] {
        let mut herd = herd(replicas, surge);
        let actions = herd.deploy("v1", None);
        assert_eq!(herd.unserved().0, expected, "{replicas} replicas, {surge} at a time");
        assert!(!actions.contains(&Action::Unserved));
        herd.finish(drains(&actions));
        assert_eq!(herd.view().state, DeployState::Succeeded);
    }
    let mut alone = herd(1, 1);
    let actions = alone.deploy("v1", None);
    assert!(actions.contains(&Action::Unserved), "a gap is told of: {actions:?}");
    alone.finish(drains(&actions));
    assert_eq!((alone.view().state, alone.revisions()), (DeployState::Succeeded, vec!["v1".to_owned()]));
}

#[test]
fn who_does_not_serve_goes_first() {
    let mut herd = herd(3, 1);
    let died = launches(&herd.exit(herd.id(2)))[0].id;
    let actions = herd.deploy("v1", None);
    assert_eq!((stops(&actions), drains(&actions)), (vec![died], vec![]), "no request can be at it");
    assert_eq!(herd.unserved().0, [2]);
    assert_eq!(launches(&herd.exit(died))[0].revision.shown(), "v1");
}

#[test]
fn an_abort_waits_for_the_incumbent_to_end_like_anything_else() {
    let mut herd = herd(2, 1);
    let old = herd.placed()[&1];
    herd.deploy("v1", None);
    let actions = herd.ask(Request::AbortDeploy);
    assert!(launches(&actions).is_empty(), "{actions:?}");
    assert_eq!(herd.view().state, DeployState::Reverting);
    let launches = launches(&herd.leave(old));
    assert_eq!((launches[0].revision.shown(), launches.len()), ("base", 1));
    herd.bring_up(launches[0].id);
    assert_eq!((herd.view().state, herd.revisions()), (DeployState::Aborted, vec!["base".to_owned(); 2]));
}

#[test]
fn who_does_not_come_back_is_waited_for_until_an_abort_is_asked_for_again() {
    let mut herd = herd(3, 1);
    let before = herd.placed();
    let drained = drains(&herd.deploy("v1", None));
    let first = herd.follow(drained[0]);
    let drained = drains(&herd.calm(MIN_HEALTHY + WINDOW));
    herd.ask(Request::AbortDeploy);
    let back = launches(&herd.leave(drained[0]));
    assert_eq!((back[0].number, back[0].revision.shown()), (2, "base"));
    herd.calm(Duration::from_secs(3));
    assert_eq!((herd.view().state, herd.placed()[&1]), (DeployState::Reverting, first));
    herd.ask(Request::AbortDeploy);
    assert_eq!(herd.view().state, DeployState::Aborted);
    assert_eq!(herd.steps(), [DeployStep::Passed, DeployStep::Reverted, DeployStep::Pending]);
    assert_eq!(herd.revisions(), ["v1", "base", "base"]);
    // The one that starts is healed like any other.
    let died = launches(&herd.exit(back[0].id));
    assert_eq!((died[0].number, died[0].revision.shown()), (2, "base"));
    assert_eq!(herd.placed()[&3], before[&3]);
}

#[test]
fn requests_that_fail_take_it_back_also_before_it_was_healthy_for_long_enough() {
    let mut herd = herd(3, 1);
    herd.samples(100, &[]);
    let drained = drains(&herd.deploy("v1", None));
    let first = herd.follow(drained[0]);
    herd.samples(200, &[]);
    assert_eq!(herd.view().state, DeployState::Starting);
    let actions = herd.samples(300, &[first]);
    assert_eq!((herd.view().state, drains(&actions)), (DeployState::Reverting, vec![first]));
    let reason = herd.view().reason.clone();
    assert!(reason.contains("of its 300 requests failed"), "{reason}");
    herd.follow(first);
    assert_eq!((herd.view().state, herd.revisions()), (DeployState::Reverted, vec!["base".to_owned(); 3]));
}

#[test]
fn a_canary_waits_and_is_promoted_or_taken_back() {
    for promote in [true, false] {
        let mut herd = herd(4, 3);
        let drained = drains(&herd.deploy("v2", Some(50)));
        assert_eq!(drained.len(), 2, "50 % of 4 are 2");
        for id in drained {
            herd.follow(id);
        }
        herd.calm(MIN_HEALTHY + WINDOW);
        assert_eq!(herd.view().state, DeployState::Waiting);
        let next = if promote { Request::Promote } else { Request::AbortDeploy };
        let drained = drains(&herd.ask(next));
        assert_eq!(drained.len(), 2);
        herd.finish(drained);
        let (end, revision) =
            if promote { (DeployState::Succeeded, "v2") } else { (DeployState::Aborted, "base") };
        assert_eq!((herd.view().state, herd.revisions()), (end, vec![revision.to_owned(); 4]));
    }
}

/// An ill replica that is given up still exists until it has ended.
#[test]
fn healing_waits_for_the_end_too() {
    let mut herd = herd(2, 1);
    let ill = herd.id(1);
    let mut actions = Actions::default();
    while stops(&actions).is_empty() {
        actions = herd.bad(ill);
        let ticked = herd.wait(Duration::ZERO);
        actions.extend(ticked);
        if herd.state(1) == State::Ejected {
            actions.extend(herd.calm_but(ill, herd.pool.config().replace_after));
        }
    }
    assert_eq!(stops(&actions), [ill]);
    assert!(launches(&actions).is_empty(), "{actions:?}");
    assert!(launches(&herd.calm(Duration::from_secs(60))).is_empty(), "however long that takes");
    assert_eq!(launches(&herd.exit(ill))[0].number, 1);
}

impl Herd {
    /// Time passes, in which all heartbeats but those of one replica are good.
    fn calm_but(&mut self, ill: ReplicaId, by: Duration) -> Actions {
        let end = self.now + by;
        let mut actions = Actions::default();
        while let Some(at) = self.pool.next_deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            let ticked = self.step(Event::Tick);
            for id in checks(&ticked) {
                let verdict = if id == ill { Verdict::Bad("answered 503".into()) } else { Verdict::Good };
                actions.extend(self.step(Event::Heartbeat(id, verdict)));
            }
            actions.extend(ticked);
        }
        self.now = end;
        actions
    }
}

#[test]
fn a_number_that_is_given_anew_waits_for_who_had_it() {
    let mut herd = herd(2, 1);
    let old = herd.id(2);
    let name = herd.member(2).name;
    herd.remove(1, &[&name]);
    assert!(launches(&herd.add(1, &[])).is_empty(), "number 2 is still in use");
    assert_eq!(launches(&herd.leave(old))[0].number, 2);
}

#[test]
fn a_deploy_keeps_the_order_that_it_began_with() {
    let mut herd = herd(2, 1);
    let drained = drains(&herd.deploy("v1", None));
    let order = DeployConfig { order: DeployOrder::StartFirst, ..herd.pool.config().deploy.clone() };
    let config = ControlConfig { deploy: order, ..herd.pool.config().clone() };
    assert!(launches(&herd.ask(Request::Reload(Box::new(config)))).is_empty());
    herd.finish(drained);
    assert_eq!(herd.revisions(), ["v1"; 2]);
    let [launch] = &launches(&herd.deploy("v2", None))[..] else { panic!("the next starts beside") };
    assert_eq!(launch.replaces.as_deref(), Some("v1"));
}

#[test]
fn a_stop_in_the_middle_ends_it_where_it_is() {
    let mut herd = herd(2, 1);
    let drained = drains(&herd.deploy("v1", None));
    herd.ask(Request::PrepareStop);
    assert_eq!(
        (herd.view().state, herd.revisions()),
        (DeployState::Aborted, vec!["v1".into(), "base".into()])
    );
    let stopped = stops(&herd.ask(Request::Stop));
    assert_eq!(stopped, [drained[0], herd.placed()[&2]], "one that leaves, and one that serves");
}

#[test]
fn an_outage_stops_nobody_for_what_cannot_be_started() {
    let mut herd = herd(3, 1);
    let drained = drains(&herd.deploy("v1", None));
    let first = herd.follow(drained[0]);
    herd.calm(MIN_HEALTHY);
    let gone = RuntimeEvent::Unavailable { reason: "no answer".into() };
    let actions = herd.step(Event::Runtime(gone));
    assert_eq!(herd.view().state, DeployState::Reverting);
    assert!(drains(&actions).is_empty() && stops(&actions).is_empty(), "{actions:?}");
    assert_eq!(herd.placed()[&1], first);
    let actions = herd.step(Event::Runtime(RuntimeEvent::Available));
    assert_eq!(drains(&actions), [first]);
    herd.finish(vec![first]);
    assert_eq!((herd.view().state, herd.revisions()), (DeployState::Reverted, vec!["base".to_owned(); 3]));
}

#[test]
fn who_has_no_replica_is_not_left_to_the_revision_that_is_taken_back_during_an_outage() {
    let mut herd = herd(3, 2);
    let before = herd.placed();
    let drained = drains(&herd.deploy("v1", None));
    let first = herd.follow(drained[0]);
    herd.step(Event::Runtime(RuntimeEvent::Unavailable { reason: "no answer".into() }));
    assert_eq!(herd.view().state, DeployState::Reverting);
    assert_eq!(herd.steps(), [DeployStep::Judging, DeployStep::Starting, DeployStep::Pending]);
    let actions = herd.ask(Request::AbortDeploy);
    assert!(launches(&actions).is_empty() && stops(&actions).is_empty(), "{actions:?}");
    assert_eq!(herd.view().state, DeployState::Reverted);
    assert_eq!(herd.steps(), [DeployStep::Passed, DeployStep::Reverted, DeployStep::Pending]);
    assert_eq!(herd.revisions(), ["v1", "base", "base"]);
    assert_eq!((herd.placed()[&1], herd.placed()[&3]), (first, before[&3]));
    herd.step(Event::Runtime(RuntimeEvent::Available));
    let launches = launches(&herd.leave(drained[1]));
    assert_eq!((launches[0].number, launches[0].revision.shown(), launches.len()), (2, "base", 1));
}

/// The numbers before had thousands of good requests while a successor waited for its incumbent to end.
#[test]
fn requests_of_a_successor_are_judged_from_its_first_one_on() {
    let mut herd = herd(3, 1);
    let look = |herd: &mut Herd, requests: u64, bad: Option<ReplicaId>| {
        let sample = |id: ReplicaId| {
            let (requests, errors) = if bad == Some(id) { (10, 10) } else { (requests, 0) };
            (id, DeploySample { requests, errors, ..DeploySample::default() })
        };
        let samples = herd.placed().into_values().map(sample).collect();
        herd.step(Event::DeploySamples(samples))
    };
    let drained = drains(&herd.deploy("v1", None));
    look(&mut herd, 100, None);
    herd.follow(drained[0]);
    let drained = drains(&herd.calm(MIN_HEALTHY + WINDOW));
    look(&mut herd, 10_000, None);
    let second = herd.follow(drained[0]);
    look(&mut herd, 10_100, Some(second));
    assert_eq!(herd.view().state, DeployState::Reverting);
    assert!(herd.view().reason.contains("10 of its 110 requests failed"), "{}", herd.view().reason);
}

#[test]
fn mixed_revisions_that_a_crash_left_become_one_and_nobody_is_stopped_before_he_was_heard() {
    for (found, end) in [
        (vec![(1, "v1"), (2, ""), (3, "")], "base"),
        (vec![(1, "v1"), (2, "v1"), (3, "")], "v1"),
        // One number was empty: its incumbent had ended, and its successor not begun.
        (vec![(1, "v1"), (3, "")], "base"),
        (vec![(1, "v9"), (2, "v1"), (3, "v1")], "v1"),
    ] {
        let mut herd = adopting_with(&found, 3, config(1));
        let first = launches(&herd.first.clone());
        assert!(stops(&herd.first.clone()).is_empty() && first.len() == 3, "{first:?}");
        let mut drained = Vec::new();
        for launch in first {
            drained.extend(drains(&herd.bring_up(launch.id)));
        }
        assert_eq!(drained.len(), 1, "{found:?}");
        herd.finish(drained);
        assert_eq!((herd.view().state, herd.revisions()), (DeployState::Succeeded, vec![end.to_owned(); 3]));
    }
}

/// What a crash has left may be of a revision that the configuration does not have any more: nobody can start it.
#[test]
fn there_is_no_way_back_to_a_revision_that_nobody_knows() {
    let mut herd = adopting_with(&[(1, "v9"), (2, "v1"), (3, "v1")], 3, config(1));
    let mut drained = Vec::new();
    for launch in launches(&herd.first.clone()) {
        drained.extend(drains(&herd.bring_up(launch.id)));
    }
    herd.follow(drained[0]);
    let actions = herd.ask(Request::AbortDeploy);
    assert!(drains(&actions).is_empty(), "{actions:?}");
    assert_eq!((herd.view().state, herd.revisions()), (DeployState::Aborted, vec!["v1".to_owned(); 3]));
    assert_eq!(herd.steps(), [DeployStep::Passed]);
}
