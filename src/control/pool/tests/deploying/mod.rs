//! Deploys: number by number, and back.

mod preparing;
mod shared;
mod stop_first;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::cluster::Latencies;
use crate::control::pool::DeploySample;
use crate::control::{DeployConfig, DeployOrder, DeployRequest, DeployState, DeployStep, DeployView};
use crate::runtime::{Found, Place, Revision};

const MIN_HEALTHY: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(5);

fn revision(name: &str) -> Arc<Revision> {
    Arc::new(Revision { name: name.to_owned(), env: vec![format!("NAME={name}")], ..Revision::default() })
}

fn herd(replicas: u32) -> Herd {
    herd_of(replicas, DeployConfig::default())
}

/// One with two revisions besides the one it has.
fn herd_of(replicas: u32, deploy: DeployConfig) -> Herd {
    let deploy = DeployConfig { revisions: vec![revision("v1"), revision("v2")], ..deploy };
    let mut herd =
        Herd::cold(ControlConfig { replicas, deploy, ..ControlConfig::default() }, Owner::Balancer, &[]);
    for launch in launches(&herd.first.clone()) {
        herd.bring_up(launch.id);
    }
    herd
}

impl Herd {
    fn ask(&mut self, request: Request) -> Actions {
        self.step(Event::Request(TICKET, request))
    }

    fn deploy(&mut self, revision: &str, canary: Option<u32>) -> Actions {
        self.ask(Request::Deploy(DeployRequest { revision: revision.to_owned(), canary }))
    }

    /// Begins to deploy, and returns the first successor.
    fn deploying(&mut self, revision: &str) -> ReplicaId {
        let actions = self.deploy(revision, None);
        assert_eq!(reply(&actions), Some(Ok(())));
        let [launch] = &launches(&actions)[..] else { panic!("one starts at a time: {actions:?}") };
        assert_eq!(launch.revision.shown(), revision);
        launch.id
    }

    /// Brings up what a deploy launches, from these on, until it has succeeded.
    fn succeed(&mut self, actions: &Actions) {
        let mut next: Vec<_> = launches(actions).iter().map(|launch| launch.id).collect();
        while let Some(id) = next.pop() {
            self.bring_up(id);
            let actions = self.calm(if next.is_empty() { MIN_HEALTHY + WINDOW } else { Duration::ZERO });
            next.extend(launches(&actions).iter().map(|launch| launch.id));
        }
        assert_eq!(self.view().state, DeployState::Succeeded);
    }

    /// Time passes, in which all heartbeats are good.
    fn calm(&mut self, by: Duration) -> Actions {
        let end = self.now + by;
        let mut actions = Actions::default();
        while let Some(at) = self.pool.next_deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            let ticked = self.step(Event::Tick);
            for id in checks(&ticked) {
                actions.extend(self.step(Event::Heartbeat(id, Verdict::Good)));
            }
            actions.extend(ticked);
        }
        self.now = end;
        actions
    }

    fn view(&self) -> Arc<DeployView> {
        self.pool.deploy().expect("there was a deploy")
    }

    fn steps(&self) -> Vec<DeployStep> {
        self.view().numbers.iter().map(|number| number.step).collect()
    }

    fn revisions(&self) -> Vec<String> {
        self.pool.members().map(|member| member.revision.shown().to_owned()).collect()
    }

    /// Whom the ring has, by number.
    fn placed(&self) -> BTreeMap<u32, ReplicaId> {
        self.pool.publication().members.into_iter().map(|member| (member.number, member.id)).collect()
    }

    /// `requests` at each replica on the ring, of which those of `bad` have failed.
    fn samples(&mut self, requests: u64, bad: &[ReplicaId]) -> Actions {
        let sample = |id: ReplicaId| {
            let errors = if bad.contains(&id) { requests } else { 0 };
            (id, DeploySample { requests, errors, ..DeploySample::default() })
        };
        let samples = self.placed().into_values().map(sample).collect();
        self.step(Event::DeploySamples(samples))
    }
}

