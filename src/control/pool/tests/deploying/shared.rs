//! Deploys to the replicas of an orchestrator: those of this balancer, and those of others that share the pool.

use super::*;

fn found(name: &str, number: impl Into<Option<u32>>, revision: &str, place: Place) -> Found {
    let (name, revision) = (name.to_owned(), revision.to_owned());
    Found { key: name.clone(), name, number: number.into(), owner: Owner::Orchestrator, revision, place }
}

fn holder(name: &str, number: u32) -> Found {
    found(name, number, "", Place::Holder)
}

fn beside(name: &str) -> Found {
    found(name, None, "", Place::Beside)
}

/// Two replicas that are there, and a pool that has found them.
fn shared(order: DeployOrder) -> Herd {
    let deploy =
        DeployConfig { revisions: vec![revision("v1"), revision("v2")], order, ..DeployConfig::default() };
    let config = ControlConfig { deploy, ..ControlConfig::default() };
    let facts = RuntimeFacts { kind: "test", owner: Owner::Orchestrator, lists: true, prepares: false };
    let now = Instant::now();
    let mut herd =
        Herd::with(Pool::new(config, facts, Vec::new(), 1, now).expect("a good configuration"), now);
    for launch in launches(&herd.inventory(&[holder("A", 1), holder("B", 2)])) {
        herd.bring_up(launch.id);
    }
    herd
}

impl Herd {
    /// The names that are published, by number.
    fn serving(&self) -> Vec<(u32, String, bool)> {
        let members = self.pool.publication().members.into_iter();
        members.map(|member| (member.number, member.name, member.up)).collect()
    }
}

fn serving(expected: [(u32, &str, bool); 2]) -> Vec<(u32, String, bool)> {
    expected.map(|(number, name, up)| (number, name.to_owned(), up)).into()
}

/// What others are told, and what is let go of.
fn told(actions: &[Action]) -> Vec<Action> {
    let is_told = |action: &&Action| {
        matches!(
            action,
            Action::TakeNumber(_)
                | Action::Vacate(_)
                | Action::Retire(_)
                | Action::Forget(_)
                | Action::Stop(_)
        )
    };
    actions.iter().filter(is_told).cloned().collect()
}

/// The only launch, of what is there already.
fn adopted(actions: &[Action], name: &str) -> ReplicaId {
    let [launch] = &launches(actions)[..] else { panic!("not one launch: {actions:?}") };
    assert_eq!((launch.existing.as_deref(), launch.replaces.as_deref()), (Some(name), None));
    launch.id
}

