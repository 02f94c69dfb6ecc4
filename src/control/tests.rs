//! The supervisor over real sockets, with the fake runtime. Nothing sleeps: each step waits for
//! what the view shows.

use std::time::Duration;

use super::{
    Add, Control, ControlConfig, ControlError, HealthConfig, PoolParts, Remove, Request, RingChange, State,
    Supervisor, Supervisors, View, supervisors,
};
use crate::cluster::{FailureKind, Outcome, OutcomeQueue, Reader, Readers, outcomes};
use crate::runtime::Owner;
use crate::runtime::fake::{Fake, Mood, Script};

struct Herd {
    control: Control,
    readers: Readers,
    fake: Fake,
    outcomes: OutcomeQueue,
}

fn config(replicas: u32) -> ControlConfig {
    ControlConfig {
        replicas,
        health: HealthConfig { interval: Duration::from_millis(40), ..HealthConfig::default() },
        ..ControlConfig::default()
    }
}

fn herd(config: ControlConfig, endpoints: &[&str]) -> (Herd, Supervisor) {
    let (fake, events) = Fake::new(if endpoints.is_empty() { Owner::Balancer } else { Owner::Others });
    let (queue, reader) = outcomes(16);
    let endpoints = endpoints.iter().map(ToString::to_string).collect();
    let parts = PoolParts { config, runtime: Box::new(fake.clone()), events, outcomes: reader, endpoints };
    let Supervisors { mut pools, readers, .. } = supervisors(vec![parts]).expect("a good configuration");
    let (control, supervisor) = pools.remove(0);
    (Herd { control, readers, fake, outcomes: queue }, supervisor)
}

/// Runs `story` beside the supervisor; both have to come to an end.
async fn tell<F: Future<Output = ()>>(
    config: ControlConfig,
    endpoints: &[&str],
    story: impl FnOnce(Herd) -> F,
) {
    let (herd, supervisor) = herd(config, endpoints);
    let both = async { tokio::join!(supervisor.run(), story(herd)) };
    // Only so that a defect does not hang the tests.
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("the story ends");
}

impl Herd {
    async fn until(&self, condition: impl FnMut(&View) -> bool) -> std::sync::Arc<View> {
        self.control.wait_for(condition).await.expect("the supervisor runs")
    }

    async fn until_ready(&self, replicas: usize) -> std::sync::Arc<View> {
        self.until(|view| view.ready() == replicas).await
    }

    async fn stop(&self) {
        let view = self.control.request(Request::Stop).await.expect("it stops");
        assert!(view.stopping);
        assert_eq!(self.fake.alive(), Vec::<String>::new());
    }
}

fn weight(name: &str, weight: u8) -> Request {
    Request::SetWeight { name: name.to_owned(), weight }
}

fn names(view: &View) -> Vec<&str> {
    view.replicas.iter().map(|replica| &*replica.name).collect()
}

/// Which replicas requests go to.
fn picked(reader: &Reader) -> std::collections::BTreeSet<String> {
    let pick = |request| reader.with_pool(0, |snapshot| snapshot.pick(request, &[]));
    (0..200).filter_map(pick).map(|picked| picked.in_flight.endpoint().name.clone()).collect()
}