#[test]
fn numbers_get_the_revision_one_after_the_other_and_the_ring_stays() {
    let mut herd = herd(3);
    let before = herd.placed();
    let mut next = herd.deploying("v1");
    for number in 1..=3_u32 {
        herd.bring_up(next);
        assert_eq!(herd.view().state, DeployState::Starting);
        assert_eq!(herd.placed()[&number], before[&number], "not before it has shown that it is well");
        let actions = herd.calm(MIN_HEALTHY);
        assert_eq!(herd.placed()[&number], next, "{actions:?}");
        assert_eq!(herd.view().state, DeployState::Judging);
        assert!(stops(&actions).is_empty(), "the incumbent is kept");
        let actions = herd.calm(WINDOW);
        if number < 3 {
            let [launch] = &launches(&actions)[..] else { panic!("the next: {actions:?}") };
            assert_eq!(launch.number, number + 1);
            next = launch.id;
        }
    }
    let view = herd.view();
    assert_eq!((view.state, view.reason.as_str()), (DeployState::Succeeded, ""));
    assert_eq!(herd.revisions(), ["v1"; 3]);
    let after = herd.placed();
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for id in before.into_values() {
        let stopped = herd.step(Event::Drained(id));
        assert_eq!(stops(&stopped), [id], "who was replaced drains, and is stopped");
    }
    // Who dies now comes back as what was deployed.
    let died = herd.exit(after[&2]);
    assert_eq!(launches(&died)[0].revision.shown(), "v1");
    // And so does who is added.
    assert_eq!(launches(&herd.add(1, &[]))[0].revision.shown(), "v1");
}

#[test]
fn a_successor_that_does_not_start_changes_nothing() {
    let mut herd = herd(2);
    let before = herd.placed();
    let next = herd.deploying("v1");
    let actions =
        herd.step(Event::Runtime(RuntimeEvent::StartFailed { id: next, reason: "no such file".into() }));
    assert!(publications(&actions).is_empty() && launches(&actions).is_empty(), "{actions:?}");
    let view = herd.view();
    assert_eq!((view.state, view.reason.as_str()), (DeployState::Reverted, "no such file"));
    assert!(view.failed.is_some(), "it is named, for its log");
    assert_eq!((herd.placed(), herd.revisions()), (before, vec!["base".to_owned(); 2]));
}

#[test]
fn one_that_dies_in_its_place_gives_it_back_in_the_same_step() {
    let mut herd = herd(2);
    let before = herd.placed();
    let next = herd.deploying("v1");
    herd.bring_up(next);
    herd.calm(MIN_HEALTHY);
    assert_eq!(herd.placed()[&1], next);
    let actions = herd.exit(next);
    assert_eq!(herd.placed(), before, "{actions:?}");
    assert_eq!(publications(&actions).len(), 1, "one publication: {actions:?}");
    assert!(launches(&actions).is_empty(), "nothing has to start: {actions:?}");
    assert_eq!(herd.view().state, DeployState::Reverted);
}

#[test]
fn requests_that_fail_at_the_new_revision_take_it_back() {
    let mut herd = herd(3);
    let before = herd.placed();
    herd.samples(100, &[]);
    let next = herd.deploying("v1");
    herd.samples(200, &[]);
    herd.bring_up(next);
    herd.calm(MIN_HEALTHY);
    let actions = herd.samples(300, &[next]);
    assert_eq!(herd.placed(), before, "{actions:?}");
    let view = herd.view();
    assert_eq!(view.state, DeployState::Reverted);
    assert!(view.reason.contains("300 of its 300 requests failed"), "{}", view.reason);
    assert!(stops(&actions).is_empty(), "requests may be at it");
    assert_eq!(stops(&herd.step(Event::Drained(next))), [next]);
}

