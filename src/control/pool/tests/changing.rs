//! Weights, the ring, the configuration.

use super::*;
use crate::cluster::KeySource;
use crate::control::{BoundedLoad, HealthConfig, RingChange};
use crate::ring::Family;

fn set_weight(herd: &mut Herd, name: &str, weight: u8) -> Actions {
    herd.step(Event::Request(TICKET, Request::SetWeight { name: name.to_owned(), weight }))
}

#[test]
fn a_weight_is_published() {
    let mut herd = Herd::of(2);
    let actions = set_weight(&mut herd, "server 2", 0);
    assert_eq!(reply(&actions), Some(Ok(())));
    let weights: Vec<_> = publications(&actions)[0].members.iter().map(|member| member.weight).collect();
    assert_eq!(weights, [100, 0], "drained, but a member");
    assert_eq!(publications(&set_weight(&mut herd, "Server 2", 0)).len(), 0, "nothing new");
}

#[test]
fn a_drained_member_knows_the_weight_it_had_until_it_has_another() {
    let mut herd = Herd::of(2);
    assert_eq!(herd.member(2).drained_from, None);
    set_weight(&mut herd, "Server 2", 30);
    set_weight(&mut herd, "Server 2", 0);
    set_weight(&mut herd, "Server 2", 0);
    assert_eq!(herd.member(2).drained_from, Some(30));
    // A replacement has the weight of its number, and so the one before that.
    let id = herd.id(2);
    herd.exit(id);
    assert_eq!((herd.member(2).weight, herd.member(2).drained_from), (0, Some(30)));
    let name = herd.member(2).name;
    set_weight(&mut herd, &name, 5);
    assert_eq!(herd.member(2).drained_from, None);
}

#[test]
fn a_killed_replica_is_healed_like_any_that_dies() {
    let mut herd = Herd::of(2);
    let kill = |herd: &mut Herd, name: &str| {
        herd.step(Event::Request(TICKET, Request::Kill { name: name.to_owned() }))
    };
    let id = herd.id(2);
    let actions = kill(&mut herd, "server 2");
    assert_eq!(actions, [Action::Kill(id), Action::Reply(TICKET, Ok(()))]);
    assert_eq!(herd.state(2), State::Ready, "until it is gone");
    let healed = launches(&herd.exit(id));
    assert_eq!(healed.iter().map(|launch| launch.number).collect::<Vec<_>>(), [2]);
    let name = herd.member(2).name;
    assert_eq!(reply(&kill(&mut herd, &name)), Some(Err(ControlError::NotRunning(name))));
    assert_eq!(reply(&kill(&mut herd, "B")), Some(Err(ControlError::UnknownName("B".to_owned()))));

    let config = ControlConfig { replicas: 1, ..ControlConfig::default() };
    let mut fixed = Herd::cold(config, Owner::Others, &["127.0.0.1:80"]);
    let refused = Err(ControlError::NotKept("Server 1".to_owned()));
    assert_eq!(reply(&kill(&mut fixed, "Server 1")), Some(refused));
}

#[test]
fn bad_weights_and_names_are_refused() {
    let mut herd = Herd::of(1);
    let refused = |error| [Action::Reply(TICKET, Err(error))];
    assert_eq!(set_weight(&mut herd, "Server 1", 101), refused(ControlError::BadWeight(101)));
    assert_eq!(set_weight(&mut herd, "B", 1), refused(ControlError::UnknownName("B".to_owned())));
}

#[test]
fn the_ring_is_rebuilt_if_it_holds_everybody() {
    let mut herd = Herd::of(3);
    let change = RingChange { slots: Some(512), virtual_nodes: Some(9), ..RingChange::default() };
    let actions = herd.step(Event::Request(TICKET, Request::ChangeRing(change)));
    assert_eq!(reply(&actions), Some(Ok(())));
    assert_eq!(publications(&actions)[0].params.slots(), 512);

    herd.add(1, &[]);
    for (slots, virtual_nodes) in [(Some(500), None), (Some(32), None), (None, Some(256))] {
        let change = RingChange { slots, virtual_nodes, ..RingChange::default() };
        let actions = herd.step(Event::Request(TICKET, Request::ChangeRing(change)));
        assert!(matches!(actions[..], [Action::Reply(TICKET, Err(ControlError::Ring(_)))]), "{actions:?}");
        assert_eq!(herd.pool.config().ring.slots(), 512);
    }
}

#[test]
fn another_key_takes_its_own_bound() {
    let mut herd = Herd::of(1);
    let change = RingChange { key: Some(KeySource::ClientIp), ..RingChange::default() };
    let actions = herd.step(Event::Request(TICKET, Request::ChangeRing(change)));
    let routing = &publications(&actions)[0].routing;
    assert_eq!((&routing.key, routing.bounded_load), (&KeySource::ClientIp, None));
}

#[test]
fn a_change_to_the_same_publishes_nothing() {
    let mut herd = Herd::of(1);
    let change = RingChange { family: Some(Family::Modified), ..RingChange::default() };
    assert_eq!(
        herd.step(Event::Request(TICKET, Request::ChangeRing(change))),
        [Action::Reply(TICKET, Ok(()))]
    );
}

