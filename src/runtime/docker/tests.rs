//! Decisions of the actor that need no engine.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::DockerConfig;
use super::actor::{Actor, Phase};
use super::container::{Container, ContainerStatus};
use super::context::EngineContext;
use super::managed::{Desired, ManagedReplica, Stage};
use crate::runtime::engine::Spec;
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
