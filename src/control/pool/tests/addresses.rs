//! Replicas that may be at one of several addresses, and that move.

use std::net::SocketAddr;

use super::*;

fn address(host: u8) -> SocketAddr {
    ([10, 0, 0, host], 80).into()
}

/// Where heartbeats are sent.
fn probed(actions: &[Action]) -> Vec<SocketAddr> {
    let to = |action: &Action| if let Action::Check(probe) = action { Some(probe.address) } else { None };
    actions.iter().filter_map(to).collect()
}

fn published_at(actions: &Actions) -> SocketAddr {
    let [publication] = publications(actions)[..] else { panic!("not one publication: {actions:?}") };
    publication.members[0].address
}

impl Herd {
    /// One replica of others that was started at the first of these addresses.
    fn at(hosts: &[u8]) -> (Self, ReplicaId, Actions) {
        let mut herd = Self::cold(ControlConfig::default(), Owner::Others, &["web:80"]);
        let id = launches(&herd.first)[0].id;
        let started = RuntimeEvent::Started { id, address: address(hosts[0]), instance: "web:80".to_owned() };
        let actions = herd.step(Event::Runtime(started));
        herd.locate(id, hosts);
        (herd, id, actions)
    }

    fn locate(&mut self, id: ReplicaId, hosts: &[u8]) -> Actions {
        let addresses = hosts.iter().map(|&host| address(host)).collect();
        self.step(Event::Runtime(RuntimeEvent::Located { id, addresses }))
    }

    fn nobody(&mut self, id: ReplicaId) -> Actions {
        self.step(Event::Heartbeat(id, Verdict::NoAnswer("cannot connect".to_owned())))
    }

    fn good(&mut self, id: ReplicaId) -> Actions {
        self.step(Event::Heartbeat(id, Verdict::Good))
    }

    /// Waits for the next heartbeat; returns where it goes.
    fn next_probe(&mut self) -> SocketAddr {
        self.now = self.pool.next_deadline().expect("a heartbeat is due some time");
        let actions = self.step(Event::Tick);
        let [to] = probed(&actions)[..] else { panic!("not one heartbeat: {actions:?}") };
        to
    }
}

#[test]
fn every_address_is_tried_at_once_until_one_responds() {
    let (mut herd, id, actions) = Herd::at(&[1, 2, 3]);
    assert_eq!(probed(&actions), [address(1)]);
    assert_eq!(probed(&herd.nobody(id)), [address(2)]);
    assert_eq!(probed(&herd.nobody(id)), [address(3)]);
    let actions = herd.nobody(id);
    assert_eq!((probed(&actions), &actions[..]), (vec![], &[Action::Locate(id)][..]), "a pause, and a look");
    assert_eq!(herd.member(1).note, "cannot connect; cannot connect; cannot connect");
    assert_eq!(herd.next_probe(), address(1));
    herd.nobody(id);
    assert_eq!(published_at(&herd.good(id)), address(2));
    assert_eq!(herd.state(1), State::Ready);
}

#[test]
fn one_that_responds_badly_is_asked_again_where_it_is() {
    let (mut herd, id, _) = Herd::at(&[1, 2]);
    herd.nobody(id);
    let bad = herd.step(Event::Heartbeat(id, Verdict::Bad("answered 503".to_owned())));
    assert_eq!((probed(&bad), herd.member(1).note.as_str()), (vec![], "answered 503"));
    assert_eq!(herd.next_probe(), address(2));
}

#[test]
fn an_ejected_one_is_looked_for_and_gets_requests_where_it_is_found() {
    let (mut herd, id, _) = Herd::at(&[1]);
    assert_eq!(published_at(&herd.good(id)), address(1));
    for _ in 0..2 {
        herd.next_probe();
        herd.nobody(id);
    }
    assert_eq!(herd.state(1), State::Ejected);
    assert_eq!(herd.next_probe(), address(1));
    assert_eq!(herd.nobody(id)[..], [Action::Locate(id)]);
    assert_eq!(herd.locate(id, &[2])[..], []);
    assert_eq!(herd.next_probe(), address(2));
    let actions = herd.good(id);
    assert_eq!(published_at(&actions), address(2));
    assert!(!actions.contains(&Action::SetUp(id, true)), "no request goes to where it was: {actions:?}");
    assert_eq!((herd.state(1), herd.member(1).address), (State::Ready, Some(address(2))));
}

#[test]
fn a_ready_one_that_moves_is_left_when_the_new_address_responds() {
    let (mut herd, id, _) = Herd::at(&[1]);
    herd.good(id);
    let actions = herd.step(Event::Request(TICKET, Request::Reload(Box::new(herd.pool.config().clone()))));
    assert!(actions.contains(&Action::Locate(id)), "{actions:?}");
    assert_eq!(publications(&herd.locate(id, &[2, 3])), [] as [&Publication; 0]);
    assert_eq!((herd.next_probe(), herd.state(1)), (address(2), State::Ready));
    assert_eq!(published_at(&herd.good(id)), address(2));
    // A set that still has its address changes nothing.
    herd.locate(id, &[3, 2]);
    assert_eq!(herd.next_probe(), address(2));
}

#[test]
fn a_reload_looks_again_for_one_whose_name_was_unknown() {
    let mut herd = Herd::cold(ControlConfig::default(), Owner::Others, &["web:80"]);
    let mut launched = launches(&herd.first);
    while let [Launch { id, .. }] = launched[..] {
        let reason = "cannot resolve 'web:80'".to_owned();
        launched = launches(&herd.step(Event::Runtime(RuntimeEvent::StartFailed { id, reason })));
    }
    let actions = herd.step(Event::Request(TICKET, Request::Reload(Box::new(herd.pool.config().clone()))));
    assert_eq!(launches(&actions).len(), 1, "the back-off is over: {actions:?}");
}