#[test]
fn an_exchange_is_told_to_the_others_and_so_is_the_way_back() {
    let mut herd = shared(DeployOrder::StartFirst);
    let incumbent = herd.id(1);
    let actions = herd.deploy("v1", Some(10));
    let [launch] = &launches(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!((&launch.existing, launch.replaces.as_deref()), (&None, Some("base")));
    let (successor, name) = (launch.id, launch.name.clone());
    herd.bring_up(successor);
    assert_eq!(told(&herd.calm(MIN_HEALTHY)), [Action::TakeNumber(successor)]);
    // Until that is written down, others have it as it was. Then they have it as it is here.
    assert_eq!(told(&herd.inventory(&[holder("A", 1), holder("B", 2), beside(&name)])), []);
    assert_eq!(told(&herd.inventory(&[holder(&name, 1), holder("B", 2), beside("A")])), []);
    assert_eq!(herd.serving(), serving([(1, &name, true), (2, "B", true)]));

    let actions = herd.ask(Request::AbortDeploy);
    assert_eq!(told(&actions), [Action::TakeNumber(incumbent), Action::Retire(successor)]);
    assert_eq!(herd.serving(), serving([(1, "A", true), (2, "B", true)]));
    assert_eq!(told(&herd.step(Event::Drained(successor))), [Action::Stop(successor)]);
}

#[test]
fn a_successor_that_has_died_is_removed_where_it_is() {
    let mut herd = shared(DeployOrder::StartFirst);
    let successor = herd.deploying("v1");
    herd.started(successor);
    let actions = herd.exit(successor);
    // It would be started again for ever.
    let [launch] = &launches(&actions)[..] else { panic!("nobody is told: {actions:?}") };
    assert!(launch.existing.is_some() && launch.replaces.is_none(), "{launch:?}");
    assert_eq!(told(&actions), [Action::Stop(launch.id)]);
}

#[test]
fn another_balancers_deploy_is_followed_without_a_gap() {
    let mut herd = shared(DeployOrder::StartFirst);
    let incumbent = herd.id(1);
    let names = [holder("A", 1), holder("B", 2)];
    assert_eq!(herd.inventory(&[&names[..], &[beside("C")]].concat()), [], "it is another's to judge");
    assert_eq!(reply(&herd.add(1, &[])), Some(Err(ControlError::DeployingElsewhere)));
    assert_eq!(reply(&herd.deploy("v1", None)), Some(Err(ControlError::DeployingElsewhere)));

    let exchanged = [found("C", 1, "v1", Place::Holder), holder("B", 2), beside("A")];
    let actions = herd.inventory(&exchanged);
    let follower = adopted(&actions, "C");
    assert!(publications(&actions).is_empty(), "it is not ready here");
    assert_eq!(herd.inventory(&exchanged), [], "nothing new");
    let actions = herd.bring_up(follower);
    assert_eq!(published(&actions), [1, 2]);
    assert_eq!(herd.serving(), serving([(1, "C", true), (2, "B", true)]));
    assert_eq!(told(&actions), [], "who drains it decides for itself");
    assert_eq!(told(&herd.step(Event::Drained(incumbent))), [Action::Forget(incumbent)]);

    // The deploy has ended: what is added runs the same, once most do.
    herd.inventory(&[found("C", 1, "v1", Place::Holder), found("B", 2, "v1", Place::Holder)]);
    let added = launches(&herd.add(1, &[]));
    assert_eq!(added[0].revision.shown(), "v1");
}

#[test]
fn a_deploy_that_ends_here_after_its_last_news_is_what_is_added_from_then_on() {
    let mut herd = shared(DeployOrder::StartFirst);
    // Its end is told before those that it has left are ready here, and nothing is told after that.
    let ended = [found("C", 1, "v1", Place::Holder), found("D", 2, "v1", Place::Holder)];
    let followers = launches(&herd.inventory(&ended));
    assert_eq!(reply(&herd.add(1, &[])), Some(Err(ControlError::DeployingElsewhere)));
    for launch in followers {
        herd.bring_up(launch.id);
    }
    assert_eq!(herd.serving(), serving([(1, "C", true), (2, "D", true)]));
    assert_eq!(launches(&herd.add(1, &[]))[0].revision.shown(), "v1");
}

#[test]
fn one_that_is_given_back_before_it_was_ready_here_changes_nothing() {
    let mut herd = shared(DeployOrder::StartFirst);
    let actions = herd.inventory(&[holder("C", 1), holder("B", 2), beside("A")]);
    let follower = adopted(&actions, "C");
    let actions = herd.inventory(&[holder("A", 1), holder("B", 2), beside("C")]);
    assert_eq!(told(&actions), [Action::Forget(follower)]);
    assert!(publications(&actions).is_empty());
    assert_eq!(herd.serving(), serving([(1, "A", true), (2, "B", true)]));
}

#[test]
fn one_that_is_gone_keeps_its_number_for_who_was_given_it() {
    let mut herd = shared(DeployOrder::StartFirst);
    // The exchange and its end are seen as one.
    let actions = herd.inventory(&[holder("C", 1), holder("B", 2)]);
    let follower = adopted(&actions, "C");
    assert!(publications(&actions).is_empty(), "the ring stays as it is");
    let incumbent = herd.id(1);
    let actions = herd.exit(incumbent);
    assert_eq!(herd.serving(), serving([(1, "A", false), (2, "B", true)]), "{actions:?}");
    let actions = herd.bring_up(follower);
    assert_eq!(published(&actions), [1, 2]);
    assert_eq!(herd.serving(), serving([(1, "C", true), (2, "B", true)]));
}

#[test]
fn a_number_that_another_balancer_vacates_is_empty_until_it_is_done() {
    let mut herd = shared(DeployOrder::StopFirst);
    let incumbent = herd.id(1);
    let actions = herd.inventory(&[found("A", 1, "", Place::Vacant), holder("B", 2)]);
    assert_eq!(published(&actions), [1, 2], "the ring stays as it is");
    assert_eq!(herd.serving(), serving([(1, "A", false), (2, "B", true)]));
    assert_eq!(told(&herd.step(Event::Drained(incumbent))), [Action::Forget(incumbent)]);
    assert_eq!(launches(&herd.calm(Duration::from_secs(60))), [], "it is not looked for");
    let back = adopted(&herd.inventory(&[found("A", 1, "v1", Place::Holder), holder("B", 2)]), "A");
    herd.bring_up(back);
    assert_eq!(herd.serving(), serving([(1, "A", true), (2, "B", true)]));
    assert_eq!(herd.member(1).revision.shown(), "v1");
}

#[test]
fn a_replica_is_changed_in_place_when_it_has_finished() {
    let mut herd = shared(DeployOrder::StopFirst);
    let incumbent = herd.id(1);
    let actions = herd.deploy("v1", None);
    assert_eq!(told(&actions), [Action::Vacate(incumbent)]);
    assert_eq!(launches(&actions), []);
    let actions = herd.step(Event::Drained(incumbent));
    assert_eq!(told(&actions), [Action::Forget(incumbent)]);
    let [launch] = &launches(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!((launch.existing.as_deref(), launch.replaces.as_deref()), (Some("A"), Some("base")));
    assert_eq!(launch.revision.shown(), "v1");
    // It cannot be started: the one before comes back, where it is.
    let failed = RuntimeEvent::StartFailed { id: launch.id, reason: "no such image".to_owned() };
    let actions = herd.step(Event::Runtime(failed));
    let [back] = &launches(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!((back.existing.as_deref(), back.replaces.as_deref()), (Some("A"), Some("v1")));
    assert_eq!(back.revision.shown(), "base");
    herd.bring_up(back.id);
    assert_eq!(herd.pool.deploy().expect("it has ended").state, DeployState::Reverted);
    assert_eq!(herd.serving(), serving([(1, "A", true), (2, "B", true)]));
}

#[test]
fn a_deploy_that_meets_another_one_is_taken_back() {
    let mut herd = shared(DeployOrder::StartFirst);
    let successor = herd.deploying("v1");
    let actions = herd.inventory(&[holder("A", 1), holder("B", 2), beside("C")]);
    assert_eq!(told(&actions), [Action::Stop(successor)]);
    let deploy = herd.pool.deploy().expect("it has ended");
    assert_eq!(deploy.state, DeployState::Reverted);
    assert!(deploy.reason.contains("another balancer"), "{}", deploy.reason);
    assert_eq!(reply(&herd.deploy("v1", None)), Some(Err(ControlError::DeployingElsewhere)));
}

#[test]
fn what_is_left_of_a_failed_add_is_removed() {
    let mut herd = shared(DeployOrder::StartFirst);
    let id = launches(&herd.add(1, &["D"]))[0].id;
    herd.started(id);
    let actions = herd.exit(id);
    assert!(matches!(reply(&actions), Some(Err(ControlError::StartFailed(_)))), "{actions:?}");
    assert_eq!(told(&actions), [Action::Stop(adopted(&actions, "D"))]);
}

#[test]
fn one_that_dies_before_its_removal_is_told_is_removed_all_the_same() {
    let mut herd = shared(DeployOrder::StartFirst);
    let id = herd.id(1);
    herd.slow_builds = true;
    herd.remove(1, &["A"]);
    let actions = herd.exit(id);
    assert_eq!(told(&actions), [Action::Stop(adopted(&actions, "A"))]);
}

#[test]
fn of_two_deploys_in_place_neither_goes_on() {
    let mut herd = shared(DeployOrder::StopFirst);
    let (incumbent, other) = (herd.id(1), herd.id(2));
    herd.deploy("v1", None);
    let actions = herd.inventory(&[found("A", 1, "", Place::Vacant), found("B", 2, "", Place::Vacant)]);
    assert_eq!(herd.view().state, DeployState::Reverting);
    assert_eq!(herd.serving(), serving([(1, "A", false), (2, "B", false)]), "{actions:?}");
    assert_eq!(told(&herd.step(Event::Drained(other))), [Action::Forget(other)], "it is another's");
    let back = launches(&herd.step(Event::Drained(incumbent)));
    assert_eq!((back[0].revision.shown(), back[0].replaces.as_deref()), ("base", Some("v1")));
    herd.bring_up(back[0].id);
    assert_eq!(herd.view().state, DeployState::Reverted);
}

#[test]
fn what_another_balancer_has_changed_meanwhile_is_not_changed_back() {
    let mut herd = shared(DeployOrder::StopFirst);
    let incumbent = herd.id(1);
    herd.deploy("v1", None);
    let failed = launches(&herd.step(Event::Drained(incumbent)))[0].id;
    herd.step(Event::Runtime(RuntimeEvent::StartFailed { id: failed, reason: "no".to_owned() }));
    // The one before does not come back either, and nobody waits for it any more.
    herd.ask(Request::AbortDeploy);
    herd.ask(Request::AbortDeploy);
    assert!(herd.view().state.has_ended(), "{:?}", herd.view());
    let waiting = herd.member(1).id.expect("it is launched");
    let actions = herd.inventory(&[found("A", 1, "v2", Place::Holder), holder("B", 2)]);
    assert_eq!(told(&actions), [Action::Forget(waiting)]);
    let back = adopted(&actions, "A");
    herd.bring_up(back);
    assert_eq!(herd.revisions(), ["v2", "base"]);
}

#[test]
fn an_add_whose_replica_another_balancer_changes_goes_on_with_the_others() {
    let mut herd = shared(DeployOrder::StopFirst);
    let added = launches(&herd.add(2, &["C", "D"]));
    herd.started(added[0].id);
    let found = [holder("A", 1), holder("B", 2), found("C", 3, "", Place::Vacant)];
    let actions = herd.inventory(&found);
    assert_eq!(told(&actions), [Action::Forget(added[0].id)]);
    let actions = herd.bring_up(added[1].id);
    assert_eq!(reply(&actions), Some(Ok(())));
    assert_eq!(published(&actions), [1, 2, 4]);
    let back = adopted(&herd.inventory(&[&found[..2], &[holder("C", 3), holder("D", 4)]].concat()), "C");
    assert_eq!(published(&herd.bring_up(back)), [1, 2, 3, 4]);
}

#[test]
fn a_way_back_without_incumbent_is_not_waited_for() {
    let mut herd = shared(DeployOrder::StartFirst);
    let incumbent = herd.id(1);
    let actions = herd.deploy("v1", Some(10));
    let name = launches(&actions)[0].name.clone();
    herd.bring_up(launches(&actions)[0].id);
    herd.calm(MIN_HEALTHY);
    let actions = herd.inventory(&[found(&name, 1, "v1", Place::Holder), holder("B", 2)]);
    assert_eq!(told(&actions), []);
    assert_eq!(told(&herd.step(Event::Drained(incumbent))), [Action::Forget(incumbent)]);
    herd.ask(Request::AbortDeploy);
    assert_eq!(herd.view().state, DeployState::Aborted);
    assert_eq!(herd.revisions(), ["v1", "base"]);
}

/// A number whose change was given up is still to be changed, which is no reason to remove what stands beside it.
#[test]
fn an_incumbent_that_does_not_start_is_not_removed() {
    let mut herd = shared(DeployOrder::StopFirst);
    let incumbent = herd.id(1);
    herd.deploy("v1", None);
    herd.step(Event::Drained(incumbent));
    herd.ask(Request::AbortDeploy);
    herd.ask(Request::AbortDeploy);
    assert_eq!((herd.view().state, herd.state(1)), (DeployState::Aborted, State::Starting));

    let mut config = herd.pool.config().clone();
    config.deploy.order = DeployOrder::StartFirst;
    herd.ask(Request::Reload(Box::new(config)));
    let successor = launches(&herd.deploy("v2", Some(10)))[0].id;
    herd.bring_up(successor);
    let mut actions = herd.calm(MIN_HEALTHY);
    actions.extend(herd.calm(WINDOW + 3 * ControlConfig::default().start_timeout));
    assert_eq!(herd.view().state, DeployState::Waiting);
    let told = told(&actions);
    assert!(told.contains(&Action::TakeNumber(successor)), "{told:?}");
    assert!(told.iter().filter(|action| matches!(action, Action::Forget(_))).count() > 1, "{told:?}");
    assert!(!told.iter().any(|action| matches!(action, Action::Stop(_))), "{told:?}");
}

#[test]
fn nobody_is_taken_out_before_it_is_known_who_serves() {
    let now = Instant::now();
    let order = DeployOrder::StopFirst;
    let deploy = DeployConfig { revisions: vec![revision("v1")], order, surge: 2, ..DeployConfig::default() };
    let config = ControlConfig { deploy, ..ControlConfig::default() };
    let facts = RuntimeFacts { kind: "test", owner: Owner::Orchestrator, lists: true, prepares: false };
    let mut herd =
        Herd::with(Pool::new(config, facts, Vec::new(), 1, now).expect("a good configuration"), now);
    let found = launches(&herd.inventory(&[holder("A", 1), holder("B", 2)]));
    for launch in &found {
        herd.started(launch.id);
    }
    assert_eq!(told(&herd.deploy("v1", None)), []);
    herd.step(Event::Heartbeat(found[0].id, Verdict::Good));
    let actions = herd.step(Event::Heartbeat(found[1].id, Verdict::Good));
    assert_eq!(told(&actions), [Action::Vacate(found[0].id)], "one that serves stays");
}

#[test]
fn a_revision_that_is_configured_later_is_known_again() {
    let mut herd = shared(DeployOrder::StartFirst);
    herd.inventory(&[found("A", 1, "v3", Place::Holder), holder("B", 2)]);
    assert!(herd.member(1).revision.is_forgotten());
    let mut config = herd.pool.config().clone();
    config.deploy.revisions.push(revision("v3"));
    herd.ask(Request::Reload(Box::new(config)));
    assert_eq!(herd.member(1).revision, revision("v3"));
}