#[test]
fn a_revision_that_never_responds_is_taken_back_in_its_window() {
    let mut herd = herd(3);
    let before = herd.placed();
    let next = herd.deploying("v1");
    // At the old revision all is well all the while; the new one has the requests of ten clients, which wait.
    let mut looks = 0;
    let mut look = |herd: &mut Herd| {
        looks += 1;
        let sample = |id: ReplicaId| {
            let mut latencies = Latencies::default();
            (0..100 * looks).for_each(|_| latencies.count(Duration::from_millis(5)));
            let well = DeploySample {
                requests: 100 * looks,
                latencies,
                begun: 100 * looks,
                ..DeploySample::default()
            };
            let well = DeploySample { answered: well.begun, ..well };
            let hangs = DeploySample { begun: 10, in_flight: 10, ..DeploySample::default() };
            (id, if id == next { hangs } else { well })
        };
        let samples = herd.placed().into_values().map(sample).collect();
        herd.step(Event::DeploySamples(samples))
    };
    look(&mut herd);
    herd.bring_up(next);
    herd.calm(MIN_HEALTHY);
    look(&mut herd);
    assert_eq!(herd.view().state, DeployState::Judging, "they may have just begun: {:?}", herd.view());
    herd.calm(Duration::from_millis(100));
    look(&mut herd);
    let view = herd.view();
    assert_eq!((view.state, herd.placed()), (DeployState::Reverted, before));
    assert!(view.reason.contains("10 of them without a response yet"), "{}", view.reason);
}

#[test]
fn a_canary_waits_and_is_promoted_or_taken_back() {
    for promote in [true, false] {
        let mut herd = herd(4);
        let before = herd.placed();
        let actions = herd.deploy("v2", Some(30));
        let mut next = launches(&actions)[0].id;
        for _ in 0..2 {
            herd.bring_up(next);
            let actions = herd.calm(MIN_HEALTHY + WINDOW);
            next = launches(&actions).first().map_or(next, |launch| launch.id);
        }
        assert_eq!(herd.view().state, DeployState::Waiting, "30 % of 4 are 2");
        herd.calm(Duration::from_secs(100));
        let steps = [DeployStep::Passed, DeployStep::Passed, DeployStep::Pending, DeployStep::Pending];
        assert_eq!(herd.steps(), steps);
        if promote {
            let actions = herd.ask(Request::Promote);
            assert_eq!(launches(&actions)[0].number, 3);
            assert_eq!(herd.view().state, DeployState::Starting);
        } else {
            herd.ask(Request::AbortDeploy);
            assert_eq!((herd.view().state, herd.placed()), (DeployState::Aborted, before));
        }
    }
}

#[test]
fn nothing_else_changes_the_ring_meanwhile_and_there_is_one_at_a_time() {
    let mut herd = herd(2);
    let refused = |actions: Actions| reply(&actions).expect("answered").expect_err("refused");
    assert_eq!(refused(herd.ask(Request::Promote)), ControlError::NotDeploying);
    assert_eq!(refused(herd.deploy("base", None)), ControlError::DeployedAlready("base".into()));
    let unknown = refused(herd.deploy("v3", None)).to_string();
    assert_eq!(unknown, "there is no revision 'v3'; there are: base, v1, v2");
    assert_eq!(refused(herd.deploy("v1", Some(100))), ControlError::BadCanary(100));
    let image = refused(herd.deploy("web:3", None)).to_string();
    assert_eq!(image, "image 'web:3' is not one that may be deployed (--deploy-images)");
    herd.deploying("v1");
    let busy = ControlError::Deploying("v1".into());
    assert_eq!(refused(herd.deploy("v2", None)), busy);
    assert_eq!(refused(herd.add(1, &[])), busy);
    assert_eq!(refused(herd.remove(1, &[])), busy);
    assert_eq!(refused(herd.ask(Request::Promote)), ControlError::NotWaiting("v1".into()));
    let weight = Request::SetWeight { name: "Server 1".into(), weight: 3 };
    assert_eq!(refused(herd.ask(weight)), busy);
    let fewer = ControlConfig { replicas: 1, ..herd.pool.config().clone() };
    assert_eq!(refused(herd.ask(Request::Reload(Box::new(fewer)))), busy);
}