#[test]
fn a_configuration_is_taken_over() {
    let mut herd = Herd::of(2);
    let config = ControlConfig {
        replicas: 2,
        max_replicas: 3,
        bounded_load: BoundedLoad::Factor(2.0),
        drain_timeout: Duration::from_secs(1),
        ..ControlConfig::default()
    };
    let actions = herd.step(Event::Request(TICKET, Request::Reload(Box::new(config))));
    assert_eq!(reply(&actions), Some(Ok(())));
    assert_eq!(publications(&actions)[0].routing.bounded_load, Some(2.0));
    let too_many = ControlError::TooMany { asked: 2, total: 4, max: 3 };
    assert_eq!(reply(&herd.add(2, &[])), Some(Err(too_many)));
    herd.remove(1, &[]);
    assert_eq!(stops(&herd.wait(Duration::from_secs(1))).len(), 1);
}

impl Herd {
    fn reload(&mut self, change: impl FnOnce(&mut ControlConfig)) -> Actions {
        let mut config = self.pool.config().clone();
        change(&mut config);
        self.step(Event::Request(TICKET, Request::Reload(Box::new(config))))
    }
}

#[test]
fn a_changed_number_of_replicas_is_how_many_there_are() {
    let mut herd = Herd::of(2);
    let added = launches(&herd.add(1, &["Added"]))[0].id;
    herd.bring_up(added);
    let actions = herd.reload(|config| config.max_replicas = 10);
    assert_eq!((launches(&actions).len(), herd.names().len()), (0, 3), "the number is what it was");
    let actions = herd.reload(|config| config.replicas = 5);
    let names: Vec<_> = launches(&actions).into_iter().map(|launch| launch.name).collect();
    assert_eq!((reply(&actions), names), (Some(Ok(())), vec!["Server 4".to_owned(), "Server 5".to_owned()]));
    herd.bring_up(launches(&actions)[0].id);
    // Those that are not ready go first.
    let actions = herd.reload(|config| config.replicas = 4);
    assert_eq!(herd.names(), ["Server 1", "Server 2", "Added", "Server 4"]);
    assert_eq!(stops(&actions).len(), 1);
    let actions = herd.reload(|config| config.replicas = 1);
    assert_eq!((reply(&actions), published(&actions).len(), herd.names().len()), (Some(Ok(())), 1, 1));
    let refused = herd.reload(|config| (config.replicas, config.max_replicas) = (4, 3));
    assert_eq!(reply(&refused), Some(Err(ControlError::TooMany { asked: 3, total: 4, max: 3 })));
    assert_eq!((herd.names().len(), herd.pool.config().max_replicas), (1, 10), "nothing has changed");
}

#[test]
fn the_difference_of_upstreams_comes_and_goes() {
    let mut herd = Herd::cold(ControlConfig::default(), Owner::Others, &["a:1", "b:1"]);
    let add = Add { count: 1, names: vec!["C".to_owned()], endpoints: vec!["c:1".to_owned()] };
    let actions = herd.step(Event::Request(TICKET, Request::Add(add)));
    let added = launches(&actions)[0].id;
    herd.bring_up(added);
    // What is there already is not added twice; what `/add` brought stays.
    let upstreams = ["b:1", "C:1", "d:1"].map(str::to_owned).to_vec();
    let actions = herd.reload(|config| config.upstreams = upstreams);
    let endpoints: Vec<_> = launches(&actions).into_iter().map(|launch| launch.existing).collect();
    assert_eq!((reply(&actions), endpoints), (Some(Ok(())), vec![Some("d:1".to_owned())]));
    assert_eq!(herd.names(), ["Server 1", "Server 2", "C"]);
}

#[test]
fn a_shorter_interval_does_not_wait_for_the_longer_one() {
    let health = |interval| HealthConfig { interval, ..HealthConfig::default() };
    let config =
        ControlConfig { replicas: 1, health: health(Duration::from_secs(3600)), ..ControlConfig::default() };
    let mut herd = Herd::cold(config.clone(), Owner::Balancer, &[]);
    let id = launches(&herd.first.clone())[0].id;
    herd.bring_up(id);
    assert_eq!(checks(&herd.wait(Duration::from_secs(60))), [], "an hour is long");
    let soon = ControlConfig { health: health(Duration::from_millis(100)), ..config };
    herd.step(Event::Request(TICKET, Request::Reload(Box::new(soon))));
    assert_eq!(checks(&herd.wait(Duration::from_millis(100))), [id]);
}

#[test]
fn an_announced_stop_gives_up_what_is_unfinished_and_heals_on() {
    let mut herd = Herd::of(2);
    let launched = launches(&herd.add(1, &["New"]))[0].id;
    let actions = herd.step(Event::Request(Ticket(99), Request::PrepareStop));
    assert_eq!(reply(&actions), Some(Err(ControlError::Stopping)));
    assert_eq!(stops(&actions), [launched]);
    assert_eq!(reply(&herd.add(1, &[])), Some(Err(ControlError::Stopping)));
    assert_eq!(reply(&herd.remove(1, &[])), Some(Err(ControlError::Stopping)));
    let dead = herd.id(1);
    assert_eq!(launches(&herd.exit(dead)).len(), 1, "requests in flight still need replicas");
}