#[tokio::test]
async fn the_session_of_the_admin_api() {
    tell(config(3), &[], |herd| async move {
        let view = herd.until_ready(3).await;
        assert_eq!(names(&view), ["Server 1", "Server 2", "Server 3"]);
        assert!((view.replicas.iter().map(|replica| replica.share).sum::<f64>() - 1.0).abs() < 1e-9);

        let add = Add { count: 2, names: vec!["S4".into(), "S5".into()], ..Add::default() };
        let view = herd.control.request(Request::Add(add)).await.expect("added");
        assert_eq!(names(&view), ["Server 1", "Server 2", "Server 3", "S4", "S5"]);
        assert_eq!((view.ready(), view.ring.nodes().len()), (5, 5));
        assert!(picked(&herd.readers.reader()).contains("S5"));

        let remove = Remove { count: 2, names: vec!["S4".into(), "S5".into()] };
        let view = herd.control.request(Request::Remove(remove)).await.expect("removed");
        assert_eq!(names(&view), ["Server 1", "Server 2", "Server 3"]);
        assert!(!picked(&herd.readers.reader()).contains("S5"));

        let refused = Add { count: 1, names: vec!["A".into(), "B".into()], ..Add::default() };
        assert_eq!(
            herd.control.request(Request::Add(refused)).await.expect_err("refused"),
            ControlError::MoreNamesThanAdded
        );
        herd.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_killed_replica_is_replaced_on_the_same_ring() {
    tell(config(3), &[], |herd| async move {
        let before = herd.until_ready(3).await;
        let reader = herd.readers.reader();
        assert!(herd.fake.kill("Server 2"));
        let view = herd.until(|view| !names(view).contains(&"Server 2")).await;
        assert_eq!(view.replicas.len(), 3);
        assert!(!picked(&reader).contains("Server 2"), "it is not picked from that moment");
        let after = herd.until_ready(3).await;
        assert!(after.replicas[1].name.starts_with("Server-"));
        assert!(std::sync::Arc::ptr_eq(&before.ring, &after.ring), "not even rebuilt");
        assert_eq!(picked(&reader).len(), 3);
        herd.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_ill_replica_is_ejected_and_comes_back() {
    tell(config(2), &[], |herd| async move {
        let before = herd.until_ready(2).await;
        let reader = herd.readers.reader();
        herd.fake.set_mood("Server 1", Mood::Sick);
        let view = herd.until(|view| view.replicas[0].state == State::Ejected).await;
        assert!(view.replicas[0].note.contains("GET /heartbeat gives 503"), "{}", view.replicas[0].note);
        assert_eq!(picked(&reader), ["Server 2".to_owned()].into());
        assert_eq!(view.version, before.version, "nothing is published for that");
        herd.fake.set_mood("Server 1", Mood::Well);
        herd.until_ready(2).await;
        assert_eq!(picked(&reader).len(), 2);
        herd.stop().await;
    })
    .await;
}

#[tokio::test]
async fn failed_requests_make_an_illness_known_before_the_next_heartbeat_is_due() {
    let mut config = config(2);
    config.health.interval = Duration::from_secs(3600);
    config.health.unhealthy_after = 1;
    tell(config, &[], |herd| async move {
        let view = herd.until_ready(2).await;
        herd.fake.set_mood("Server 2", Mood::Sick);
        let endpoint = view.replicas[1].endpoint.as_ref().expect("on the ring").id;
        herd.outcomes.report(Outcome { endpoint, kind: Some(FailureKind::Timeout), is_trial: false });
        herd.until(|view| view.replicas[1].state == State::Ejected).await;
        herd.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_silent_replica_that_we_own_is_replaced_in_the_end() {
    let mut config = config(1);
    config.health.timeout = Duration::from_millis(50);
    config.replace_after = Duration::from_millis(100);
    tell(config, &[], |herd| async move {
        herd.until_ready(1).await;
        herd.fake.set_mood("Server 1", Mood::Silent);
        herd.until(|view| view.ready() == 1 && names(view) != ["Server 1"]).await;
        assert_eq!(herd.fake.alive().len(), 1);
        herd.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_add_of_which_one_fails_leaves_nothing_behind() {
    tell(config(1), &[], |herd| async move {
        let before = herd.until_ready(1).await;
        herd.fake.next_starts([Script::Run, Script::Fail("no memory".into()), Script::Hang]);
        let names_given = ["A", "B", "C"].map(str::to_owned).to_vec();
        let add = Add { count: 3, names: names_given, ..Add::default() };
        let failures = vec![("B".to_owned(), "no memory".to_owned())];
        assert_eq!(
            herd.control.request(Request::Add(add)).await.expect_err("B fails"),
            ControlError::StartFailed(failures)
        );
        assert_eq!(herd.fake.alive(), ["Server 1"]);
        assert_eq!(herd.control.view().version, before.version);
        herd.stop().await;
    })
    .await;
}

#[tokio::test]
async fn starts_that_fail_are_repeated() {
    let (herd, supervisor) = herd(config(1), &[]);
    herd.fake.next_starts(vec![Script::Fail("busy".into()); 3]);
    let story = async {
        let view = herd.until(|view| view.replicas[0].note.contains("3 in a row")).await;
        assert!(view.replicas[0].note.contains("busy") && view.replicas[0].state == State::Starting);
        herd.until_ready(1).await;
        assert_eq!(herd.fake.started().len(), 4);
        herd.stop().await;
    };
    tokio::join!(supervisor.run(), story);
}

#[tokio::test]
async fn a_replica_is_stopped_only_when_its_last_request_is_done() {
    tell(config(2), &[], |herd| async move {
        herd.until_ready(2).await;
        let reader = herd.readers.reader();
        let request = (0..1000)
            .filter_map(|key| reader.with_pool(0, |snapshot| snapshot.pick(key, &[])))
            .find(|picked| picked.in_flight.endpoint().name == "Server 1")
            .expect("some key is its own");
        let remove = Remove { count: 1, names: vec!["Server 1".into()] };
        let view = herd.control.request(Request::Remove(remove)).await.expect("answered while it drains");
        assert_eq!(names(&view), ["Server 2"]);
        reader.refresh();
        // As long as it takes to start another one.
        herd.control.request(Request::Add(Add { count: 1, ..Add::default() })).await.expect("added");
        assert_eq!(herd.fake.stopped(), [], "its request is in flight");
        drop(request);
        while herd.fake.stopped().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(herd.fake.alive().len(), 2);
        herd.stop().await;
    })
    .await;
}

#[tokio::test]
async fn weights_and_rings_change_at_run_time() {
    tell(config(2), &[], |herd| async move {
        herd.until_ready(2).await;
        let view = herd.control.request(weight("server 1", 0)).await.expect("set");
        assert_eq!((view.replicas[0].slots, view.ready()), (0, 1));
        assert_eq!(picked(&herd.readers.reader()), ["Server 2".to_owned()].into());
        let change = RingChange { slots: Some(512), virtual_nodes: Some(9), ..RingChange::default() };
        let view = herd.control.request(Request::ChangeRing(change)).await.expect("changed");
        assert_eq!(view.ring.params().slots(), 512);
        let change = RingChange { slots: Some(500), ..RingChange::default() };
        assert!(matches!(
            herd.control.request(Request::ChangeRing(change)).await,
            Err(ControlError::Ring(_))
        ));
        let view = herd.control.request(Request::Reload(Box::new(config(2)))).await.expect("taken over");
        assert_eq!((view.replicas.len(), view.ring.params().slots()), (2, 65_539));
        herd.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_others_run_is_watched_but_not_replaced() {
    tell(config(0), &["first:1", "second:2"], |herd| async move {
        herd.until_ready(2).await;
        let asked: Vec<_> = herd.fake.started().into_iter().filter_map(|launch| launch.existing).collect();
        assert_eq!(asked, ["first:1", "second:2"]);
        herd.fake.set_mood("Server 1", Mood::Sick);
        herd.until(|view| view.replicas[0].state == State::Ejected).await;
        herd.fake.set_mood("Server 1", Mood::Well);
        herd.until_ready(2).await;
        let add = Add { count: 1, endpoints: vec!["third:3".into()], ..Add::default() };
        assert_eq!(herd.control.request(Request::Add(add)).await.expect("added").ready(), 3);
        assert_eq!(herd.fake.started().len(), 3);
        herd.control.request(Request::Stop).await.expect("it stops");
    })
    .await;
}

#[tokio::test]
async fn a_supervisor_that_nobody_can_reach_stops_what_it_started() {
    let (Herd { control, fake, .. }, supervisor) = herd(config(2), &[]);
    let story = async {
        control.wait_for(|view| view.ready() == 2).await.expect("the supervisor runs");
        drop(control);
    };
    tokio::join!(supervisor.run(), story);
    assert_eq!(fake.alive(), Vec::<String>::new());
}

#[tokio::test]
async fn after_the_end_every_command_is_refused() {
    tell(config(1), &[], |herd| async move {
        herd.until_ready(1).await;
        let (stopped, refused) = tokio::join!(
            herd.control.request(Request::Stop),
            herd.control.request(Request::Add(Add { count: 1, ..Add::default() }))
        );
        assert!(stopped.is_ok());
        assert_eq!(refused.expect_err("too late"), ControlError::Stopping);
        assert_eq!(
            herd.control.request(weight("Server 1", 1)).await.expect_err("too late"),
            ControlError::Stopping
        );
    })
    .await;
}
