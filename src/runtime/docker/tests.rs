//! Decisions of the actor that need no engine.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::DockerConfig;
use super::actor::{Actor, Phase};
use super::adoption::Listing;
use super::container::{Container, ContainerStatus};
use super::context::EngineContext;
use super::managed::{Desired, ManagedReplica, Stage};
use crate::runtime::engine::{Spec, labels};
use crate::runtime::output::Outputs;
use crate::runtime::{Launch, ReplicaId, RuntimeEvent};

const ID: ReplicaId = ReplicaId(1);

/// An actor with one replica, whose container is `c1`.
fn actor(stage: Stage, desired: Desired) -> (Actor, UnboundedReceiver<RuntimeEvent>) {
    let (events, reported) = unbounded_channel();
    let mut actor = Actor::new(DockerConfig::default(), events, Outputs::default());
    actor.context = Some(Arc::new(EngineContext::of_test(Spec::default(), None)));
    actor.phase = Phase::Up;
    let launch = Launch {
        id: ID,
        name: "S1".to_owned(),
        number: 1,
        existing: None,
        revision: std::sync::Arc::default(),
        replaces: None,
    };
    let container = Some("c1".to_owned());
    let replica = ManagedReplica { stage, container, desired, ..ManagedReplica::new(launch) };
    actor.replicas.insert(ID, replica);
    (actor, reported)
}

fn holder() -> Container {
    let status = ContainerStatus::Running;
    let (labels, addresses) = Default::default();
    let (id, name) = ("c1".to_owned(), "c1".to_owned());
    Container { id, name, labels, status, addresses, created: 0, stop_signal: 15 }
}

#[tokio::test]
async fn only_a_wanted_replica_has_a_right_to_its_name() {
    let golden = [
        (Stage::Running, Desired::Running, false),
        (Stage::Running, Desired::Retired, true),
        (Stage::Starting, Desired::Stopped, true),
        (Stage::Stopping, Desired::Running, true),
    ];
    for (stage, desired, may_rename) in golden {
        assert_eq!(actor(stage, desired).0.may_rename(&holder()), may_rename, "{stage:?} {desired:?}");
    }
}

#[tokio::test]
async fn a_replica_that_is_being_stopped_is_stopped_once() {
    let (mut actor, mut events) = actor(Stage::Stopping, Desired::Running);
    let replica = actor.replicas.get_mut(&ID).unwrap();
    (replica.inspecting, replica.needs_inspection) = (true, true);
    actor.still_running(ID);
    actor.exited(ID, "exit status 0".to_owned());
    assert!(actor.replicas.contains_key(&ID) && events.try_recv().is_err());
    assert_eq!(actor.running_tasks(), 0);
}

#[tokio::test]
async fn a_death_is_reported_before_the_container_is_removed() {
    let (mut actor, mut events) = actor(Stage::Running, Desired::Running);
    let reason = "exit status 1".to_owned();
    actor.exited(ID, reason.clone());
    assert_eq!(events.try_recv(), Ok(RuntimeEvent::Exited { id: ID, reason }));
    assert!(actor.removing.contains("c1"));
}

#[tokio::test]
async fn one_list_is_asked_for_at_a_time() {
    let (mut actor, _events) = actor(Stage::Running, Desired::Running);
    for _ in 0..3 {
        actor.list();
    }
    assert_eq!(actor.running_tasks(), 1);
    assert!(actor.list_again);
}

/// The engine was lost while a container was made: whether the list has it, and what the pool wants.
#[tokio::test]
async fn a_replica_has_failed_when_what_was_made_of_it_is_gone() {
    let made = [(labels::NAME, "S1"), (labels::RUN, "this")];
    let made = made.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
    let made = Container { labels: made, ..holder() };
    let golden = [
        (Some("c1"), vec![made.clone()], true),
        // Its creation was not reported.
        (None, vec![made.clone()], true),
        (None, vec![Container { name: made.leaving_name(), ..made }], false),
        (Some("c1"), vec![], false),
        (None, vec![], false),
    ];
    for (known, own, is_left) in golden {
        for desired in [Desired::Running, Desired::Stopped] {
            let (mut actor, mut events) = actor(Stage::Unknown, desired);
            actor.replicas.get_mut(&ID).unwrap().container = known.map(str::to_owned);
            let context = Arc::clone(actor.context.as_ref().unwrap());
            actor.connected(context, Listing { own: own.clone(), ..Listing::default() });
            let reported: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
            let ends = |event: &RuntimeEvent| {
                matches!(event, RuntimeEvent::StartFailed { .. } | RuntimeEvent::Exited { .. })
            };
            assert_eq!(reported.iter().any(ends), !is_left, "{known:?} {own:?}: {reported:?}");
            if !is_left {
                continue;
            }
            assert_eq!(actor.replicas[&ID].stage, Stage::Stopping);
            actor.stopped(ID, "exit status 0".to_owned());
            let reason = "the engine went away while it was being made".to_owned();
            let end = match desired {
                Desired::Stopped => {
                    RuntimeEvent::Exited { id: ID, reason: format!("it was not started: {reason}") }
                }
                _ => RuntimeEvent::StartFailed { id: ID, reason },
            };
            // It was the last one, so the network goes first.
            actor.finish_removal(ID);
            assert_eq!(events.try_recv(), Ok(end));
        }
    }
}

#[tokio::test]
async fn a_failed_start_that_the_pool_gives_up_ends_once() {
    let (mut actor, mut events) = actor(Stage::Starting, Desired::Running);
    actor.start_failed(ID, "no address".to_owned(), Some("c1".to_owned()));
    actor.stop(ID);
    assert!(events.try_recv().is_err(), "its container may run");
    assert_eq!(actor.running_tasks(), 1);
    actor.stopped(ID, "exit status 0".to_owned());
    actor.finish_removal(ID);
    let reason = "it was not started: no address".to_owned();
    assert_eq!(events.try_recv(), Ok(RuntimeEvent::Exited { id: ID, reason }));
    assert!(events.try_recv().is_err());
}
