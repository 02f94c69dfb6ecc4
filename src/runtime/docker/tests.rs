//! What the actor decides by itself, without an engine.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::DockerConfig;
use super::actor::{Actor, Phase};
use super::place::Place;
use super::replica::{Replica, Stage, Wish};
use super::seen::{Seen, State};
use crate::runtime::engine::Spec;
use crate::runtime::{Launch, ReplicaId, RuntimeEvent};

const ID: ReplicaId = ReplicaId(1);

/// An actor with one replica, whose container is `c1`.
fn actor(stage: Stage, wish: Wish) -> (Actor, UnboundedReceiver<RuntimeEvent>) {
    let (events, seen) = unbounded_channel();
    let mut actor = Actor::new(DockerConfig::default(), events);
    actor.place = Some(Arc::new(Place::of_test(Spec::default(), None)));
    actor.phase = Phase::Up;
    let launch = Launch { id: ID, name: "S1".to_owned(), number: 1, existing: None };
    let container = Some("c1".to_owned());
    actor.replicas.insert(ID, Replica { stage, container, wish, ..Replica::new(launch) });
    (actor, seen)
}

fn holder() -> Seen {
    let state = State::Running;
    let (labels, addresses) = Default::default();
    let (id, name) = ("c1".to_owned(), "c1".to_owned());
    Seen { id, name, labels, state, addresses, created: 0, stop_signal: 15 }
}

#[tokio::test]
async fn only_a_wanted_replica_has_a_right_to_its_name() {
    let golden = [
        (Stage::Running, Wish::Keep, false),
        (Stage::Running, Wish::Retire, true),
        (Stage::Starting, Wish::Stop, true),
        (Stage::Stopping, Wish::Keep, true),
    ];
    for (stage, wish, may_move) in golden {
        assert_eq!(actor(stage, wish).0.may_move(&holder()), may_move, "{stage:?} {wish:?}");
    }
}

#[tokio::test]
async fn a_replica_that_is_being_stopped_is_stopped_once() {
    let (mut actor, mut events) = actor(Stage::Stopping, Wish::Keep);
    let replica = actor.replicas.get_mut(&ID).unwrap();
    (replica.examined, replica.doubtful) = (true, true);
    actor.alive(ID);
    actor.died(ID, "exit status 0".to_owned());
    assert!(actor.replicas.contains_key(&ID) && events.try_recv().is_err());
    assert_eq!(actor.under_way(), 0);
}

#[tokio::test]
async fn a_death_is_told_before_its_remains_are_gone() {
    let (mut actor, mut events) = actor(Stage::Running, Wish::Keep);
    let reason = "exit status 1".to_owned();
    actor.died(ID, reason.clone());
    assert_eq!(events.try_recv(), Ok(RuntimeEvent::Exited { id: ID, reason }));
    assert!(actor.swept.contains("c1"));
}

#[tokio::test]
async fn one_list_is_asked_for_at_a_time() {
    let (mut actor, _events) = actor(Stage::Running, Wish::Keep);
    for _ in 0..3 {
        actor.list();
    }
    assert_eq!(actor.under_way(), 1);
    assert!(actor.list_again);
}