#[test]
fn an_incumbent_that_dies_beside_comes_back_to_be_ready() {
    let mut herd = herd(2);
    let before = herd.placed();
    let next = herd.deploying("v1");
    herd.bring_up(next);
    herd.calm(MIN_HEALTHY);
    let again = launches(&herd.exit(before[&1]));
    assert_eq!((again[0].revision.shown(), again[0].number), ("base", 1));
    // Taken back before it is ready, the new one serves until it is.
    herd.ask(Request::AbortDeploy);
    assert_eq!((herd.view().state, herd.placed()[&1]), (DeployState::Reverting, next));
    herd.bring_up(again[0].id);
    assert_eq!((herd.view().state, herd.placed()[&1]), (DeployState::Aborted, again[0].id));
}

#[test]
fn replicas_of_others_have_no_deploys() {
    let config = ControlConfig { replicas: 1, ..ControlConfig::default() };
    let mut herd = Herd::cold(config, Owner::Others, &["a:80"]);
    let actions = herd.deploy("base", None);
    assert_eq!(reply(&actions), Some(Err(ControlError::NoDeploys("test"))));
}

#[test]
fn a_stop_in_the_middle_ends_both() {
    let mut herd = herd(2);
    let next = herd.deploying("v1");
    herd.bring_up(next);
    herd.calm(MIN_HEALTHY);
    let old = herd.pool.publication();
    herd.ask(Request::PrepareStop);
    assert_eq!(herd.view().state, DeployState::Aborted);
    assert_ne!(herd.pool.publication(), old, "the old one serves the last requests");
    let actions = herd.ask(Request::Stop);
    let mut stopped = stops(&actions);
    stopped.sort_unstable();
    assert_eq!(stopped, [ReplicaId(1), ReplicaId(2), next]);
}

/// A pool whose runtime has told of replicas with these numbers and revisions.
fn adopting(found: &[(u32, &str)], replicas: u32) -> Herd {
    adopting_with(found, replicas, DeployConfig::default())
}

fn adopting_with(found: &[(u32, &str)], replicas: u32, deploy: DeployConfig) -> Herd {
    let mut herd = unlisted(replicas, deploy);
    herd.first = herd.step(inventory(found));
    herd
}

/// A balancer that has yet to hear which replicas there are.
fn unlisted(replicas: u32, deploy: DeployConfig) -> Herd {
    let deploy = DeployConfig { revisions: vec![revision("v1"), revision("v2")], ..deploy };
    let config = ControlConfig { replicas, deploy, ..ControlConfig::default() };
    let facts = RuntimeFacts { kind: "test", owner: Owner::Balancer, lists: true, prepares: false };
    let now = Instant::now();
    Herd::with(Pool::new(config, facts, Vec::new(), 1, now).expect("a good configuration"), now)
}

/// Replicas of the balancer before: their numbers and revisions.
fn inventory(found: &[(u32, &str)]) -> Event {
    let found = found.iter().map(|&(number, revision)| Found {
        key: format!("key {number}"),
        name: format!("S{number}"),
        number: Some(number),
        owner: Owner::Balancer,
        revision: revision.to_owned(),
        place: Place::Holder,
    });
    Event::Runtime(RuntimeEvent::Inventory(found.collect()))
}

#[test]
fn what_was_deployed_before_a_restart_stays() {
    let herd = adopting(&[(1, "v1"), (2, "v1")], 3);
    let revisions: Vec<_> =
        launches(&herd.first).iter().map(|launch| launch.revision.shown().to_owned()).collect();
    assert_eq!(revisions, ["v1"; 3], "also the one that is missing");
    assert_eq!(herd.pool.deploy(), None);
}

#[test]
fn a_deploy_that_a_crash_left_half_done_is_brought_to_an_end() {
    for (found, end) in [
        (vec![(1, "v1"), (2, ""), (3, "")], "base"),
        (vec![(1, "v1"), (2, "v1"), (3, "")], "v1"),
        (vec![(1, ""), (2, "v1")], "base"),
        (vec![(1, "v9"), (2, "v1")], "v1"),
        (vec![(1, "v9"), (2, "v9")], "base"),
    ] {
        let mut herd = adopting(&found, found.len() as u32);
        herd.succeed(&herd.first.clone());
        assert_eq!(herd.revisions(), vec![end; found.len()], "{found:?}");
    }
}

/// An engine that was away when the balancer started tells what there is, and then that it is back.
#[test]
fn a_deploy_that_a_crash_left_half_done_waits_for_the_end_of_an_outage() {
    let mut herd = unlisted(3, DeployConfig::default());
    herd.step(Event::Runtime(RuntimeEvent::Unavailable { reason: "away".into() }));
    let actions = herd.step(inventory(&[(1, "v1"), (2, ""), (3, "")]));
    assert_eq!((launches(&actions), herd.pool.deploy()), (Vec::new(), None));
    let actions = herd.step(Event::Runtime(RuntimeEvent::Available));
    herd.succeed(&actions);
    assert_eq!(herd.revisions(), ["base"; 3]);
}

#[test]
fn an_image_that_is_allowed_is_a_revision_of_its_own() {
    let mut herd = herd(1);
    let mut config = herd.pool.config().clone();
    config.deploy.images.push("registry/web".into());
    herd.ask(Request::Reload(Box::new(config)));
    let actions = herd.deploy("registry/web:3", None);
    let launch = &launches(&actions)[0];
    let revision = (launch.revision.shown(), launch.revision.image.as_deref());
    assert_eq!(revision, ("registry/web:3", Some("registry/web:3")));
}

#[test]
fn an_incumbent_that_was_ill_beside_takes_requests_once_it_is_back() {
    let mut herd = herd(1);
    let before = herd.placed()[&1];
    let next = herd.deploying("v1");
    herd.bring_up(next);
    herd.calm(MIN_HEALTHY);
    for _ in 0..2 {
        herd.bad(before);
    }
    herd.exit(next);
    assert_eq!(herd.view().state, DeployState::Reverted, "it has its place again, and is ill");
    let mut actions = Actions::default();
    while !actions.contains(&Action::SetUp(before, true)) {
        assert_eq!(herd.id(1), before, "it is not given up meanwhile");
        actions.extend(herd.calm(Duration::from_millis(100)));
    }
    assert_eq!((herd.placed()[&1], herd.state(1)), (before, State::Ready));
}

#[test]
fn who_does_not_come_back_is_waited_for_until_an_abort_is_asked_for_again() {
    let mut herd = herd(2);
    let before = herd.placed();
    let next = herd.deploying("v1");
    herd.bring_up(next);
    herd.calm(MIN_HEALTHY);
    herd.exit(before[&1]);
    herd.ask(Request::AbortDeploy);
    assert_eq!(herd.view().state, DeployState::Reverting, "what serves is not taken away for what does not");
    herd.ask(Request::AbortDeploy);
    assert_eq!(herd.view().state, DeployState::Aborted);
    assert_eq!(herd.steps(), [DeployStep::Passed, DeployStep::Pending]);
    assert_eq!((herd.placed()[&1], herd.revisions()), (next, vec!["v1".to_owned(), "base".to_owned()]));
    // What is left to do can be done, and another revision taken back to what each number had.
    herd.deploy("v2", None);
    assert_eq!(herd.view().from, "v1");
    herd.ask(Request::AbortDeploy);
    assert_eq!(herd.revisions(), ["v1", "base"]);
    assert_eq!(launches(&herd.deploy("v1", None))[0].number, 2);
}
